"""With ``cntk_random`` (what the alias switches on) operators draw the very numbers that CNTK 2.7 drew for a seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings

SEED = 98052


def of_ones(make: Callable[..., Any]) -> Any:
    x = C.input_variable(3)
    return make(x).eval({x: np.ones((2, 3), "f")})


DRAWN: dict[str, tuple[Callable[[], Any], list[float]]] = {
    "uniform": (
        lambda: C.random.uniform((2, 3), seed=SEED).eval(),
        [0.931785, 0.814722, 0.479606, 0.937468, 0.004351, 0.185131],
    ),
    "uniform double": (
        lambda: C.random.uniform((2, 3), low=-1, high=3, seed=SEED, dtype=np.float64).eval(),
        [2.727139, 2.258887, 0.918426, 2.749873, -0.982596, -0.259474],
    ),
    "normal": (
        lambda: C.random.normal((2, 3), mean=1, scale=2, seed=SEED).eval(),
        [4.606509, 2.990789, -0.263948, -2.473441, 1.01123, 0.319951],
    ),
    "gumbel": (
        lambda: C.random.gumbel((2, 3), loc=1, scale=2, seed=SEED).eval(),
        [-0.975426, -0.044595, 1.851836, -1.039198, 11.870355, 4.172141],
    ),
    "bernoulli": (lambda: C.random.bernoulli((2, 3), mean=0.3, seed=SEED).eval(), [1, 1, 0, 1, 0, 0]),
    "uniform like": (
        lambda: of_ones(lambda x: C.random.uniform_like(x, seed=SEED)),
        [0.931785, 0.814722, 0.479606, 0.937468, 0.004351, 0.185131],
    ),
    "normal like": (
        lambda: of_ones(lambda x: C.random.normal_like(x, seed=SEED)),
        [1.803254, 0.995395, -0.631974, -1.736721, 0.005615, -0.340025],
    ),
    "gumbel like": (
        lambda: of_ones(lambda x: C.random.gumbel_like(x, seed=SEED)),
        [-0.987713, -0.522298, 0.425918, -1.019599, 5.435177, 1.586071],
    ),
    "bernoulli like": (lambda: of_ones(lambda x: C.random.bernoulli_like(x, seed=SEED)), [1, 1, 0, 1, 0, 0]),
}


@pytest.mark.parametrize(("draw", "numbers"), DRAWN.values(), ids=DRAWN)
def test_random_operators_draw_the_numbers_of_cntk(draw: Callable[[], Any], numbers: list[float]) -> None:
    with settings.option(cntk_random=True):
        assert draw().ravel() == pytest.approx(numbers, abs=2e-6)
    assert draw().ravel() != pytest.approx(numbers, abs=2e-6)


def test_dropout_goes_on_where_it_was_as_in_cntk() -> None:
    x = C.input_variable(3)
    z = C.dropout(x, 0.4, seed=SEED)
    with settings.option(cntk_random=True):
        drawn = []
        for _ in range(2):
            _, values = z.forward({x: np.ones((2, 3), "f")}, [z.output], {z.output})
            drawn.append((values[z.output].ravel() != 0).tolist())
    assert drawn == [[True, True, True, True, False, False], [False, False, True, False, False, True]]


RAGGED = [2, 5, 1, 3, 1]


def of_ragged(make: Callable[..., Any]) -> list[list[float]]:
    """What a recurrence or an operator draws for sequences of different lengths."""
    x = C.sequence.input_variable(1)
    drawn = make(x).eval({x: [np.ones((n, 1), "f") for n in RAGGED]})
    return [np.ravel(a).tolist() for a in drawn]


def in_a_loop(go_backwards: bool) -> Callable[..., Any]:
    def step(h: Any, x: Any) -> Any:
        return C.random.uniform_like(h, seed=9) + 0 * x

    return lambda x: C.layers.Recurrence(step, go_backwards=go_backwards)(x)


OF_SEQUENCES: dict[str, tuple[Callable[..., Any], list[list[float]]]] = {
    "all at once": (
        lambda x: C.random.uniform_like(x, seed=7),
        [[0.7544, 0.8919], [0.9493, 0.1413, 0.9007, 0.7557, 0.3085], [0.8325], [0.1174, 0.0551, 0.2572], [0.7179]],
    ),
    "forward": (
        in_a_loop(False),
        [[0.5185, 0.8279], [0.4996, 0.2359, 0.147, 0.302, 0.2143], [0.9003], [0.8745, 0.0178, 0.8806], [0.022]],
    ),
    "backward": (
        in_a_loop(True),
        [[0.3516, 0.022], [0.2143, 0.302, 0.147, 0.2359, 0.4996], [0.9003], [0.3553, 0.5259, 0.8806], [0.8279]],
    ),
}


@pytest.mark.parametrize(("make", "numbers"), OF_SEQUENCES.values(), ids=OF_SEQUENCES)
def test_sequences_of_different_lengths_are_drawn_in_the_order_of_cntk(
    make: Callable[..., Any], numbers: list[list[float]]
) -> None:
    for _ in range(3):
        with settings.option(cntk_random=True):
            for got, want in zip(of_ragged(make), numbers, strict=True):
                assert got == pytest.approx(want, abs=6e-5)


def test_a_loop_draws_anew_in_each_run() -> None:
    x = C.sequence.input_variable(1)
    z = in_a_loop(False)(x)
    data = {x: [np.ones((n, 1), "f") for n in (3, 1, 2)]}
    with settings.option(cntk_random=True):
        runs = [[np.ravel(a).round(4).tolist() for a in z.eval(data)] for _ in range(2)]
    assert runs == [
        [pytest.approx(s, abs=6e-5) for s in ([0.5185, 0.8745, 0.2359], [0.4996], [0.8279, 0.0178])],
        [pytest.approx(s, abs=6e-5) for s in ([0.9003, 0.8806, 0.302], [0.147], [0.022, 0.5259])],
    ]
