"""The reference: plans run step by step on NumPy's arrays, or CuPy's."""
