"""The GPU kernels; nothing here is imported where there is no GPU."""
