"""``cntk.tests``: helpers that notebooks and programs import from CNTK. Tests of this package lie elsewhere."""
