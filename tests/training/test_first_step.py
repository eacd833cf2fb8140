"""The first training step: soon, whatever is in the kernel cache, and native at once if the cache is warm.

Each case is a process of its own, as a user starts one: nothing is planned, compiled or loaded before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cntk_lab.backends.cpu import jit

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1.5  # from the call of the first train_minibatch to its return, on a machine with nothing else to do
CHILD = """
import json, time
import numpy as np
import cntk_lab as C
from cntk_lab.backends.cpu import jit
from cntk_lab.cli._demo import convnet
from cntk_lab.engine.cpu.native import NativePlan
from cntk_lab.engine.cpu.tier import CpuBound

native, real, serve = [], CpuBound.run, NativePlan.serve
def run(self, given):
    native.append(False)
    return real(self, given)
def served(self, run):
    native[-1] = True
    return serve(self, run)
CpuBound.run, NativePlan.serve = run, served

x, y = C.input_variable((1, 28, 28)), C.input_variable(10)
z = convnet()(x)
criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
trainer = C.Trainer(z, criterion, [C.momentum_sgd(z.parameters, 0.05, 0.9, unit_gain=False)])
random = np.random.default_rng(0)
data = {x: random.random((64, 1, 28, 28), np.float32), y: np.eye(10, dtype=np.float32)[random.integers(0, 10, 64)]}
wall, own = time.perf_counter(), time.process_time()
trainer.train_minibatch(data)
wall, own = time.perf_counter() - wall, time.process_time() - own
first = trainer.previous_minibatch_loss_average
jit.finish(120)
trainer.train_minibatch(data)
print(json.dumps({"wall": wall, "own": own, "native": native, "loss": first}))
"""


def first_step(cache: Path) -> dict[str, object]:
    """What a fresh process reports of its first step with kernels kept in ``cache``."""
    environment = {
        **os.environ,
        "CNTK_LAB_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def limit() -> float:
    """The bar, stretched by how many processes share each core (the first step waits for its turn like all others)."""
    return SECONDS * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.slow
@pytest.mark.skipif(not jit.available(), reason=f"no native tier: {jit.why_not()}")
def test_the_first_step_comes_soon_on_numpy_and_is_native_when_the_kernels_are_kept(tmp_path):
    cold = first_step(tmp_path)
    assert cold["native"] == [False, True], "NumPy serves until the kernels are compiled, then the native tier does"
    assert cold["own"] < SECONDS, "the process itself works longer than that"
    assert cold["wall"] < limit()
    warm = first_step(tmp_path)
    assert warm["native"][0], "every kernel is in the cache: the first step is native"
    assert warm["own"] < SECONDS
    assert warm["wall"] < limit()
    assert warm["loss"] == pytest.approx(cold["loss"], rel=1e-4)  # both tiers, the same numbers but for rounding
    print(f"first step: {cold['wall']:.2f} s cold, {warm['wall']:.2f} s warm")
