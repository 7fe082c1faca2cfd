"""The GPU kernels, in Triton, for CUDA and HIP. Importing this needs torch and triton; where there is no GPU
nothing does. Read in this order: `tiles` (unpacking, activations), `qlinear` (one layer), `split` (many
programs for one sum), `mlp` (a whole network in one launch), `graph` (launching for nothing).
"""
