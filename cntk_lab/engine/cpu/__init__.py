"""Plans on the CPU: tables of generated kernels, oneDNN and BLAS."""
