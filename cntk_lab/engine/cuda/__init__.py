"""Plans on a GPU."""
