"""Writes sequences in CNTK's text format, a sequence at a time. Knows the grammar, no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cntk_lab.errors import DataError
from cntk_lab.tensor.sparse import is_sparse_matrix


def _is_tensor(data: Any) -> bool:
    """Whether data are an array, or nested lists of numbers without an array inside."""
    if isinstance(data, np.ndarray):
        return True
    while isinstance(data, list):
        if not data:
            return True
        data = data[0]
    return isinstance(data, (int, float, np.number)) and not isinstance(data, bool)


def sequence_to_cntk_text_format(seq_idx: int, alias_tensor_map: Mapping[str, Any]) -> str:
    r"""One sequence as lines of CNTK's text format.

    Args:
        seq_idx: number of the sequence.
        alias_tensor_map: {name: frames}: an array (frames x shape), or a list of {index: value}.

    Returns:
        One line per frame, without a newline at the end; empty if there is no frame.

    Raises:
        DataError: if frames are neither.

    Example:
        >>> sequence_to_cntk_text_format(0, {"A": np.array([[3.0, 1.0]]), "B": [{7: 1}]})
        '0\t|A 3 1 |B 7:1'

    Source: CNTK 2.7 ``io.sequence_to_cntk_text_format``.
    """
    for alias, frames in alias_tensor_map.items():
        if not hasattr(frames, "__len__") or is_sparse_matrix(frames):
            raise DataError(
                f"'{alias}' is a {type(frames).__name__}",
                fix="give an array (dense) or a list of {index: value} (sparse)",
            )
    lines = []
    for t in range(max((len(frames) for frames in alias_tensor_map.values()), default=0)):
        parts = []
        for alias, frames in sorted(alias_tensor_map.items()):
            if t >= len(frames):
                continue
            if _is_tensor(frames):
                values = [_number(v) for v in np.asarray(frames[t]).ravel().tolist()]
            elif isinstance(frames, list) and isinstance(frames[0], dict):
                values = [f"{index}:{_number(value)}" for index, value in sorted(frames[t].items())]
            else:
                raise DataError(
                    f"'{alias}' is a {type(frames).__name__} of {type(frames[0]).__name__}",
                    fix="give an array (dense) or a list of {index: value} (sparse)",
                )
            parts.append(f"|{alias} {' '.join(values)}")
        lines.append(f"{seq_idx}\t{' '.join(parts)}")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
