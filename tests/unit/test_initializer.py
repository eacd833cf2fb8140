"""Initializers: the same bits as CNTK 2.7 for all kinds, shapes and ranks, and errors in the user's words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cntk_lab import initializer
from cntk_lab.errors import AttributeValueError, DTypeError, ShapeError, SignatureError
from cntk_lab.tensor.randomness import AUTO_SEED, reset_random_seed

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "initializers.json").read_text())


def build(case: dict[str, Any]) -> initializer.Initializer:
    made = getattr(initializer, case["name"])(*case["args"], **case["kwargs"])
    assert isinstance(made, initializer.Initializer)
    return made


def describe(case: dict[str, Any]) -> str:
    return f"{case['name']}-{case['args']}-{case['kwargs']}-{case['shape']}-{case['dtype']}"


@pytest.mark.parametrize("case", GOLDEN, ids=describe)
def test_values_are_cntks_bit_for_bit(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(ShapeError):
            build(case).fill(tuple(case["shape"]), case["dtype"], 17)
        return
    expected = [float.fromhex(v) if isinstance(v, str) else v for v in case["values"]]
    found = build(case).fill(tuple(case["shape"]), case["dtype"], 17)
    assert found.dtype == case["dtype"]
    assert found.ravel().tolist() == np.array(expected, case["dtype"]).tolist()


@pytest.mark.parametrize(
    ("shape", "ranks", "fans"),
    [
        ((100, 20, 30), {}, (2000, 30)),
        ((100, 20, 30), {"output_rank": 2}, (100, 600)),
        ((64, 32, 5, 5), {"output_rank": -1, "filter_rank": 2}, (800, 1600)),
        ((1000,), {}, (1, 1000)),
    ],
)
def test_fans_count_inputs_outputs_and_filter(
    shape: tuple[int, ...], ranks: dict[str, int], fans: tuple[int, int]
) -> None:
    assert initializer.glorot_uniform(**ranks).fans(shape) == fans


def test_description_has_cntks_keys() -> None:
    assert dict(initializer.glorot_uniform()) == {
        "initializerType": "glorotUniform",
        "scale": 1.0,
        "outputRank": 2147483647,
        "filterRank": 2147483647,
        "randomSeed": AUTO_SEED,
    }
    assert dict(initializer.uniform(0.5, seed=3)) == {"initializerType": "uniform1", "scale": 0.5, "randomSeed": 3}
    assert dict(initializer.bilinear(3, 2)) == {"initializerType": "bilinear", "kernelWidth": 3, "kernelHeight": 2}


def test_each_parameter_takes_its_own_seed() -> None:
    reset_random_seed(5)
    automatic = initializer.he_normal()
    assert [automatic.claim_seed(), automatic.claim_seed()] == [5, 6]
    assert [initializer.normal(1, seed=9).claim_seed(), initializer.bilinear(2, 2).claim_seed()] == [9, None]
    assert automatic.claim_seed() == 7
    reset_random_seed()


def test_with_rank_fills_in_what_was_not_given() -> None:
    given = initializer.glorot_uniform(output_rank=1)
    assert initializer.initializer_with_rank(given, filter_rank=2)["filterRank"] == 2
    assert initializer.initializer_with_rank(given, output_rank=1) == given
    assert initializer.initializer_with_rank(initializer.uniform(1), 2, 1) == initializer.uniform(1)
    with pytest.raises(AttributeValueError, match="outputRank of glorotUniform is already 1, not 2"):
        initializer.initializer_with_rank(given, output_rank=2)
    with pytest.raises(SignatureError, match=r"0\.5 is not an initializer"):
        initializer.initializer_with_rank(0.5, output_rank=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal", "xavier", "glorot_normal", "he_uniform"])
@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_scales_that_make_no_range_are_refused(name: str, scale: float) -> None:
    with pytest.raises(AttributeValueError, match="CreateInitializer: the scale of initializer"):
        getattr(initializer, name)(scale)


def test_other_mistakes_say_what_is_wrong() -> None:
    with pytest.raises(DTypeError, match="the scale of initializer 'uniform1' is 'a', not a number"):
        initializer.uniform("a")  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="the seed of initializer 'glorotUniform' is -1"):
        initializer.glorot_uniform(seed=-1)
    with pytest.raises(AttributeValueError, match="CreateInitializer: there is no initializer 'foo'"):
        initializer.Initializer({"initializerType": "foo"})
    with pytest.raises(DTypeError, match="element type int32 is not a float type"):
        initializer.uniform(1).fill((2,), np.int32)
    with pytest.raises(ShapeError, match="dimensions that are not known yet"):
        initializer.uniform(1).fill((-1, 2))


def test_dictionaries_and_arrays_become_descriptions() -> None:
    assert initializer.from_dictionary({"initializerType": "constant", "value": 2.0}).fill((2,)).tolist() == [2.0, 2.0]
    with pytest.raises(AttributeValueError, match="initializer 'bilinear' lacks kernelWidth, kernelHeight"):
        initializer.from_dictionary({"initializerType": "bilinear"})
    assert initializer.FilledWith([1.0, 2.0]).fill((2, 2), np.float64).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    with pytest.raises(ShapeError, match=r"shape \(2,\) cannot fill the shape \(3,\)"):
        initializer.FilledWith([1.0, 2.0]).fill((3,))


def test_float16_is_float32_rounded() -> None:
    whole = initializer.normal(1, seed=1).fill((8,))
    assert (initializer.normal(1, seed=1).fill((8,), np.float16) == whole.astype(np.float16)).all()
