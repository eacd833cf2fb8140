"""Initializers: plain descriptions that fill an array with a parameter's first values.

A description is a mapping with CNTK's keys (``initializerType``, ``scale``, ``outputRank``, ``filterRank``,
``randomSeed``), so that files can hold it. ``fill`` turns it into numbers, the same bits as CNTK's on the CPU for
the same seed. The seed itself is taken when the parameter is *created* (``claim_seed``), also if its shape
is known only later.

Nothing here knows parameters or graphs. Ideas: Glorot, Bengio (2010); He et al. (2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cntk_lab.errors import AttributeValueError, DTypeError, ShapeError, SignatureError
from cntk_lab.tensor.randomness import AUTO_SEED, MersenneTwister64, resolve_seed

__all__ = ["DefaultParamInitScale", "SentinelValueForAutoSelectRandomSeed", "SentinelValueForInferParamInitRank"]
__all__ += ["bilinear", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "initializer_with_rank"]
__all__ += ["normal", "truncated_normal", "uniform", "xavier"]

DefaultParamInitScale: Final = 1
"""Scale of an initializer when none is given."""
SentinelValueForInferParamInitRank: Final = 2147483647
"""Rank that means "not given"; it becomes 1 for the output rank and 0 for the filter rank."""
SentinelValueForAutoSelectRandomSeed: Final = AUTO_SEED
"""Seed that means "take the next seed of the process"."""

_PIECE: Final = 1 << 16
_UNSET: Final = SentinelValueForInferParamInitRank
_Draw = Callable[[MersenneTwister64, int, float], NDArray[np.float64]]
_Spread = Callable[[int, int], float]


def _uniform(stream: MersenneTwister64, count: int, scale: float) -> NDArray[np.float64]:
    return stream.uniform(count, -scale, scale)


def _normal(stream: MersenneTwister64, count: int, scale: float) -> NDArray[np.float64]:
    return stream.normal(count, 0.0, scale)


def _truncated_normal(stream: MersenneTwister64, count: int, scale: float) -> NDArray[np.float64]:
    return stream.truncated_normal(count, 0.0, scale)


_KINDS: Final[dict[str, tuple[_Draw, _Spread]]] = {
    "uniform1": (_uniform, lambda _in, _out: 1.0),
    "normal": (_normal, lambda _in, _out: 1.0),
    "TruncNormal": (_truncated_normal, lambda _in, _out: 1.0),
    "xavier": (_uniform, lambda fan_in, _: math.sqrt(3.0 / fan_in)),
    "glorotUniform": (_uniform, lambda fan_in, fan_out: math.sqrt(6.0 / (fan_in + fan_out))),
    "glorotNormal": (_normal, lambda fan_in, fan_out: math.sqrt(2.0 / (fan_in + fan_out))),
    "heUniform": (_uniform, lambda fan_in, _: math.sqrt(6.0 / fan_in)),
    "heNormal": (_normal, lambda fan_in, _: math.sqrt(2.0 / fan_in)),
}
"""For each CNTK key: how numbers are drawn, and what the scale is multiplied with for these fans."""


_NEEDED: Final = {"bilinear": ("kernelWidth", "kernelHeight"), "constant": ("value",)}


class Initializer(Mapping[str, Any]):
    """A description of a parameter's first values; a mapping with CNTK's keys.

    Build one with the functions of this module. Two descriptions with the same entries are equal.

    Args:
        entries: ``initializerType`` and what belongs to it.

    Raises:
        AttributeValueError: if the type is unknown or the scale is not above 0.

    Example:
        >>> Initializer({"initializerType": "normal", "scale": 0.1})["scale"]
        0.1

    Source: CNTK 2.7 ``ParameterInitializer`` (a dictionary).
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        kind = str(entries.get("initializerType", ""))
        if kind not in (*_KINDS, "bilinear", "constant"):
            raise AttributeValueError(
                f"CreateInitializer: there is no initializer {kind!r}",
                fix=f"use one of {', '.join((*_KINDS, 'bilinear', 'constant'))}",
            )
        needed = _NEEDED.get(kind, ("scale",))
        if missing := [key for key in needed if key not in entries]:
            raise AttributeValueError(
                f"CreateInitializer: initializer {kind!r} lacks {', '.join(missing)}", fix="give all its entries"
            )
        if kind in _KINDS and not (float(entries["scale"]) > 0 and math.isfinite(float(entries["scale"]))):
            raise AttributeValueError(
                f"CreateInitializer: the scale of initializer {kind!r} is {entries['scale']!r}, it must be above 0",
                fix="give a scale above 0; for zeros use init=0",
            )
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._entries.items())))

    def __repr__(self) -> str:
        return f"Initializer({self._entries!r})"

    def claim_seed(self) -> int | None:
        """The seed for one parameter: the given one, else the next of the process; None if nothing is random here.

        Returns:
            A whole number, or None.

        Example:
            >>> normal(1, seed=5).claim_seed()
            5

        Source: CNTK 2.7: the seed is taken when the parameter is created.
        """
        return resolve_seed(self._entries.get("randomSeed")) if self["initializerType"] in _KINDS else None

    def fill(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, seed: int | None = None) -> NDArray[Any]:
        """An array of this shape with the described values.

        Args:
            shape: static shape, every dimension known.
            dtype: float32, float64 or float16 (filled as float32, then rounded).
            seed: seed of the numbers; None takes it with :meth:`claim_seed`.

        Returns:
            Array of ``shape`` and ``dtype``.

        Raises:
            ShapeError: if the shape has fewer axes than the output and filter ranks, or a dimension that is not known.
            DTypeError: if the element type is not a float type.

        Example:
            >>> uniform(1).fill((2,), seed=1)
            array([-0.7322467, -0.7271859], dtype=float32)

        Source: CNTK 2.7 (CPU); numbers in ``tests/golden/initializers.json``.
        """
        element = np.dtype(dtype)
        if element.kind != "f":
            raise DTypeError(
                f"initializer {self['initializerType']}: element type {element} is not a float type",
                fix="use float32, float64 or float16",
            )
        if any(d < 0 for d in shape):
            raise ShapeError(
                f"initializer {self['initializerType']}: shape {shape} has dimensions that are not known yet",
                fix="let the shape be inferred first",
            )
        kind = self["initializerType"]
        if kind == "constant":
            return np.full(shape, self["value"], element)
        if kind == "bilinear":
            return self._fill_bilinear(shape).astype(element)
        fan_in, fan_out = self.fans(shape)
        draw, spread = _KINDS[kind]
        scale = float(self["scale"]) * spread(fan_in, fan_out)
        if element.itemsize < 8:
            scale = float(np.float32(scale))
        chosen = resolve_seed(self._entries.get("randomSeed")) if seed is None else seed
        stream, values = MersenneTwister64(chosen), np.empty(math.prod(shape), element)
        for at in range(0, values.size, _PIECE):
            part = values[at : at + _PIECE]
            drawn = draw(stream, part.size, scale)
            part[...] = drawn.astype(np.float32) if element.itemsize < 8 else drawn
        return values.reshape(shape)

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Number of inputs and of outputs of one unit for a parameter of this shape.

        The last ``filterRank`` axes are the filter; the ``outputRank`` axes before them are outputs, the rest inputs. A
        negative output rank counts outputs from the front. The filter's size multiplies both.

        Args:
            shape: static shape, every dimension known.

        Returns:
            (fan in, fan out).

        Raises:
            ShapeError: if the shape has fewer axes than the two ranks together.

        Example:
            >>> glorot_uniform(output_rank=-1, filter_rank=2).fans((64, 32, 5, 5))
            (800, 1600)

        Source: CNTK 2.7, observed.
        """
        given = (self._entries.get("outputRank", _UNSET), self._entries.get("filterRank", _UNSET))
        output = 1 if given[0] == _UNSET else int(given[0])
        filters = 0 if given[1] == _UNSET else int(given[1])
        rank = len(shape)
        if filters + abs(output) > rank or filters < 0:
            raise ShapeError(
                f"initializer {self['initializerType']}: filter rank {filters} and output rank {output} need "
                f"{filters + abs(output)} axes, the shape {shape} has {rank}",
                fix="use a constant (init=0) for a parameter without axes, or smaller ranks",
            )
        body, kernel = shape[: rank - filters], math.prod(shape[rank - filters :])
        at = len(body) - output if output >= 0 else -output
        first, last = math.prod(body[:at]), math.prod(body[at:])
        inputs, outputs = (first, last) if output >= 0 else (last, first)
        return inputs * kernel, outputs * kernel

    def _fill_bilinear(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        width, height = int(self["kernelWidth"]), int(self["kernelHeight"])
        if width != height or len(shape) != 4 or shape[0] != shape[1] or shape[2:] != (height, width):
            raise ShapeError(
                f"initializer bilinear: kernel {width} x {height} (width x height) for a parameter of shape {shape}",
                fix="use a square kernel and the shape (C, C, kernel, kernel)",
            )
        half = (width + 1) // 2
        centre = half - 1.0 if width % 2 else half - 0.5
        tent = 1 - np.abs(np.arange(width, dtype=np.float32) - np.float32(centre)) / np.float32(half)
        values = np.zeros(shape, np.float32)
        values[range(shape[0]), range(shape[0])] = tent[:, None] * tent[None, :]
        return values


class FilledWith(Initializer):
    """The values of a given array, spread over the shape once that is known.

    Args:
        array: values; a number, or an array that broadcasts to the shape.

    Example:
        >>> FilledWith(np.array([1.0, 2.0])).fill((2, 2)).tolist()
        [[1.0, 2.0], [1.0, 2.0]]

    Source: this project.
    """

    def __init__(self, array: ArrayLike) -> None:
        self.array = np.asarray(array)
        super().__init__(
            {"initializerType": "constant", "value": self.array.flat[0].item() if self.array.size else 0.0}
        )

    def fill(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, seed: int | None = None) -> NDArray[Any]:
        """A copy of the array, broadcast to ``shape``; see :meth:`Initializer.fill`."""
        del seed
        try:
            return np.array(np.broadcast_to(self.array, shape), dtype=dtype)
        except ValueError:
            raise ShapeError(
                f"an array of shape {self.array.shape} cannot fill the shape {shape}",
                fix="give an array of the shape that is inferred, or a number",
            ) from None


def from_dictionary(entries: Mapping[str, Any]) -> Initializer:
    """The description with these entries, as read from a file or taken from another description.

    Args:
        entries: ``initializerType`` and what belongs to it.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the type is unknown, an entry is missing or the scale is not above 0.

    Example:
        >>> from_dictionary(dict(he_normal(seed=3))) == he_normal(seed=3)
        True

    Source: CNTK 2.7 ``CreateInitializer``.
    """
    return Initializer(entries)


def _random(kind: str, scale: float, seed: int | None) -> dict[str, Any]:
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)):
        raise DTypeError(
            f"CreateInitializer: the scale of initializer {kind!r} is {scale!r}, not a number",
            fix="give a number above 0",
        )
    chosen = AUTO_SEED if seed is None else int(seed)
    if not 0 <= chosen < 2**64:
        raise AttributeValueError(
            f"CreateInitializer: the seed of initializer {kind!r} is {seed}",
            fix="give a whole number from 0 to 2^64 - 1",
        )
    return {"initializerType": kind, "scale": float(scale), "randomSeed": chosen}


def _ranked(kind: str, scale: float, output_rank: int, filter_rank: int, seed: int | None) -> Initializer:
    return Initializer({**_random(kind, scale, seed), "outputRank": output_rank, "filterRank": filter_rank})


def uniform(scale: float, seed: int | None = None) -> Initializer:
    """Numbers spread evenly over [-scale, scale).

    Args:
        scale: end of the range, above 0.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> uniform(1).fill((2,), seed=1)
        array([-0.7322467, -0.7271859], dtype=float32)

    Source: CNTK 2.7 ``initializer.uniform``.
    """
    return Initializer(_random("uniform1", scale, seed))


def normal(scale: float, output_rank: int = _UNSET, filter_rank: int = _UNSET, seed: int | None = None) -> Initializer:
    """Normal numbers with mean 0 and standard deviation ``scale``.

    Args:
        scale: standard deviation, above 0.
        output_rank: number of output axes; only checked here, the scale does not depend on it.
        filter_rank: number of filter axes; only checked here.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> normal(1).fill((2,), seed=1)
        array([-0.2277023 , -0.25937724], dtype=float32)

    Source: CNTK 2.7 ``initializer.normal``.
    """
    return _ranked("normal", scale, output_rank, filter_rank, seed)


def truncated_normal(stdev: float, seed: int | None = None) -> Initializer:
    """Normal numbers with mean 0, none further than two standard deviations from it.

    Args:
        stdev: standard deviation before cutting, above 0.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if ``stdev`` is not above 0.

    Example:
        >>> bool(abs(truncated_normal(1).fill((1000,), seed=1)).max() < 2)
        True

    Source: CNTK 2.7 ``initializer.truncated_normal``.
    """
    return Initializer(_random("TruncNormal", stdev, seed))


def xavier(
    scale: float = DefaultParamInitScale,
    output_rank: int = _UNSET,
    filter_rank: int = _UNSET,
    seed: int | None = None,
) -> Initializer:
    """Numbers spread evenly over +-scale sqrt(3 / fan in).

    Keeps the variance of a linear unit with many inputs at that of its inputs.

    Args:
        scale: factor, above 0.
        output_rank: number of output axes (negative: counted from the front).
        filter_rank: number of filter axes, the last ones.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> xavier().fill((200, 100), seed=1).shape
        (200, 100)

    Source: CNTK 2.7 ``initializer.xavier``; Glorot, Bengio (2010).
    """
    return _ranked("xavier", scale, output_rank, filter_rank, seed)


def glorot_uniform(
    scale: float = DefaultParamInitScale,
    output_rank: int = _UNSET,
    filter_rank: int = _UNSET,
    seed: int | None = None,
) -> Initializer:
    """Numbers spread evenly over +-scale sqrt(6 / (fan in + fan out)).

    The default of layers: a compromise between keeping the variance forward and backward.

    Args:
        scale: factor, above 0.
        output_rank: number of output axes (negative: counted from the front).
        filter_rank: number of filter axes, the last ones.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> glorot_uniform().fill((200, 100), seed=1).shape
        (200, 100)

    Source: CNTK 2.7 ``initializer.glorot_uniform``; Glorot, Bengio (2010), equation (16).
    """
    return _ranked("glorotUniform", scale, output_rank, filter_rank, seed)


def glorot_normal(
    scale: float = DefaultParamInitScale,
    output_rank: int = _UNSET,
    filter_rank: int = _UNSET,
    seed: int | None = None,
) -> Initializer:
    """Normal numbers with standard deviation scale sqrt(2 / (fan in + fan out)).

    A compromise between keeping the variance forward and backward.

    Args:
        scale: factor, above 0.
        output_rank: number of output axes (negative: counted from the front).
        filter_rank: number of filter axes, the last ones.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> glorot_normal().fill((200, 100), seed=1).shape
        (200, 100)

    Source: CNTK 2.7 ``initializer.glorot_normal``; Glorot, Bengio (2010), equation (12).
    """
    return _ranked("glorotNormal", scale, output_rank, filter_rank, seed)


def he_uniform(
    scale: float = DefaultParamInitScale,
    output_rank: int = _UNSET,
    filter_rank: int = _UNSET,
    seed: int | None = None,
) -> Initializer:
    """Numbers spread evenly over +-scale sqrt(6 / fan in).

    Keeps the variance forward in networks of rectified linear units.

    Args:
        scale: factor, above 0.
        output_rank: number of output axes (negative: counted from the front).
        filter_rank: number of filter axes, the last ones.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> he_uniform().fill((200, 100), seed=1).shape
        (200, 100)

    Source: CNTK 2.7 ``initializer.he_uniform``; He et al. (2015), equation (10).
    """
    return _ranked("heUniform", scale, output_rank, filter_rank, seed)


def he_normal(
    scale: float = DefaultParamInitScale,
    output_rank: int = _UNSET,
    filter_rank: int = _UNSET,
    seed: int | None = None,
) -> Initializer:
    """Normal numbers with standard deviation scale sqrt(2 / fan in).

    Keeps the variance forward in networks of rectified linear units.

    Args:
        scale: factor, above 0.
        output_rank: number of output axes (negative: counted from the front).
        filter_rank: number of filter axes, the last ones.
        seed: seed; None takes the next one of the process for each parameter.

    Returns:
        Initializer.

    Raises:
        AttributeValueError: if the scale is not above 0.

    Example:
        >>> he_normal().fill((200, 100), seed=1).shape
        (200, 100)

    Source: CNTK 2.7 ``initializer.he_normal``; He et al. (2015), equation (10).
    """
    return _ranked("heNormal", scale, output_rank, filter_rank, seed)


def bilinear(kernel_width: int, kernel_height: int) -> Initializer:
    """Weights that make a transposed convolution enlarge an image by linear interpolation, each channel for itself.

    Args:
        kernel_width: width of the kernel, in pixels.
        kernel_height: height of the kernel, in pixels; must be the width.

    Returns:
        Initializer for parameters of shape (C x C x kernel x kernel).

    Example:
        >>> bilinear(4, 4).fill((1, 1, 4, 4))[0, 0, 0].tolist()
        [0.0625, 0.1875, 0.1875, 0.0625]

    Source: CNTK 2.7 ``initializer.bilinear``; Long et al. (2015), "Fully convolutional networks".
    """
    return Initializer(
        {"initializerType": "bilinear", "kernelWidth": int(kernel_width), "kernelHeight": int(kernel_height)}
    )


def initializer_with_rank(
    initializer: Initializer, output_rank: int | None = None, filter_rank: int | None = None
) -> Initializer:
    """The same description with ranks filled in where they were not given.

    Layers use it to say which axes of their weights are outputs and which are the filter.

    Args:
        initializer: a description.
        output_rank: number of output axes; None leaves it.
        filter_rank: number of filter axes; None leaves it.

    Returns:
        Initializer; the argument stays as it is.

    Raises:
        AttributeValueError: if a rank was already given as another number.
        SignatureError: if ``initializer`` is not a description.

    Example:
        >>> initializer_with_rank(glorot_uniform(), output_rank=-1, filter_rank=2)["filterRank"]
        2

    Source: CNTK 2.7 ``initializer.initializer_with_rank``.
    """
    if not isinstance(initializer, Initializer):
        raise SignatureError(
            f"initializer_with_rank: {initializer!r} is not an initializer",
            fix="give glorot_uniform() or another function of cntk_lab.initializer",
        )
    entries = dict(initializer)
    for key, value in (("outputRank", output_rank), ("filterRank", filter_rank)):
        if value is None or key not in entries:
            continue
        if entries[key] not in (_UNSET, value):
            raise AttributeValueError(
                f"initializer_with_rank: {key} of {entries['initializerType']} is already {entries[key]}, not {value}",
                fix="leave the rank out of the initializer, or ask for the same one",
            )
        entries[key] = int(value)
    return Initializer(entries)
