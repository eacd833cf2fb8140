"""Devices: a plan runs on whatever backend its device has; the path a GPU takes is exercised without one."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import jit
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.device import DeviceDescriptor, cpu
from cntk_lab.engine.ask import tiers
from cntk_lab.engine.cuda import tier


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
    monkeypatch.setattr(tier, "backend_of", lambda device: backend)
    tiers._gpu.cache_clear()
    monkeypatch.setattr("cntk_lab.tensor.arrays.to_device", lambda array, device: np.asarray(array))
    yield backend
    tiers._gpu.cache_clear()


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


def test_values_that_come_back_from_another_device_are_those_that_native_tables_read(elsewhere, monkeypatch):
    """Evaluated here, changed there, evaluated and trained here again: always with the numbers of the last change."""
    monkeypatch.setattr("cntk_lab.tensor.arrays.to_device", lambda array, device: np.array(array))
    x, y = C.input_variable(3), C.input_variable(2)
    w = C.parameter(init=np.ones((3, 2), "f"))
    f = C.times(x, w)
    loss = C.reduce_sum(C.square(f - y))
    rate = C.learning_parameter_schedule_per_sample(0.1)
    trainer = C.Trainer(f, (loss, None), [C.momentum_sgd(f.parameters, rate, C.momentum_schedule(0.5))])
    batch, target = np.eye(3, dtype="f"), np.zeros((3, 2), "f")

    def train():
        trainer.train_minibatch({x: batch, y: target})

    for _ in range(8):  # until native tables run
        f.eval({x: batch})
        train()
    jit.finish(300)
    train()
    for there in (2.0, 3.0):
        f.eval({x: batch}, device=elsewhere.device)
        assert w.storage.device == elsewhere.device
        w.value = np.full((3, 2), there, "f")
        state, values = f.forward({x: batch}, [f.output], {f.output})
        np.testing.assert_array_equal(values[f.output], np.full((3, 2), there))
        assert w.storage.device == cpu()
        gradient = f.backward(state, {f.output: np.ones((3, 2), "f")}, {w})[w]
        np.testing.assert_array_equal(gradient, np.ones((3, 2)))
        np.testing.assert_array_equal(f.eval({x: batch}), np.full((3, 2), there))
    before = w.value
    train()
    trained = w.value
    assert (trained < before).all()
    f.eval({x: batch}, device=elsewhere.device)
    train()  # the short way must not take memory that is out of use
    assert (w.value < trained).all()
    np.testing.assert_array_equal(f.eval({x: batch}), w.value)
