"""Model files: choosing the format of what is saved and loaded."""
