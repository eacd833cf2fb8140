"""Metrics under their CNTK names."""

from cntk_lab.ops._criteria import classification_error
from cntk_lab.ops._ranking import edit_distance_error, ndcg_at_1

__all__ = ["classification_error", "edit_distance_error", "ndcg_at_1"]
