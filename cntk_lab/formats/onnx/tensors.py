"""The numbers of ONNX tensors: element types, how many bytes they take, and their values as arrays.

Must not know graphs. Element types that NumPy lacks (bfloat16, 8- and 4-bit floats, 4- and 2-bit integers) become
float32 or int8 arrays of the same values. Source: ONNX's published IR specification (``TensorProto``) and its notes on
the small float types; Micikevicius et al. (2022), FP8 Formats for Deep Learning; OCP Microscaling Formats 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cntk_lab.formats.onnx.records import Dimension, Tensor, Type

CHUNK: Final = 1 << 20
"""Elements that are decoded at once (a multiple of 8)."""


class Element(NamedTuple):
    """An element type: its name, its bits, and how its bit patterns are read."""

    name: str
    bits: int
    pattern: str
    """A NumPy type of that width, "small:<exponent bits>:<bias>:<special values>" for a float of at most 8 bits, or the
    name of a rule in :func:`decode`; "" has no values."""


ELEMENTS: Final[dict[int, Element]] = {
    0: Element("undefined", 0, ""),
    1: Element("float32", 32, "<f4"),
    2: Element("uint8", 8, "|u1"),
    3: Element("int8", 8, "|i1"),
    4: Element("uint16", 16, "<u2"),
    5: Element("int16", 16, "<i2"),
    6: Element("int32", 32, "<i4"),
    7: Element("int64", 64, "<i8"),
    8: Element("string", 0, "text"),
    9: Element("bool", 8, "|b1"),
    10: Element("float16", 16, "<f2"),
    11: Element("float64", 64, "<f8"),
    12: Element("uint32", 32, "<u4"),
    13: Element("uint64", 64, "<u8"),
    14: Element("complex64", 64, "<c8"),
    15: Element("complex128", 128, "<c16"),
    16: Element("bfloat16", 16, "bfloat"),
    17: Element("float8e4m3fn", 8, "small:4:7:fn"),
    18: Element("float8e4m3fnuz", 8, "small:4:8:fnuz"),
    19: Element("float8e5m2", 8, "small:5:15:ieee"),
    20: Element("float8e5m2fnuz", 8, "small:5:16:fnuz"),
    21: Element("uint4", 4, "unsigned"),
    22: Element("int4", 4, "signed"),
    23: Element("float4e2m1", 4, "small:2:1:finite"),
    24: Element("float8e8m0", 8, "power"),
    25: Element("uint2", 2, "unsigned"),
    26: Element("int2", 2, "signed"),
    27: Element("float6e2m3", 6, "small:2:1:finite"),
    28: Element("float6e3m2", 6, "small:3:3:finite"),
}
"""Number of an element type -> what it is."""

ELEMENT_OF: Final[dict[str, int]] = {e.name: n for n, e in ELEMENTS.items() if e.pattern[:1] in tuple("<|")}
"""NumPy's name of an element type -> ONNX's number."""

FIELD_OF: Final[dict[int, str]] = {1: "float_data", 14: "float_data", 11: "double_data", 15: "double_data",
                                   7: "int64_data", 12: "uint64_data", 13: "uint64_data"}  # fmt: skip
"""The field of a tensor's values by element type, where they are not raw; all other types stand in ``int32_data``."""


def element_name(number: int) -> str:
    """The name of an element type.

    Example:
        >>> element_name(1), element_name(99)
        ('float32', 'type 99')
    """
    return ELEMENTS[number].name if number in ELEMENTS else f"type {number}"


def bytes_of(element: int, count: int) -> int:
    """How many bytes that many elements take, the last one of them perhaps not full.

    Example:
        >>> bytes_of(1, 3), bytes_of(22, 3)
        (12, 2)
    """
    return (ELEMENTS[element].bits * count + 7) // 8


def numbers(packed: memoryview | bytearray) -> NDArray[np.uint64]:
    r"""The numbers of a packed run of varints, as their 64 bits.

    Raises:
        ValueError: if a number has more than 10 bytes, or the run ends in the middle of one.

    Example:
        >>> numbers(bytearray(b"\x01\xac\x02"))
        array([  1, 300], dtype=uint64)
    """
    data = np.frombuffer(packed, np.uint8)
    if not data.size:
        return np.zeros(0, np.uint64)
    ends = np.flatnonzero(data < 128)
    if not ends.size or ends[-1] != data.size - 1:
        raise ValueError("the bytes end in the middle of a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > 10:
        raise ValueError("a number of more than 10 bytes")
    result = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        rows = np.flatnonzero(lengths > place)
        result[rows] |= (data[starts[rows] + place] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * place)
    return result


def how_many(tensor: Tensor) -> int:
    """How many numbers the stored field of a tensor holds (bytes, if they are raw).

    Raises:
        ValueError: if they are damaged.
    """
    if tensor.stored is None:
        return 0
    if tensor.field == "raw_data":
        return len(tensor.stored)
    width = {"float_data": 4, "double_data": 8}.get(tensor.field)
    if width:
        return len(tensor.stored) // width
    return len(numbers(tensor.stored))


def expected(tensor: Tensor) -> int:
    """How many numbers the stored field of a tensor must hold for its dimensions (bytes, if they are raw)."""
    count, element = size(tensor), ELEMENTS[tensor.element]
    if tensor.field == "raw_data":
        return bytes_of(tensor.element, count)
    if element.name.startswith("complex"):
        return 2 * count
    return bytes_of(tensor.element, count) if element.bits in (2, 4) else count


def chunks(tensor: Tensor) -> Iterator[NDArray[Any]]:
    """The values of a tensor in order, in flat pieces; none if they are not in the file, or are texts.

    Raises:
        ValueError: if the numbers are damaged.
    """
    element = ELEMENTS[tensor.element]
    if tensor.stored is None or element.pattern in ("", "text"):
        return
    left = size(tensor)
    patterns: Any = memoryview(tensor.stored).cast("B")
    if tensor.field.startswith(("int", "uint")):
        width = max(element.bits, 8)
        low = numbers(tensor.stored).astype(f"<u{width // 8}")  # the low bytes of two's complement
        patterns = memoryview(low.tobytes())
    alone = element.bits == 6 and tensor.field != "raw_data"
    step = CHUNK if alone else CHUNK * element.bits // 8
    for start in range(0, len(patterns), step):
        piece = decode(element, np.frombuffer(patterns[start : start + step], np.uint8), alone)[:left]
        left -= len(piece)
        yield piece


def array(tensor: Tensor) -> NDArray[Any] | None:
    """The values of a tensor in its shape; None if they are not in the file, or are texts.

    Raises:
        ValueError: if the numbers are damaged.
    """
    pieces = list(chunks(tensor))
    if not pieces:
        return None
    return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)).reshape(tensor.dims)


def size(tensor: Tensor) -> int:
    """Number of elements.

    Example:
        >>> size(Tensor("", 1, (2, 3)))
        6
    """
    return math.prod(tensor.dims)


def decode(element: Element, patterns: NDArray[np.uint8], alone: bool = False) -> NDArray[Any]:
    """The values of bit patterns: NumPy's own type, or float32 and int8 where NumPy has none.

    Args:
        element: the element type.
        patterns: the bytes, little-endian; of elements under 8 bits the first stands in the lowest bits.
        alone: whether every element under 8 bits has a byte of its own.

    Example:
        >>> decode(ELEMENTS[22], np.array([0xF1], np.uint8))
        array([ 1, -1], dtype=int8)
    """
    if element.pattern[0] in "<|":
        return patterns.view(element.pattern)
    if element.pattern == "bfloat":
        return (patterns.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if element.bits < 8 and not alone:
        bits: NDArray[np.uint8] = np.unpackbits(patterns, bitorder="little")
        bits = bits[: len(bits) // element.bits * element.bits].reshape(-1, element.bits)
        patterns = np.packbits(bits, axis=1, bitorder="little").reshape(-1)
    values: NDArray[Any] = _table(element)[patterns]
    return values


def _table(element: Element) -> NDArray[Any]:
    """The value of every bit pattern of a type of at most 8 bits."""
    codes: NDArray[np.int64] = np.arange(2**element.bits)
    if element.pattern == "unsigned":
        return codes.astype(np.uint8)
    if element.pattern == "signed":
        return np.where(codes < len(codes) // 2, codes, codes - len(codes)).astype(np.int8)
    if element.pattern == "power":
        return np.where(codes == 255, np.nan, 2.0 ** (codes - 127.0)).astype(np.float32)
    _, exponent_bits, bias, special = element.pattern.split(":")
    mantissa_bits = element.bits - 1 - int(exponent_bits)
    exponent = (codes >> mantissa_bits) & (2 ** int(exponent_bits) - 1)
    fraction = (codes & (2**mantissa_bits - 1)) / 2**mantissa_bits
    size = np.where(exponent == 0, fraction * 2.0 ** (1 - int(bias)), (1 + fraction) * 2.0 ** (exponent - int(bias)))
    negative = codes >> (element.bits - 1) == 1
    result: NDArray[Any] = np.where(negative, -size, size)
    if special == "fnuz":
        result[len(codes) // 2] = np.nan
    elif special == "fn":
        result[(codes & 127) == 127] = np.nan
    elif special == "ieee":
        top = exponent == 2 ** int(exponent_bits) - 1
        result[top] = np.where(fraction[top] > 0, np.nan, np.where(negative[top], -np.inf, np.inf))
    return np.asarray(result, np.float32)


def in_words(tensor: Tensor, most: int = 8) -> str:
    r"""Element type, shape and first values of a tensor.

    Example:
        >>> in_words(Tensor("", 7, (2,), "int64_data", bytearray(b"\x03\x04")))
        'int64 2: 3, 4'
    """
    head = f"{element_name(tensor.element)} {dims_in_words(tensor.dims)}"
    if tensor.external is not None:
        return f"{head}, {external_in_words(tensor)}"
    count = size(tensor)
    if tensor.texts is not None:
        shown = [repr(t[:40].decode("utf-8", "replace")) for t in tensor.texts[:most]]
    else:
        shown = [f"{v:.6g}" if v.dtype.kind == "f" else str(v) for v in next(chunks(tensor), np.zeros(0))[:most]]
    return f"{head}: {', '.join(shown)}{' …' if count > len(shown) else ''}" if shown else head


def external_in_words(tensor: Tensor) -> str:
    """Where the values of a tensor stand that are not in the file, as it says; nobody has looked there."""
    stated = dict(tensor.external or ())
    rest = [f"{key} {stated[key]}" for key in ("offset", "length") if key in stated]
    return ", ".join([f"values in file {stated.get('location', '')!r}", *rest])


def dims_in_words(dims: tuple[Dimension, ...] | None) -> str:
    """A shape in words.

    Example:
        >>> dims_in_words(("N", 3, None)), dims_in_words(()), dims_in_words(None)
        ('N x 3 x ?', 'scalar', 'of unknown shape')
    """
    if dims is None:
        return "of unknown shape"
    return " x ".join("?" if d is None else str(d) for d in dims) or "scalar"


def type_in_words(type_: Type | None) -> str:
    """A type in words.

    Example:
        >>> type_in_words(Type("sequence", inner=Type("tensor", 1, ("N", 3))))
        'sequence of float32 N x 3'
    """
    if type_ is None:
        return "of unknown type"
    if type_.kind in ("tensor", "sparse tensor"):
        sparse = "sparse " if type_.kind == "sparse tensor" else ""
        return f"{sparse}{element_name(type_.element)} {dims_in_words(type_.dims)}"
    if type_.kind == "opaque":
        return "opaque"
    key = f" from {element_name(type_.element)}" if type_.kind == "map" else ""
    return f"{type_.kind}{key} {'to' if key else 'of'} {type_in_words(type_.inner)}"


def tensor_of(name: str, values: NDArray[Any]) -> Tensor:
    """The tensor of an array, its values stored raw.

    Raises:
        KeyError: if ONNX has no such element type.

    Example:
        >>> in_words(tensor_of("w", np.array([1.5, 2.0], np.float32)))
        'float32 2: 1.5, 2'
    """
    element = ELEMENT_OF[values.dtype.name]
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return Tensor(name, element, tuple(values.shape), "raw_data" if raw else "", memoryview(raw) if raw else None)
