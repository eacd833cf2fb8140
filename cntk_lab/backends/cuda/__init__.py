"""NVIDIA GPUs: CuPy's arrays and products, generated kernels compiled by NVRTC. CuPy loads with the first GPU."""
