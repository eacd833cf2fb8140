"""Losses under their CNTK names."""

from typing import Any, NoReturn

from cntk_lab.errors import NotAvailableError
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
    "lattice_sequence_with_softmax",
    "nce_loss",
    "squared_error",
    "weighted_binary_cross_entropy",
]


def lattice_sequence_with_softmax(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuses: sequence training over lattices of phones is not built.

    CNTK has it for lattices of its own speech tools only, and files cannot carry it.

    Raises:
        NotAvailableError: always.

    Example:
        >>> try:
        ...     lattice_sequence_with_softmax()
        ... except NotAvailableError as error:
        ...     print(error.fix)
        train with cross_entropy_with_softmax, or with forward_backward (CTC)

    Source: CNTK 2.7 ``losses.lattice_sequence_with_softmax``.
    """
    raise NotAvailableError(
        "lattice_sequence_with_softmax: sequence training over lattices is not part of this package",
        f"given {len(args)} operands and {len(kwargs)} options",
        "train with cross_entropy_with_softmax, or with forward_backward (CTC)",
    )
