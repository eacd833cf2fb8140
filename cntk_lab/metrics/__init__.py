"""Metrics under their CNTK names."""

from cntk_lab.ops._criteria import classification_error

__all__ = ["classification_error"]
