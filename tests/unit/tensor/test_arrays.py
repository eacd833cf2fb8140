"""Arrays of a device: copies to the host."""

import numpy as np

from cntk_lab.tensor.arrays import to_host


def test_numbers_of_numpy_come_to_the_host_as_arrays_without_dimensions() -> None:
    found = to_host(np.float32(2.5))
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype, float(found)) == ((), np.float32, 2.5)
    array = np.arange(3.0)
    assert to_host(array) is array
