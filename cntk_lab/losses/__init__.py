"""Losses under their CNTK names."""

from cntk_lab.ops._criteria import (
    binary_cross_entropy,
    cross_entropy,
    cross_entropy_with_softmax,
    squared_error,
    weighted_binary_cross_entropy,
)
from cntk_lab.ops._ranking import lambda_rank
from cntk_lab.ops._similarity import cosine_distance, cosine_distance_with_negative_samples, fmeasure
from cntk_lab.ops._vocabulary import hierarchical_softmax_layer, nce_loss

__all__ = [
    "binary_cross_entropy",
    "cosine_distance",
    "cosine_distance_with_negative_samples",
    "cross_entropy",
    "cross_entropy_with_softmax",
    "fmeasure",
    "hierarchical_softmax_layer",
    "lambda_rank",
    "nce_loss",
    "squared_error",
    "weighted_binary_cross_entropy",
]
