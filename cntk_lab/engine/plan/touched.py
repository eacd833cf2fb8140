"""Which gradients keep only the rows that sparse operands touched: a fact of the letters of a product."""

from __future__ import annotations

from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.shape import FREE


def touches_rows(spec: Contraction, sparse: int) -> int:
    """How many rows the result of a product with sparse rows has, if it only touches some of them; else 0.

    Args:
        spec: the product.
        sparse: which operand is sparse: 0 the left, 1 the right one.
    """
    if sparse == 1:
        spec = Contraction(spec.right, spec.left, spec.out, spec.sizes)
    words = matrix_words(spec)
    if words is None or not words[3] or "r" in spec.out or spec.out[:1] != words[0]:
        return 0
    return spec.sizes[words[0]]


def matrix_words(spec: Contraction) -> tuple[str, str, str, bool] | None:
    """How the left operand, kept as a sparse matrix, gives the product: (letters of its that stay, letters that are
    summed, letters of the other that stay, whether the matrix is transposed); None if no matrix product does it.
    """
    left, right = (word.translate({ord(c): None for c in ones(word, spec)}) for word in (spec.left, spec.right))
    front, last = left[:-1], left[-1:]
    if not last or last == "r" or FREE in spec.sizes.values():
        return None
    rest = "".join(c for c in right if c not in left)
    if last in right and last not in spec.out and not any(c in right for c in front):
        return front, last, rest, False
    if last not in right and all(c in right and c not in spec.out for c in front):
        return last, front, rest, True
    return None


def ones(word: str, spec: Contraction) -> str:
    """The letters of a word that stand for axes of length 1."""
    return "".join(c for c in word if c != "r" and spec.sizes[c] == 1)
