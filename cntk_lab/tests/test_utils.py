"""``cntk.tests.test_utils``: the device that a test machine asks for, and small helpers of tests. No tests are here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cntk_lab import device, ops
from cntk_lab.errors import DeviceError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["PRECISION_TO_TYPE", "TOLERANCE_ABSOLUTE", "set_device_from_pytest_env"]

TOLERANCE_ABSOLUTE: Final = 1e-06
"""Absolute tolerance of comparisons in single precision."""

PRECISION_TO_TYPE: Final = {"float": np.float32, "double": np.float64}
"""CNTK's words for element types."""

AA = np.asarray


def set_device_from_pytest_env() -> None:
    """The default device is the one that the environment variable TEST_DEVICE names; nothing happens without it.

    Notebooks of CNTK call this first.

    Raises:
        DeviceError: if TEST_DEVICE names a GPU and there is none.

    Example:
        >>> set_device_from_pytest_env()

    Source: CNTK 2.7 ``tests.test_utils``.
    """
    name = os.environ.get("TEST_DEVICE")
    if name is None:
        return
    chosen = device.cpu() if name == "cpu" else device.gpu(0)
    if not device.try_set_default_device(chosen):
        raise DeviceError(f"TEST_DEVICE={name}: {chosen} cannot be the default device", fix="set TEST_DEVICE=cpu")


def _to_csr(data: Any) -> csr_matrix:
    """Numbers as sparse rows: the last axis is the row."""
    from scipy.sparse import csr_matrix

    array = np.asarray(data, np.float32)
    return csr_matrix(array.reshape(-1, array.shape[-1]))


def _to_dense(val: Any, is_sequence: bool = False) -> Any:
    """Sparse rows as dense numbers, by way of a product with the unit matrix."""
    make = ops.sequence.input_variable if is_sequence else ops.input_variable
    x = make(val.shape[2 if is_sequence else 1 :], is_sparse=True)
    return ops.times(x, ops.constant(np.eye(val.shape[-1], dtype=np.float32))).eval({x: val}, device=val.device)


def __getattr__(name: str) -> Any:
    if name == "precision":  # a fixture of pytest, which only tests have
        import pytest

        return pytest.fixture(params=list(PRECISION_TO_TYPE))(lambda request: request.param)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
