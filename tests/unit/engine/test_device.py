"""Devices: a plan runs on whatever backend its device has; the path a GPU takes is exercised without one."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.device import DeviceDescriptor, cpu
from cntk_lab.engine import execute


class Elsewhere(CpuBackend):
    """A stand-in for a GPU: NumPy arrays, but reached the way a GPU is."""

    def __init__(self):
        super().__init__(cpu())
        self.device = DeviceDescriptor(1, 0, "stand-in")
        self.moved = 0
        self.kernels = 0

    def to_device(self, array):
        self.moved += 1
        return np.array(array)

    def kernel(self, kernel):
        self.kernels += 1
        return super().kernel(kernel)


@pytest.fixture
def elsewhere(monkeypatch):
    backend = Elsewhere()
    monkeypatch.setattr(execute, "backend_of", lambda device: backend)
    monkeypatch.setattr("cntk_lab.tensor.arrays.to_device", lambda array, device: np.asarray(array))
    return backend


def test_values_and_gradients_on_another_device_are_the_same(elsewhere):
    x = C.input_variable(3)
    w = C.parameter(init=np.arange(6, dtype="f").reshape(3, 2))
    f = C.tanh(C.times(x, w) + 0.5)
    batch = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    here, gradient = f.eval({x: batch}), f.grad({x: batch}, wrt=[w])
    there = f.eval({x: batch}, device=elsewhere.device)
    np.testing.assert_allclose(there, here, rtol=1e-6)
    np.testing.assert_allclose(f.grad({x: batch}, wrt=[w], device=elsewhere.device), gradient, rtol=1e-5, atol=1e-6)
    assert elsewhere.moved >= 2
    assert elsewhere.kernels >= 2
    assert w.storage.device == elsewhere.device
