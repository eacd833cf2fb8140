"""Larger parts of models (a door)."""

from cntk_lab.layers.models.attention import AttentionModel

__all__ = ["AttentionModel"]
