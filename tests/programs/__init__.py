"""Random programs: drawn as plain data, computed on every tier, compared, and shrunk when they differ."""
