"""``cntk.ops.tests.ops_test_utils``: devices by number, and lists of arrays compared. No tests are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cntk_lab.device import DeviceDescriptor, cpu, gpu

__all__ = ["cntk_device", "compare_lists_of_np_arrays", "cpu", "gpu", "remove_np_array_in_list"]


def cntk_device(device_id: int) -> DeviceDescriptor:
    """A device by the number that tests of CNTK give it.

    Args:
        device_id: -1 for the CPU, else the number of a GPU.

    Returns:
        DeviceDescriptor.

    Raises:
        DeviceError: if there is no GPU of that number.

    Example:
        >>> print(cntk_device(-1))
        CPU

    Source: CNTK 2.7 ``ops.tests.ops_test_utils``.
    """
    return cpu() if device_id == -1 else gpu(device_id)


def remove_np_array_in_list(arr: np.ndarray[Any, Any], l: list[Any]) -> None:
    """Take the first array that equals ``arr`` out of a list.

    Args:
        arr: the array.
        l: arrays; the list itself is changed.

    Raises:
        ValueError: if none is equal.

    Example:
        >>> arrays = [np.zeros(2), np.ones(2)]
        >>> remove_np_array_in_list(np.ones(2), arrays)
        >>> len(arrays)
        1

    Source: CNTK 2.7 ``ops.tests.ops_test_utils``.
    """
    for position, other in enumerate(l):
        if np.array_equal(arr, other):
            del l[position]
            return
    raise ValueError(f"no array of {len(l)} equals the one of shape {np.shape(arr)}")


def compare_lists_of_np_arrays(first_list: Sequence[Any], second_list: Sequence[Any]) -> bool:
    """Whether two lists hold equal arrays, in whatever order.

    Args:
        first_list: arrays.
        second_list: arrays.

    Returns:
        True or False.

    Example:
        >>> compare_lists_of_np_arrays([np.ones(1), np.zeros(1)], [np.zeros(1), np.ones(1)])
        True

    Source: CNTK 2.7 ``ops.tests.ops_test_utils``.
    """
    left = list(second_list)
    for array in first_list:
        try:
            remove_np_array_in_list(array, left)
        except ValueError:
            return False
    return not left
