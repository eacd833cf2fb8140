"""Seeds, CNTK's generator bit for bit (golden numbers printed by CNTK 2.7), and the counter-based stream."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cntk_lab import settings
from cntk_lab.errors import AttributeValueError
from cntk_lab.tensor import mersenne, randomness
from cntk_lab.tensor.randomness import CounterStream, MersenneTwister64

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "random_streams.json").read_text())


def golden(name: str) -> list[float]:
    return [float.fromhex(x) for x in GOLDEN[name]]


@pytest.fixture(autouse=True)
def seeds_from_zero() -> Iterator[None]:
    randomness.reset_random_seed()
    yield
    randomness.reset_random_seed()


def test_seeds_count_up_from_zero_in_program_order() -> None:
    assert [randomness.next_seed() for _ in range(3)] == [0, 1, 2]
    assert randomness.get_random_seed() == 3


def test_fixed_seed_is_given_to_everybody_until_reset() -> None:
    randomness.set_fixed_random_seed(7)
    assert randomness.is_random_seed_fixed()
    assert [randomness.next_seed(), randomness.resolve_seed(None), randomness.get_random_seed()] == [7, 7, 7]
    randomness.reset_random_seed(40)
    assert not randomness.is_random_seed_fixed()
    assert [randomness.next_seed(), randomness.next_seed()] == [40, 41]


def test_given_seed_does_not_use_up_the_counter() -> None:
    assert randomness.resolve_seed(12) == 12
    assert randomness.resolve_seed(randomness.AUTO_SEED) == 0


def test_words_are_those_of_the_reference_implementation() -> None:
    # mt19937-64.out.txt of Nishimura and Matsumoto starts so for init_genrand64(5489); C++ demands the 10000th value
    words = MersenneTwister64(5489).words(10000)
    assert words[0] == 14514284786278117030
    assert words[9999] == 9981545732273789042


@pytest.mark.parametrize("pieces", [[20], [1] * 20, [7, 13], [19, 1]])
def test_uniform_numbers_are_cntks_however_they_are_asked_for(pieces: list[int]) -> None:
    stream = MersenneTwister64(11)
    found = np.concatenate([stream.uniform(n, -2, 3) for n in pieces])
    assert found.tolist() == golden("uniform_low_-2_high_3_seed_11")


def test_normal_numbers_are_cntks_including_the_tail() -> None:
    z = MersenneTwister64(5).normal(400000)
    for at, value in GOLDEN["normal_at"].items():
        assert z[int(at)] == float.fromhex(value)
    assert z.sum() == float.fromhex(GOLDEN["normal_sum_of_400000"])
    assert MersenneTwister64(11).normal(20, 0.5, 2).tolist() == golden("normal_mean_0.5_scale_2_seed_11")


def test_normal_numbers_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MersenneTwister64(5).normal(20000)
    monkeypatch.setattr(mersenne, "_BLOCK", 97)
    assert (MersenneTwister64(5).normal(20000) == whole).all()


def test_normal_uses_up_an_even_number_of_results() -> None:
    stream = MersenneTwister64(11)
    assert np.concatenate([stream.normal(7) for _ in range(3)]).tolist() == golden("normal_three_calls_of_7_seed_11")
    stream = MersenneTwister64(11)
    assert np.concatenate([stream.uniform(7) for _ in range(3)]).tolist() == golden("uniform_three_calls_of_7_seed_11")


def test_other_distributions_are_cntks() -> None:
    # float64 logarithms of NumPy and of the C library differ in the last bit
    assert MersenneTwister64(11).gumbel(20, 0.5, 2) == pytest.approx(
        golden("gumbel_loc_0.5_scale_2_seed_11"), rel=4e-16
    )
    assert MersenneTwister64(11).bernoulli(60, 0.3).tolist() == GOLDEN["bernoulli_mean_0.3_seed_11"]
    assert MersenneTwister64(9).keep(60, 0.3).tolist() == GOLDEN["dropout_kept_rate_0.3_seed_9"]
    cut = MersenneTwister64(5).truncated_normal(20000, 0, 0.3)
    assert [*cut[:10], *cut[-3:]] == golden("truncated_normal_stdev_0.3_seed_5")


def test_samples_of_classes_are_cntks() -> None:
    expected = GOLDEN["sample_weights_1_to_8_five_of_three_calls_seed_3"]
    weights = np.arange(1.0, 9.0)
    for duplicates, name in ((True, "with_duplicates"), (False, "without")):
        stream = MersenneTwister64(3)
        assert [stream.choose(weights, 5, duplicates).tolist() for _ in range(3)] == expected[name]


@pytest.mark.parametrize("stream", [MersenneTwister64(1), CounterStream(1)])
def test_more_different_samples_than_classes_are_refused(stream: randomness.Stream) -> None:
    with pytest.raises(AttributeValueError, match="3 different classes are wanted, 2 have a weight above 0"):
        stream.choose(np.array([1.0, 0.0, 2.0]), 3, allow_duplicates=False)


def test_skipping_is_drawing() -> None:
    drawn, skipped = MersenneTwister64(8), MersenneTwister64(8)
    drawn.words(1000)
    skipped.skip(1000)
    assert drawn.drawn == skipped.drawn == 1000
    assert (drawn.uniform(10) == skipped.uniform(10)).all()


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123 1.14, kat_vectors: philox4x32 10
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    c0, c1, c2, c3 = (np.array([c], np.uint32) for c in counter)
    assert tuple(int(w[0]) for w in randomness.philox(np, (c0, c1, c2, c3), key)) == expected


def test_any_part_of_a_counter_stream_can_be_computed_alone() -> None:
    whole = randomness.counter_words(np, 5, 2, 70000)
    for first, count in ((0, 1), (3, 2), (65535, 10), (69999, 1), (7, 0)):
        assert (randomness.counter_words(np, 5, 2, count, first) == whole[first : first + count]).all()


def test_counter_streams_of_other_seeds_and_steps_are_other_numbers() -> None:
    words = [randomness.counter_words(np, seed, step, 8).tolist() for seed in (0, 1, 2**32) for step in (0, 1, 2**32)]
    assert len({tuple(w) for w in words}) == 9


def test_counter_stream_has_the_moments_of_its_distributions() -> None:
    n = 200000
    tolerance = 5 / np.sqrt(n)  # five standard errors of a mean with standard deviation 1
    stream = CounterStream(4)
    u, z = stream.uniform(n), stream.normal(n)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < tolerance
    assert abs(z.mean()) < tolerance
    assert abs((z * z).mean() - 1) < 2 * tolerance
    assert abs((z[::2] * z[1::2]).mean()) < 2 * tolerance
    assert abs(stream.bernoulli(n, 0.3).mean() - 0.3) < tolerance
    assert abs(stream.keep(n, 0.3).mean() - 0.7) < tolerance
    cut = stream.truncated_normal(n, 1, 2)
    assert abs(cut - 1).max() <= 4
    assert abs(cut.mean() - 1) < 2 * tolerance
    assert abs(stream.gumbel(n).mean() - 0.5772156649) < 2 * tolerance
    counts = np.bincount(stream.choose(np.array([1.0, 0.0, 3.0]), n), minlength=3) / n
    assert counts[1] == 0
    assert abs(counts[2] - 0.75) < tolerance


def test_choosing_uses_up_steps() -> None:
    stream = CounterStream(3)
    first = [stream.choose(np.ones(1000), 20, False).tolist() for _ in range(2)]
    assert first[0] != first[1]
    assert all(len(set(chosen)) == 20 for chosen in first)


@pytest.mark.parametrize(("probability", "expected"), [(0, 0), (1, 2**32), (0.5, 2**31)])
def test_threshold_counts_the_words_of_an_event(probability: float, expected: int) -> None:
    assert randomness.threshold(probability) == expected


def test_the_switch_chooses_the_stream() -> None:
    with settings.option(cntk_random=True):
        assert isinstance(randomness.open_stream(1), MersenneTwister64)
    assert isinstance(randomness.open_stream(1), CounterStream)
