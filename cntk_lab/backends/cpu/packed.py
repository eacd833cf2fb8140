"""Products of oneDNN whose weights are packed beforehand: one layout of the weights for any number of rows.

For loops, where the same weights meet a few rows at a time, from several threads at once. Knows no plans.
"""

from __future__ import annotations

from typing import Any, Final

from cntk_lab.backends.cpu.onednn import MAKERS, Layout, Library, Primitive, make

_USUAL_ROWS: Final = 16
"""Rows of the product that packed weights are laid out for; products of other row counts read the same layout."""


def _packed(library: Library, m: int, n: int, k: int, a: Any, c: Any, beta: float) -> Primitive:
    given = {"source": library.descriptor(Layout((m, k), a)), "target": library.descriptor(Layout((m, n), c))}
    if m == _USUAL_ROWS:
        weights = library.descriptor(Layout((k, n)))
    else:
        given["weights"] = weights = make(("packed", _USUAL_ROWS, n, k, a, c, beta)).descriptor("weights")
    attributes = library.attributes((), beta)
    made = library.create("matmul", given["source"], weights, None, given["target"], attributes)
    return Primitive(library, made, given, ["source", "weights", "target", "scratch"])


def matmul(
    m: int, n: int, k: int, *, strides_a: tuple[int, int], strides_c: tuple[int, int], beta: float = 0.0
) -> Primitive:
    """The primitive of target (m x n) = source (m x k) weights (k x n) + beta target, with weights packed beforehand.

    Args:
        m: rows of the target.
        n: columns of the target.
        k: inner dimension.
        strides_a: strides of the source in elements.
        strides_c: strides of the target in elements.
        beta: factor of what the target held before.

    Returns:
        Primitive with roles source, weights, target and scratch (memory of its own for each thread that runs it). The
        weights lie alike for every ``m`` (see :func:`reorder`).

    Raises:
        NotAvailableError: if oneDNN is missing or cannot do this.
    """
    return make(("packed", m, n, k, tuple(strides_a), tuple(strides_c), float(beta)))


MAKERS["packed"] = _packed
