"""Statistics of arrays hold for any numbers, and everything in them is a number that JSON can hold."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from cntk_lab.widgets._statistics import BINS, statistics

LARGEST = np.finfo(np.float64).max


def test_a_histogram_counts_equal_parts_of_the_range():
    found = statistics("W", np.array([0.0, 0.5, 1.0, 2.0]))
    assert [i for i, n in enumerate(found.histogram) if n] == [0, 8, 16, 31]
    data = np.random.default_rng(0).normal(size=1000)
    assert statistics("W", data).histogram == np.histogram(data, BINS)[0].tolist()


@pytest.mark.parametrize(
    "numbers",
    [
        [1e308, -1e308], [LARGEST, -LARGEST], [1.0, np.nextafter(1.0, 2.0)], [5e-324, 0.0], [1e300] * 3,
        [LARGEST] * 4, [np.nan, np.inf], [],
    ],
)  # fmt: skip
def test_extremes_are_counted_and_can_be_sent(numbers):
    array = np.array(numbers, np.float64)
    found = statistics("W", array)
    assert sum(found.histogram) == np.isfinite(array).sum()
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_statistics_of_many_pieces_are_those_of_the_whole(monkeypatch):
    from cntk_lab.widgets import _statistics

    data = np.random.default_rng(1).normal(5, 2, (7, 11)).astype(np.float32)
    data[0, 0], data[3, 3], data[6, 10] = np.nan, 0, np.inf
    whole = statistics("W", data)
    monkeypatch.setattr(_statistics, "PIECE", 4)
    parts = statistics("W", data)
    finite = data[np.isfinite(data)].astype(np.float64)
    assert (parts.histogram, parts.zeros, parts.not_finite) == (whole.histogram, 1, 2)
    assert (parts.low, parts.high, parts.mean) == (whole.low, whole.high, pytest.approx(finite.mean()))
    assert parts.deviation == pytest.approx(finite.std())


def test_small_maps_stand_side_by_side_and_a_large_one_alone():
    maps = np.stack([np.full((2, 3), n, np.float64) for n in range(1, 6)])
    above, below = [1, 1, 1, 0, 2, 2, 2], [3, 3, 3, 0, 4, 4, 4]
    assert statistics("v", maps).image == [above, above, [0] * 7, below, below]
    assert np.shape(statistics("v", np.ones((8, 70, 80))).image) == (64, 64)
