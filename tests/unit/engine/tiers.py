"""One program in every tier that users reach: NumPy, the runs in which native code takes over, native from the first
run on."""

import contextlib

import numpy as np

from cntk_lab import settings

ROWS = (1, 3, 70)
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-9}
"""Rounding alone: sums are added in another order."""


@contextlib.contextmanager
def numpy_only():
    """Everything by NumPy, operator by operator: what the other tiers are compared with."""
    with settings.option(native=False, fuse=False):
        yield


def same_in_every_tier(ask, dtype=np.float32, compare=np.testing.assert_allclose):
    """``ask()`` gives in five runs, and natively from the first run on, what NumPy gives.

    Args:
        ask: evaluates something new: a list of arrays.
        dtype: element type, which says how far rounding may go.
        compare: compares two arrays.
    """
    with numpy_only():
        want = list(ask())
    scale = [max(1.0, float(np.nanmax(np.abs(w), initial=1.0, where=np.isfinite(w)))) for w in want]

    def check(got):
        assert len(got) == len(want)
        for g, w, s in zip(got, want, scale, strict=True):
            assert np.shape(g) == np.shape(w)
            compare(g, w, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * s)

    with settings.option(background_compilation=False):
        for _ in range(5):
            check(list(ask()))
    with settings.option(background_compilation=False, native_after=0):
        check(list(ask()))


def flat(value):
    """Arrays of a value, of sequences each."""
    return list(map(np.asarray, value)) if isinstance(value, list) else [np.asarray(value)]


def values_and_gradients(function, wrt, feed):
    """What a function gives and the gradients of its sum, as a list of arrays."""
    gradients, value = function.grad(feed, wrt=wrt, outputs=[function.output])
    found = flat(function.eval(feed)) + flat(value)
    for v in wrt:
        found += flat(gradients[v] if isinstance(gradients, dict) else gradients)
    return found
