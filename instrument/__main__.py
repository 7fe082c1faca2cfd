"""`python -m instrument` is the `instrument` command."""

from instrument.cli import app

app(prog_name="instrument")
