"""Arrays of a device: copies to the host, addresses, memory for vector instructions."""

import numpy as np
import pytest

from cntk_lab.tensor.arrays import address_of, aligned_empty, to_host


def test_numbers_of_numpy_come_to_the_host_as_arrays_without_dimensions() -> None:
    found = to_host(np.float32(2.5))
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype, float(found)) == ((), np.float32, 2.5)
    array = np.arange(3.0)
    assert to_host(array) is array


ARRAYS = {
    "writable": np.zeros((3, 4), np.float32),
    "read only": np.frombuffer(bytes(24), np.float64),
    "columns first": np.asfortranarray(np.zeros((3, 4))),
    "every second": np.zeros(8)[::2],
    "inside another": np.zeros(8)[3:],
    "without dimensions": np.zeros(()),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_addresses_are_numpys(kind: str) -> None:
    assert address_of(ARRAYS[kind]) == ARRAYS[kind].ctypes.data


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (np.int64(2), 3, 7)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_aligned_arrays_start_at_multiples_of_64(shape: tuple[int, ...], dtype: str) -> None:
    made = aligned_empty(shape, dtype)
    assert (made.shape, made.dtype, address_of(made) % 64) == (shape, np.dtype(dtype), 0)
    assert made.flags.c_contiguous
    assert made.flags.writeable
    made[...] = 1
    assert made.sum() == made.size
