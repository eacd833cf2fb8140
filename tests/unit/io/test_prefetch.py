"""Reading ahead gives what reading when asked gives: same order, same flags, also after going back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs
from cntk_lab.io._prefetch import Ahead


def test_results_made_ahead_are_given_one_by_one() -> None:
    calls: list[int] = []

    def make(place: int, request: int) -> tuple[int, int | None]:
        calls.append(place)
        return place * request, place + 1 if place < 9 else None

    ahead = Ahead(make, depth=2)
    place: int | None = 0
    found = []
    while place is not None:
        result, place = ahead.get(place, 7)
        found.append(result)
    assert found == [7 * n for n in range(10)]
    assert calls == list(range(10))
    assert ahead.get(5, 7) == (35, 6)
    assert ahead.get(6, 2) == (12, 7)  # another request: what was made ahead is dropped
    assert ahead.get(2, 2) == (4, 3)  # another place


def text(path: Path, sparse: bool) -> Any:
    random = np.random.default_rng(0)
    with path.open("w") as file:
        for k in range(700):
            for _ in range(int(random.integers(1, 5)) if sparse else 1):
                file.write(f"{k} |x {k % 50}:{k + 1} 7:2\n" if sparse else f"{k} |x {k} 1 2\n")
    deserializer = CTFDeserializer(
        str(path), StreamDefs(x=StreamDef(field="x", shape=51 if sparse else 3, is_sparse=sparse))
    )
    deserializer["chunkSizeInBytes"] = 2000
    return deserializer


@pytest.mark.parametrize("sparse", [False, True])
def test_minibatches_read_ahead_are_those_made_when_asked(tmp_path: Path, sparse: bool) -> None:
    deserializer = text(tmp_path / "a.txt", sparse)
    one, two = (MinibatchSource(deserializer, max_sweeps=3, prefetch=p) for p in (0, 2))
    states, count = [], 0
    while minibatch := one.next_minibatch(16):
        other = two.next_minibatch(16)
        a, b = minibatch[one.streams.x], other[two.streams.x]
        assert (a.num_samples, a.num_sequences, a.end_of_sweep) == (b.num_samples, b.num_sequences, b.end_of_sweep)
        assert np.array_equal(a.asarray(), b.asarray())
        assert one.get_checkpoint_state() == two.get_checkpoint_state()
        states.append(one.get_checkpoint_state())
        count += 1
    assert two.next_minibatch(16) == {}
    middle = count // 2
    for source in (one, two):
        source.restore_from_checkpoint(states[middle])
    again = [s.next_minibatch(16)[s.streams.x].asarray() for s in (one, two)]
    assert np.array_equal(*again)
