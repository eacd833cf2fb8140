"""CNTK's own file formats: v2 models and checkpoints both ways, v1 models for reading."""
