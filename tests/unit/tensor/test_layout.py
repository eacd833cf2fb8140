"""Layouts: packing sequences without padding, and back."""

import numpy as np
import pytest

from cntk_lab.errors import SequenceError
from cntk_lab.tensor.layout import Layout, concatenate_ranges


def test_slabs_are_time_major_longest_first():
    layout = Layout.of([2, 3, 1])
    assert layout.order.tolist() == [1, 0, 2]
    assert layout.live.tolist() == [3, 2, 1]
    assert layout.offsets.tolist() == [0, 3, 5, 6]
    # frames laid end to end in the user's order: 0.0 0.1 | 1.0 1.1 1.2 | 2.0
    assert layout.pack.tolist() == [2, 0, 5, 3, 1, 4]
    assert layout.first.tolist() == [1, 0, 2]
    assert layout.last.tolist() == [4, 5, 2]


@pytest.mark.parametrize("seed", range(20))
def test_packing_and_splitting_are_inverse(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, rng.integers(1, 12))
    layout = Layout.of(lengths)
    sequences = [rng.normal(size=(n, 2)) for n in lengths]
    rows = layout.pack_rows(np.concatenate(sequences))
    for before, after in zip(sequences, layout.split(rows), strict=True):
        np.testing.assert_array_equal(before, after)
    assert layout.rows == lengths.sum()
    np.testing.assert_array_equal(rows[layout.row(layout.sequence, layout.position)], rows)


def test_memory_and_time_follow_the_frames_not_the_longest():
    assert Layout.of([1, 1000]).rows == 1001


def test_equal_layouts_are_shared():
    assert Layout.of([3, 1]) is Layout.of(np.array([3, 1]))
    assert Layout.of_samples(3) == Layout.of([1, 1, 1])
    assert Layout.of_samples(3) is Layout.of_samples(3)
    assert Layout.of([3, 1]) != Layout.of([3, 1], [True, False])


def test_an_empty_sequence_is_refused():
    with pytest.raises(SequenceError) as caught:
        Layout.of([2, 0])
    assert str(caught.value) == (
        "sequence 1 is empty: sequences must be at least one frame long\n"
        "  fix:   drop empty sequences before they reach the network"
    )


def test_ranges_end_to_end():
    assert concatenate_ranges(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]


@pytest.mark.parametrize("lengths", [(), (1,), (5,), (1, 1, 1), (2, 3, 1), (4, 4, 1, 7, 4)])
def test_rows_stand_where_a_count_frame_by_frame_puts_them(lengths):
    layout = Layout.of(lengths)
    order = sorted(range(len(lengths)), key=lambda s: -lengths[s])
    rows = [(s, t) for t in range(max(lengths, default=0)) for s in order if lengths[s] > t]
    assert list(zip(layout.sequence.tolist(), layout.position.tolist(), strict=True)) == rows
    assert layout.live.tolist() == [sum(n > t for n in lengths) for t in range(max(lengths, default=0))]
    assert layout.offsets.tolist() == [sum(t < u for _, t in rows) for u in range(max(lengths, default=0) + 1)]
    assert layout.starts.tolist() == [sum(lengths[:s]) for s in range(len(lengths))]
    assert [layout.unpack[layout.starts[s] + t] for s, t in rows] == list(range(len(rows)))
    assert all(v.dtype == np.int64 for v in (layout.live, layout.offsets, layout.starts, layout.pack, layout.unpack))
