"""Formulas: what one element of a result is, written once as data and printed for every backend."""
