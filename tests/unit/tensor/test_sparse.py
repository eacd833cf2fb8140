"""Sparse rows: selections and joins of their arrays are those of SciPy's matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

import cntk_lab as C
from cntk_lab.tensor.feed import read
from cntk_lab.tensor.sparse import Csr, SparseRows

ONES = csr_matrix(np.eye(6, dtype=np.float32)[[3, 1, 5, 0, 1]])
MANY = csr_matrix(np.array([[0, 1, 0], [0, 0, 0], [2, 0, 3], [4, 5, 6], [0, 0, 7]], np.float32))


@pytest.mark.parametrize("matrix", [ONES, MANY])
@pytest.mark.parametrize(
    "rows",
    [
        slice(1, 4), slice(None), slice(4, 0, -2), np.array([4, 0, 0, 2]), np.array([True, False, True, True, False]),
        slice(3, 3),
    ],
)  # fmt: skip
def test_rows_are_selected_as_scipy_does(matrix, rows):
    assert Csr.of(matrix)[rows].matrix().toarray().tolist() == matrix[rows].toarray().tolist()
    picked = SparseRows(matrix, (matrix.shape[1],))[rows]
    assert picked.toarray().tolist() == matrix[rows].toarray().tolist()
    assert picked.astype("float64").dtype == np.float64


def test_matrices_are_joined_row_by_row():
    parts = [MANY, MANY[1:2], MANY[2:]]
    assert Csr.joined([Csr.of(p) for p in parts]).matrix().toarray().tolist() == vstack(parts).toarray().tolist()
    assert Csr.joined([Csr.of(ONES), Csr.of(ONES)]).one_each
    assert not Csr.joined([Csr.of(ONES), Csr.of(ONES[:0]), Csr.of(csr_matrix((1, 6), dtype=np.float32))]).one_each


def test_fed_sequences_are_packed_without_a_matrix_of_scipy():
    x = C.sequence.input_variable(3, is_sparse=True)
    rows, layout = read(x.type, [MANY[:1], MANY[1:4], MANY[4:]], None, "x")
    assert rows._matrix is None
    assert layout is not None
    assert rows.toarray().tolist() == MANY.toarray()[[1, 0, 4, 2, 3]].tolist()
    again, _ = read(x.type, C.Value.packed(rows, layout, has_sequence=True), None, "x")
    assert again.toarray().tolist() == rows.toarray().tolist()
