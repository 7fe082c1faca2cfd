"""Forward passes of trained networks, one module per kind of machine; knows arrays and nothing else."""
