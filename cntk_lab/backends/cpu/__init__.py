"""The CPU: NumPy as the reference, generated kernels and oneDNN where they are faster. Nothing heavy loads at
import.
"""
