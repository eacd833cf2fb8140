"""Random operators: new numbers at each forward pass, from the stream that the operator's seed opens."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from cntk_lab.errors import AttributeValueError
from cntk_lab.graph import ports
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.dtype import name_of
from cntk_lab.tensor.randomness import AUTO_SEED, MersenneTwister64, resolve_seed
from cntk_lab.tensor.shape import Shape, as_shape, size
from cntk_lab.tensor.sparse import SparseRows, from_one_hot

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["random_sample", "random_sample_inclusion_frequency"]

_NO_OPERANDS = ("",)
"""For operators that are all attributes."""


def seeded(build: F) -> F:
    """An operator whose attribute ``seed`` becomes a number when the operator is used, in program order.

    A ``dtype`` attribute that is not given becomes the default element type.
    """
    signature = inspect.signature(build)

    @functools.wraps(build)
    def choose(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        bound.arguments["seed"] = resolve_seed(bound.arguments["seed"])
        if "dtype" in bound.arguments:
            dtype = bound.arguments["dtype"]
            bound.arguments["dtype"] = ports.use("default_option")("dtype", np.float32) if dtype is None else dtype
        return build(*bound.args, **bound.kwargs)

    return choose  # type: ignore[return-value]


def _fresh(draw: Callable[..., Any]) -> dict[str, Any]:
    """Facts of an operator that makes numbers of a given shape."""
    return {
        "operands": _NO_OPERANDS,
        "shape": lambda shape: as_shape(shape),
        "dtype": lambda dtype: name_of(dtype),
        "axes": lambda: (),
        "forward": draw,
        "traits": [Trait.RANDOM, Trait.NO_GRADIENT],
        "samples": (Sample((), {"shape": (2, 3), "seed": 1}, sequence=False, gradient=False),),
    }


def _like(draw: Callable[..., Any]) -> dict[str, Any]:
    """Facts of an operator that makes numbers of an operand's shape."""
    return {
        "operands": ("x",),
        "shape": lambda x: x.dims,
        "partial": lambda x: x.shape,
        "forward": draw,
        "traits": [Trait.RANDOM, Trait.NO_GRADIENT],
        "samples": (Sample(((2, 3),), {"seed": 1}, gradient=False),),
    }


def _filled(numbers: Any, target: Any, shape: Shape) -> Any:
    return numbers.reshape(shape).astype(target.dtype)


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "uniform", "operands": 0},
        attributes={"seed": "rngSeed"},
    ),
    onnx=OnnxRule("RandomUniform"),
    **_fresh(
        lambda random, target, low, high: _filled(
            random.uniform(size(target.shape), low, high), target, (1, *target.shape)
        )
    ),
)
def uniform(
    shape: Any, dtype: Any = None, low: float = 0.0, high: float = 1.0, seed: int = AUTO_SEED, name: str = ""
) -> Function:
    """Random numbers, all of an interval equally likely; new ones at each forward pass.

    Args:
        shape: static shape of the result.
        dtype: element type; by default that of ``default_options`` or float32.
        low: smallest number.
        high: end of the interval, not reached.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape, without dynamic axes; its gradient is 0.

    Example:
        >>> uniform((2, 3), seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.uniform``; ONNX RandomUniform-1.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "uniform", "operands": 1},
        attributes={"seed": "rngSeed"},
    ),
    onnx=OnnxRule("RandomUniformLike"),
    **_like(lambda random, x, low, high: random.uniform(x.size, low, high).reshape(x.shape).astype(x.dtype)),
)
def uniform_like(x: Operand, low: float = 0.0, high: float = 1.0, seed: int = AUTO_SEED, name: str = "") -> Function:
    """Random numbers, all of an interval equally likely, of the shape of an operand; new ones at each forward pass.

    Args:
        x: operand of any static shape; only its shape, element type and dynamic axes count.
        low: smallest number.
        high: end of the interval, not reached.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> uniform_like([[1, 2, 3], [4, 5, 6]], seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.uniform_like``; ONNX RandomUniformLike-1.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "normal", "operands": 0},
        attributes={"seed": "rngSeed"},
    ),
    onnx=OnnxRule("RandomNormal"),
    **_fresh(
        lambda random, target, mean, scale: _filled(
            random.normal(size(target.shape), mean, scale), target, (1, *target.shape)
        )
    ),
)
def normal(
    shape: Any, dtype: Any = None, mean: float = 0.0, scale: float = 1.0, seed: int = AUTO_SEED, name: str = ""
) -> Function:
    """Random normally distributed numbers; new ones at each forward pass.

    Args:
        shape: static shape of the result.
        dtype: element type; by default that of ``default_options`` or float32.
        mean: mean.
        scale: standard deviation.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape, without dynamic axes; its gradient is 0.

    Example:
        >>> normal((2, 3), seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.normal``; ONNX RandomNormal-1.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "normal", "operands": 1},
        attributes={"seed": "rngSeed"},
    ),
    onnx=OnnxRule("RandomNormalLike"),
    **_like(lambda random, x, mean, scale: random.normal(x.size, mean, scale).reshape(x.shape).astype(x.dtype)),
)
def normal_like(x: Operand, mean: float = 0.0, scale: float = 1.0, seed: int = AUTO_SEED, name: str = "") -> Function:
    """Random normally distributed numbers, of the shape of an operand; new ones at each forward pass.

    Args:
        x: operand of any static shape; only its shape, element type and dynamic axes count.
        mean: mean.
        scale: standard deviation.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> normal_like([[1, 2, 3], [4, 5, 6]], seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.normal_like``; ONNX RandomNormalLike-1.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "gumbel", "operands": 0},
        attributes={"seed": "rngSeed"},
    ),
    **_fresh(
        lambda random, target, loc, scale: _filled(
            random.gumbel(size(target.shape), loc, scale), target, (1, *target.shape)
        )
    ),
)
def gumbel(
    shape: Any, dtype: Any = None, loc: float = 0.0, scale: float = 1.0, seed: int = AUTO_SEED, name: str = ""
) -> Function:
    """Random numbers of the Gumbel distribution, loc - scale * log(-log(u)); new ones at each forward pass.

    Args:
        shape: static shape of the result.
        dtype: element type; by default that of ``default_options`` or float32.
        loc: location.
        scale: scale.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape, without dynamic axes; its gradient is 0.

    Example:
        >>> gumbel((2, 3), seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.gumbel``.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "gumbel", "operands": 1},
        attributes={"seed": "rngSeed"},
    ),
    **_like(lambda random, x, loc, scale: random.gumbel(x.size, loc, scale).reshape(x.shape).astype(x.dtype)),
)
def gumbel_like(x: Operand, loc: float = 0.0, scale: float = 1.0, seed: int = AUTO_SEED, name: str = "") -> Function:
    """Random numbers of the Gumbel distribution, of the shape of an operand; new ones at each forward pass.

    Args:
        x: operand of any static shape; only its shape, element type and dynamic axes count.
        loc: location.
        scale: scale.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> gumbel_like([[1, 2, 3], [4, 5, 6]], seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.gumbel_like``.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "bernoulli", "operands": 0},
        attributes={"seed": "rngSeed"},
    ),
    **_fresh(
        lambda random, target, mean: _filled(random.bernoulli(size(target.shape), mean), target, (1, *target.shape))
    ),
)
def bernoulli(shape: Any, dtype: Any = None, mean: float = 0.5, seed: int = AUTO_SEED, name: str = "") -> Function:
    """Random zeros and ones; new ones at each forward pass.

    Args:
        shape: static shape of the result.
        dtype: element type; by default that of ``default_options`` or float32.
        mean: probability of a one.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape, without dynamic axes; its gradient is 0.

    Example:
        >>> bernoulli((2, 3), seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.bernoulli``.
    """


@seeded
@tensor_op(
    cntk=CntkRule(
        "RandomDistribution",
        id=76,
        where={"randomDistributionType": "bernoulli", "operands": 1},
        attributes={"seed": "rngSeed"},
    ),
    **_like(lambda random, x, mean: random.bernoulli(x.size, mean).reshape(x.shape).astype(x.dtype)),
)
def bernoulli_like(x: Operand, mean: float = 0.5, seed: int = AUTO_SEED, name: str = "") -> Function:
    """Random zeros and ones, of the shape of an operand; new ones at each forward pass.

    Args:
        x: operand of any static shape; only its shape, element type and dynamic axes count.
        mean: probability of a one.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> bernoulli_like([[1, 2, 3], [4, 5, 6]], seed=98052).eval().shape
        (2, 3)

    Source: CNTK 2.7 ``random.bernoulli_like``.
    """


# ---- sampling by weight


def _drawable(weights: TensorType, num_samples: int, allow_duplicates: bool) -> Shape:
    classes = size(weights.dims)
    if num_samples < 1:
        raise AttributeValueError(f"random_sample: num_samples is {num_samples}", fix="give 1 or more")
    if not allow_duplicates and num_samples >= classes:
        raise AttributeValueError(
            f"For sampling without duplicates the number of requested samples ({num_samples}) needs to be less than "
            f"the number of classes ({classes}).",
            fix="ask for fewer samples, or allow duplicates",
        )
    return (num_samples, classes)


def _sample(xp: Any, weights: Any, num_samples: int, allow_duplicates: bool, drawing: Any) -> Any:
    chosen = drawing.choose(_weights(weights), num_samples, allow_duplicates)
    if xp is np and weights.dtype != np.float16:  # SciPy has no matrices of half precision
        drawn = from_one_hot(np.asarray(chosen), weights.size, weights.dtype.name)
        return SparseRows(drawn.reshape((1, num_samples * weights.size)).tocsr(), (num_samples, weights.size))
    rows = xp.zeros((1, num_samples, weights.size), weights.dtype)
    rows[0, xp.arange(num_samples), xp.asarray(chosen)] = 1
    return rows


def _weights(weights: Any) -> Any:
    host = np.asarray(weights.get() if hasattr(weights, "get") else weights, np.float64).ravel()
    fine = np.isfinite(host)
    if not fine.all():
        raise AttributeValueError(f"random_sample: a weight is {host[~fine][0]}", fix="give weights of 0 or more")
    if (host < 0).any() or not host.any():
        raise AttributeValueError(
            f"random_sample: the smallest weight is {host.min()}, the largest {host.max()}",
            fix="give weights of 0 or more, at least one of them above 0",
        )
    return host


_TRIALS = 10
"""How many times CNTK draws without duplicates to estimate the expected frequencies."""


def _frequency(xp: Any, weights: Any, num_samples: int, allow_duplicates: bool, seed: int) -> Any:
    share = _weights(weights)
    share = share / share.sum()
    expected = num_samples * share
    frequency = expected if allow_duplicates else 1 - (1 - share) ** _mean_draws(share, num_samples, seed)
    return xp.asarray(frequency, weights.dtype).reshape(weights.shape)


def _mean_draws(share: Any, count: int, seed: int) -> float:
    """How many drawings with duplicates it takes to see ``count`` different classes: the mean of CNTK's few trials."""
    stream = MersenneTwister64(seed)
    draws = 0
    for _ in range(_TRIALS):
        found: set[int] = set()
        while len(found) < count:
            found.update(stream.choose(share, 1).tolist())
            draws += 1
    return draws / _TRIALS


_SAMPLING: dict[str, Any] = {
    "operands": ("weights",),
    "axes": lambda weights: (),
    "traits": [Trait.RANDOM, Trait.NO_GRADIENT],
    "domain": {"weights": reals(0.5, 2.0)},
}


@seeded
@tensor_op(
    shape=_drawable,
    forward=_sample,
    sparse=lambda weights: True,
    cntk=CntkRule(
        "RandomSample",
        id=45,
        attributes={"num_samples": "numSamples", "allow_duplicates": "allowDuplicates", "seed": "rngSeed"},
    ),
    samples=(
        Sample(
            ((5,),),
            {"num_samples": 3, "allow_duplicates": True, "seed": 1},
            sequence=False,
            parameters=(0,),
            gradient=False,
        ),
    ),
    **_SAMPLING,
)
def random_sample(
    weights: Operand, num_samples: int, allow_duplicates: bool, seed: int = AUTO_SEED, name: str = ""
) -> Function:
    """Classes drawn at random, as one-hot rows; the probability of a class is in proportion to its weight.

    Args:
        weights: vector of V weights, 0 or more.
        num_samples: n, how many classes are drawn.
        allow_duplicates: whether a class may be drawn more than once; if not, n must be less than V.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function (n x V) without dynamic axes; its gradient is 0.

    Raises:
        AttributeValueError: if n is not less than V without duplicates.

    Example:
        >>> random_sample([0.0, 1.0, 0.0], 2, True).eval().toarray().tolist()
        [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]

    Source: CNTK 2.7 ``ops.random_sample``.
    """


@seeded
@tensor_op(
    shape=lambda weights, num_samples, allow_duplicates: (
        _drawable(weights, num_samples, allow_duplicates),
        weights.dims,
    )[1],
    forward=_frequency,
    cntk=CntkRule(
        "RandomSampleInclusionFrequency",
        id=46,
        attributes={"num_samples": "numSamples", "allow_duplicates": "allowDuplicates", "seed": "rngSeed"},
    ),
    samples=(
        Sample(
            ((5,),),
            {"num_samples": 3, "allow_duplicates": True, "seed": 1},
            sequence=False,
            parameters=(0,),
            gradient=False,
        ),
        Sample(
            ((5,),),
            {"num_samples": 3, "allow_duplicates": False, "seed": 1},
            sequence=False,
            parameters=(0,),
            gradient=False,
        ),
    ),
    **_SAMPLING,
)
def random_sample_inclusion_frequency(
    weights: Operand,
    num_samples: int,
    allow_duplicates: bool,
    seed: int = AUTO_SEED,
    name: str = "",
) -> Function:
    """How often each class is expected among the classes that :func:`random_sample` draws.

    Args:
        weights: vector of V weights, 0 or more.
        num_samples: how many classes are drawn.
        allow_duplicates: whether a class may be drawn more than once; if not, the result is an estimate by simulation.
        seed: of the simulation; by default the next one of the process.

    Returns:
        Function of the shape of the weights, without dynamic axes; its gradient is 0.

    Raises:
        AttributeValueError: if num_samples is not less than V without duplicates.

    Example:
        >>> random_sample_inclusion_frequency([1.0, 2.0, 3.0, 4.0, 0.0], 4, True).eval().astype(float).round(4).tolist()
        [0.4, 0.8, 1.2, 1.6, 0.0]

    Source: CNTK 2.7 ``ops.random_sample_inclusion_frequency``.
    """
