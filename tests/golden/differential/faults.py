"""Programs where real CNTK 2.7 itself is wrong, or where this package differs on purpose: which, and why.

A program on the list must still differ, so that the list cannot grow old.
"""

_EPSILON = "CNTK rounds the epsilon of LayerNormalization to float32 in float64 programs"
_BORDER = "CNTK's local response normalization loses the border channels: windows of channels that are not there"
_NESTEROV = "CNTK's nesterov on sparse rows lets the momentum of other rows grow without end"
_WHOLE = "L1 with sparse rows takes the whole gradient here, as the learners' documentation says"
_POWER = "-1 to an infinite power is 1 (C99), in CNTK NaN"
_COLUMN = "CNTK multiplies the sums of a vector and of a matrix of one column if both vary from sample to sample"

FAULTS = {
    "normalisation-1": _EPSILON,
    "normalisation-7": _BORDER,
    "learners-8": _WHOLE,
    "training-12": _NESTEROV,
    "training-23": _NESTEROV,
    "edges-11": _POWER,
    "axes-17": _COLUMN,
}
"""Reasons by the id of the program."""
