"""The ready-made patches, one folder each: `importlib.resources.files("instrument.patches")`, installed or not."""
