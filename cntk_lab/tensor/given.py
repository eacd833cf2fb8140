"""Data that other libraries hold: tables and arrays with labels, as arrays by position. Knows no library by name.

A pandas Series asked for ``[3]`` gives what is *labelled* 3, which after any shuffling or filtering is another row than
the fourth. Here rows are paired by position, so such data become arrays before a row of them is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.tensor.sparse import is_sparse_matrix


def by_position(data: Any) -> Any:
    """Data whose rows are found by position: arrays, matrices and lists as they are, anything else that is an array
    (pandas, Arrow, torch, xarray) as a NumPy array; parts of lists too.

    Example:
        >>> by_position(np.arange(3)).tolist()
        [0, 1, 2]
    """
    if isinstance(data, np.ndarray) or is_sparse_matrix(data):
        return data
    if type(data) in (list, tuple):
        return [by_position(d) for d in data] if any(_is_foreign(d) for d in data) else data
    if not _is_foreign(data):
        return data
    return np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data)


def is_table(data: Any) -> bool:
    """Whether data are a table with named columns that are found by name."""
    return hasattr(data, "columns") and hasattr(data, "to_numpy") and hasattr(data, "__getitem__")


def is_whole(data: Any) -> bool:
    """Whether data are one array, of whatever library, or a sparse matrix."""
    return isinstance(data, np.ndarray) or is_sparse_matrix(data) or _is_foreign(data)


def _is_foreign(data: Any) -> bool:
    """Whether another library's object is an array: it has a shape and says how it becomes NumPy's."""
    known = isinstance(data, (np.ndarray, np.generic)) or is_sparse_matrix(data)
    return not known and hasattr(data, "shape") and (hasattr(data, "to_numpy") or hasattr(data, "__array__"))
