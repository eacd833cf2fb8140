"""Kernels whose axis of output channels is left out, as CNTK allows where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
import cntk_lab as C
x = C.input_variable((3, 20, 32))
kernel = C.parameter((3, 3, 3), init=1)
short = C.convolution(kernel, x, auto_padding=[False, True, True])
whole = C.convolution(C.parameter((1, 3, 3, 3), init=1), x, auto_padding=[False, True, True])
for rows in (1, 2, 7, 7):
    data = np.random.default_rng(rows).random((rows, 3, 20, 32), np.float32)
    assert np.allclose(short.eval({x: data}), whole.eval({x: data}), atol=1e-4)
    slope = short.grad({x: data}, wrt=[kernel])
    assert np.isfinite(slope).all()
print("same")
"""


def test_a_kernel_without_its_output_axis_writes_nothing_beyond_its_result() -> None:
    """In a process of its own: what went wrong was memory."""
    environment = {**os.environ, "CNTK_LAB_NATIVE_AFTER": "0", "CNTK_LAB_BACKGROUND": "0"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr
