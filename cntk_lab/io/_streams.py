"""What a stream is: its definition by the user, its description by a source, and one minibatch of it.

Knows no files and no order of reading. Names and members are CNTK's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.record import Record
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.shape import Shape, as_shape
from cntk_lab.tensor.sparse import SparseRows, is_csr
from cntk_lab.tensor.value import Value

INFINITELY_REPEAT: Final = 2**64 - 1
"""As max_samples or max_sweeps: there is no limit."""
FULL_DATA_SWEEP: Final = 2**64 - 2
"""As max_samples: every sequence once."""
DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS: Final = 128
"""Chunks among which sequences change places, unless told otherwise."""
LONGEST_SEQUENCE: Final = 65535

StreamDefs = Record
"""Stream definitions by name: ``StreamDefs(features=StreamDef(...), labels=StreamDef(...))``."""


def StreamDef(
    field: str | None = None,
    shape: Any = None,
    is_sparse: bool = False,
    transforms: Sequence[Any] | None = None,
    context: tuple[int, int] | None = None,
    scp: Any = None,
    mlf: Any = None,
    broadcast: bool | None = None,
    defines_mb_size: bool = False,
    max_sequence_length: int = LONGEST_SEQUENCE,
) -> Record:
    """The definition of one stream: where it is found in the data, and its form.

    Args:
        field: its name in the file; for images 'image' or 'label'.
        shape: dimension or static shape of one sample or frame.
        is_sparse: whether the data are index:value pairs.
        transforms: for images: what is done to each, in order (``io.transforms``).
        context: for HTK features: frames added on the left and on the right.
        scp: for HTK features: file or files that list utterances.
        mlf: for HTK labels: label file or files.
        broadcast: for HTK features: whether one frame stands for all frames of its utterance.
        defines_mb_size: whether minibatch sizes count samples of this stream (of at most one stream).
        max_sequence_length: longest sequence that is read, in frames.

    Returns:
        Record with the entries that were given.

    Raises:
        AttributeValueError: if shape is missing for sparse data, or transforms are mixed with what they do not fit.

    Example:
        >>> StreamDef(field="x", shape=3).dim
        3

    Source: CNTK 2.7 ``io.StreamDef``.
    """
    config: dict[str, Any] = {"stream_alias": field, "is_sparse": bool(is_sparse)}
    if is_sparse and shape is None:
        raise AttributeValueError(f"stream '{field}' is sparse and has no shape", fix="give its dimension: shape=...")
    if shape is not None:
        config["dim"] = shape
    if transforms is not None:
        config["transforms"] = list(transforms)
    optional = {"context": context, "scp": scp, "mlf": mlf, "broadcast": broadcast}
    config |= {name: value for name, value in optional.items() if value is not None}
    if scp is not None and mlf is not None:
        raise AttributeValueError("a stream has both scp (features) and mlf (labels)", fix="define two streams")
    config["defines_mb_size"] = bool(defines_mb_size)
    config["max_sequence_length"] = int(max_sequence_length)
    return Record(**config)


class StreamConfiguration:
    """The definition of one stream of a text file, in CNTK's older form.

    Args:
        name: the stream's name.
        dim: dimension of one sample.
        is_sparse: whether the data are index:value pairs.
        stream_alias: its name in the file; empty: the same name.
        defines_mb_size: whether minibatch sizes count samples of this stream.

    Example:
        >>> StreamConfiguration("x", 3).m_dim
        3

    Source: CNTK 2.7 ``io.StreamConfiguration``.
    """

    def __init__(
        self, name: str, dim: int, is_sparse: bool = False, stream_alias: str = "", defines_mb_size: bool = False
    ) -> None:
        self.m_stream_name, self.m_dim, self.m_is_sparse = name, dim, bool(is_sparse)
        self.m_stream_alias, self.m_defines_mb_size = stream_alias or name, bool(defines_mb_size)


class SampleLayout(tuple[int, ...]):
    """A static shape that also answers ``dimensions()``, in CNTK's order (reversed)."""

    __slots__ = ()

    def dimensions(self) -> tuple[int, ...]:
        """The dimensions, last axis first."""
        return tuple(reversed(self))


class StreamInformation:
    """What a source says of one of its streams.

    Args:
        name: unique within the source.
        stream_id: its number, unique within the source.
        storage_format: 'dense' or 'sparse'.
        dtype: element type, such as np.float32.
        shape: static shape of one sample or frame.
        defines_mb_size: whether minibatch sizes count samples of this stream.

    Raises:
        AttributeValueError: if the storage format is another word.

    Example:
        >>> info = StreamInformation("x", 0, "dense", np.float32, (2, 3))
        >>> info.name, info.sample_shape, info.m_storage_format
        ('x', (2, 3), 0)

    Source: CNTK 2.7 ``io.StreamInformation``.
    """

    def __init__(
        self, name: str, stream_id: int, storage_format: str, dtype: Any, shape: Any, defines_mb_size: bool = False
    ) -> None:
        if storage_format not in {"dense", "sparse"}:
            raise AttributeValueError(
                f"stream '{name}' has storage format '{storage_format}'", fix="give 'dense' or 'sparse'"
            )
        self.m_name, self.m_id = name, int(stream_id)
        self.m_storage_format = 0 if storage_format == "dense" else 1
        self.dtype = dtypes.name_of(dtype)
        self.m_element_type = {"float32": 1, "float64": 2, "float16": 4}.get(self.dtype, 0)
        self.sample_shape: Shape = as_shape(shape)
        self.m_sample_layout = SampleLayout(self.sample_shape)
        self.storage_format = storage_format
        self.m_defines_mb_size = bool(defines_mb_size)
        self.m_is_binary = False
        self._hash = hash((self.m_name, self.m_id))

    @property
    def name(self) -> str:
        """The stream's name."""
        return self.m_name

    @property
    def is_sparse(self) -> bool:
        """Whether the data are sparse rows."""
        return self.storage_format == "sparse"

    def _facts(self) -> tuple[Any, ...]:
        return (self.m_name, self.m_id, self.storage_format, self.dtype, self.sample_shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamInformation) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return self._hash

    def as_string(self) -> str:
        """One line of words."""
        shape = " x ".join(map(str, self.sample_shape)) or "scalar"
        return f"{self.m_name}({self.storage_format} {self.dtype}, {shape})"

    __str__ = __repr__ = as_string


class MinibatchData:
    """One minibatch of one stream.

    Args:
        value: the data, a Value.
        num_sequences: number of sequences.
        num_samples: number of samples (frames) in all sequences.
        sweep_end: whether a sweep over the data ends in or with this minibatch.

    Example:
        >>> data = MinibatchData(Value(np.zeros((2, 3), np.float32)), 2, 2, False)
        >>> data.shape, data.num_samples
        ((2, 3), 2)

    Source: CNTK 2.7 ``io.MinibatchData``.
    """

    def __init__(self, value: Value, num_sequences: int, num_samples: int, sweep_end: bool) -> None:
        self._value = value
        self._sequences, self._samples, self._sweep_end = int(num_sequences), int(num_samples), bool(sweep_end)

    @property
    def data(self) -> Value:
        """The data."""
        return self._value

    @property
    def num_sequences(self) -> int:
        """Number of sequences."""
        return self._sequences

    number_of_sequences = num_sequences

    @property
    def num_samples(self) -> int:
        """Number of samples in all sequences."""
        return self._samples

    number_of_samples = num_samples

    @property
    def end_of_sweep(self) -> bool:
        """Whether a sweep over the data ends in or with this minibatch."""
        return self._sweep_end

    sweep_end = end_of_sweep

    @property
    def is_sparse(self) -> bool:
        """Whether the data are sparse rows."""
        return self._value.is_sparse

    @property
    def shape(self) -> Shape:
        """Sequences x longest length x static shape."""
        return self._value.shape

    @property
    def mask(self) -> NDArray[np.int8] | None:
        """2 where a sequence begins, 1 for further frames, 0 where there is none."""
        return self._value.mask

    def asarray(self) -> NDArray[Any]:
        """The data as one dense array, sequences padded with zeros."""
        value = self._value
        if isinstance(value.rows, SparseRows):
            value = Value.packed(value.rows.toarray(), value.layout, has_sequence=value.has_sequence)
        array = value.asarray()
        return np.asarray(array.toarray() if is_csr(array) else array)

    def as_sequences(self, variable: Any = None) -> list[Any]:
        """One array (or CSR matrix) per sequence, without padding.

        Args:
            variable: whose data they are; needed only for data that are not packed yet.
        """
        return self._value.as_sequences(variable)

    def __len__(self) -> int:
        return self._sequences

    def as_string(self) -> str:
        """One line of words."""
        return f"MinibatchData({self._value.shape}, {self._sequences} sequences, {self._samples} samples)"

    __str__ = __repr__ = as_string


def check_streams(streams: Sequence[StreamInformation]) -> None:
    """Names are unique and at most one stream defines the minibatch size.

    Raises:
        AttributeValueError: if not.
    """
    names = [s.m_name for s in streams]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise AttributeValueError(f"stream name '{twice[0]}' is used twice", fix="give every stream its own name")
    sizing = [s.m_name for s in streams if s.m_defines_mb_size]
    if len(sizing) > 1:
        raise AttributeValueError(
            f"several streams define the minibatch size: {', '.join(sizing)}", fix="set defines_mb_size on one stream"
        )
