"""The user's arrays as minibatches: by position, whatever library they come from; class numbers as one-hot vectors.

Knows inputs and arrays; no sources, no trainers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError, DataError
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.given import by_position
from cntk_lab.tensor.shape import size, text
from cntk_lab.tensor.sparse import Csr, is_csr, is_sparse_matrix
from cntk_lab.tensor.value import Value
from cntk_lab.train._data import length_of

Place = dict[str, Any]
"""Where a feed stands: plain numbers, texts and dictionaries of them."""
_HELD_OUT: Final = 2**32
"""In the place of a sweep: the order in which samples are held out."""


@dataclass(frozen=True, slots=True)
class Fed:
    """One minibatch: {input: data}, and whether it ends a sweep over the data."""

    arguments: Any
    ends_sweep: bool


class Arrays:
    """Minibatches from arrays in memory, in a new order in each sweep, which depends on seed and sweep only.

    Args:
        data: {input: array (samples x shape) or list with an array (frames x shape) for each sequence}.
        shuffle: whether the order changes; else that of the data.
        seed: of the orders.

    Raises:
        DataError: if there are no data, or different numbers of samples.

    Example:
        >>> feed = Arrays({"x": np.arange(5)}, shuffle=False)
        >>> [feed.next(3).arguments["x"].tolist() for _ in range(2)]
        [[0, 1, 2], [3, 4]]
    """

    def __init__(self, data: Mapping[Any, Any], shuffle: bool = True, seed: int = 0) -> None:
        counts = {getattr(key, "name", "") or str(key): length_of(values) for key, values in data.items()}
        if not counts or len(set(counts.values())) > 1 or not min(counts.values()):
            told = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "nothing"
            raise DataError(
                f"the data must have as many samples or sequences for each input; there are {told}",
                fix="give {input: array} with equal first dimensions",
            )
        data = {key: by_position(values) for key, values in data.items()}
        for name, values in zip(counts, data.values(), strict=True):
            _check_sparse(name, values)
        self._data = {key: v if hasattr(v, "shape") or isinstance(v, Classes) else list(v) for key, v in data.items()}
        self._count = next(iter(counts.values()))
        self._shuffle, self._seed = shuffle, seed
        self._sweep = self._at = 0
        self._order = self._order_of(0)

    def _order_of(self, sweep: int) -> Any:
        return np.random.default_rng((self._seed, sweep)).permutation(self._count) if self._shuffle else None

    returns = True

    def hold_out(self, part: float) -> tuple[Arrays, Arrays]:
        """Two feeds: one without a part of the samples, and one of that part, in the order of the data.

        Args:
            part: of the samples, more than 0 and less than 1: the last ones, or random ones (by the seed) if the feed
                is shuffled.

        Raises:
            AttributeValueError: if no sample, or none but those, would be left.
        """
        count = round(self._count * part)
        if not 0 < count < self._count:
            raise AttributeValueError(
                f"validation={part} of {self._count} samples leaves {self._count - count} for training and {count} for "
                "validation",
                fix="give a part between 0 and 1, or data for validation",
            )
        order = np.arange(self._count)
        if self._shuffle:
            order = np.random.default_rng((self._seed, _HELD_OUT)).permutation(self._count)
        parts = [np.sort(order[:-count]), np.sort(order[-count:])]
        rest, held = ({key: _taken(v, which) for key, v in self._data.items()} for which in parts)
        return Arrays(rest, self._shuffle, self._seed), Arrays(held, shuffle=False)

    def next(self, size: int) -> Fed:
        """The next samples; the last minibatch of a sweep may be smaller."""
        end = min(self._at + size, self._count)
        picked: Any = slice(self._at, end) if self._order is None else self._order[self._at : end]
        arguments = {key: _some(values, picked) for key, values in self._data.items()}
        self._at = end
        ends = end == self._count
        if ends:
            self._sweep, self._at = self._sweep + 1, 0
            self._order = self._order_of(self._sweep)
        return Fed(arguments, ends)

    def place(self) -> Place:
        """The sweep and the place in it."""
        return {"sweep": self._sweep, "at": self._at}

    def restore(self, place: Place) -> None:
        """Go to a place."""
        self._sweep, self._at = int(place["sweep"]), int(place["at"])
        self._order = self._order_of(self._sweep)

    def position(self) -> tuple[int, float]:
        """Sweeps done, and the part of the present one."""
        return self._sweep, self._at / self._count


class Classes:
    """Class numbers that are delivered as one-hot vectors.

    Args:
        numbers: one class number for each sample.
        classes: how many classes there are.
        dtype: of the vectors.
        sparse: whether the input is sparse.
    """

    def __init__(self, numbers: Any, classes: int, dtype: Any, sparse: bool) -> None:
        self.numbers, self._classes, self._dtype, self._sparse = numbers, classes, dtype, sparse

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, picked: Any) -> Any:
        numbers = self.numbers[picked]
        if self._sparse:
            return Value.one_hot(numbers.tolist(), self._classes, self._dtype)
        made = np.zeros((len(numbers), self._classes), self._dtype)
        made[np.arange(len(numbers)), numbers] = 1
        return made

    def take(self, which: Any) -> Classes:
        """Some of them."""
        return Classes(self.numbers[which], self._classes, self._dtype, self._sparse)


def arrays_of(data: Mapping[Any, Any], labels: str | None) -> dict[Any, Any]:
    """Arrays as the inputs want them: flat ones in the shape of one number per sample, class numbers one-hot if asked.

    Args:
        data: {input: data}.
        labels: None, or "auto": class numbers for an input that is a vector become one-hot vectors.

    Raises:
        AttributeValueError: if ``labels`` is something else.
        DataError: if class numbers stand for a vector and nothing was said, or one is out of range.
    """
    if labels not in (None, "auto"):
        raise AttributeValueError(f"labels={labels!r}", fix='say labels="auto", or leave it out')
    return {key: _fitted(by_position(values), key, labels) for key, values in data.items()}


def _fitted(values: Any, key: Any, labels: str | None) -> Any:
    if isinstance(values, Value):
        values = values.as_sequences() if values.has_sequence else values.asarray()
    if not isinstance(key, Variable):
        return values
    name, shape = key.name or key.uid, key.shape
    if type(values) is np.ndarray and values.dtype.kind in "OUS":
        values = _of_objects(values, name)
    if key.has_sequence_axis() or min(shape, default=1) < 0:
        return values
    flat = _one_each(values)
    if flat is None:
        return values
    if size(shape) == 1:
        return flat.reshape(-1, *shape)
    if len(shape) != 1 or not _are_whole(flat):
        return values
    return _one_hot(flat, key, name, labels)


def _of_objects(values: Any, name: str) -> Any:
    """A column of arrays as a list of them.

    Raises:
        DataError: if it holds something else, such as words.
    """
    first = next((v for v in values.flat if not isinstance(v, (np.ndarray, list, tuple))), None)
    if values.ndim == 1 and first is None:
        return list(values)
    raise DataError(
        f"data for '{name}' are no numbers: there is a {type(first).__name__} among them, {str(first)[:40]!r}",
        fix="number the classes or words (pandas.factorize), and leave out columns that are no numbers",
    )


def _one_each(values: Any) -> Any:
    """One number for each sample, flat; None if there are more, or none."""
    if type(values) is list and values and all(isinstance(v, (int, float, np.number)) for v in values):
        values = np.asarray(values)
    if type(values) is not np.ndarray or values.dtype.kind not in "iufb":
        return None
    return values.reshape(-1) if values.shape[1:] in ((), (1,)) else None


def _are_whole(flat: Any) -> bool:
    """Whether numbers may be class numbers."""
    return flat.dtype.kind in "iu" or bool(flat.size and (flat == np.rint(flat)).all())


def _one_hot(values: Any, key: Variable, name: str, labels: str | None) -> Classes:
    shape = key.shape
    if labels is None:
        raise DataError(
            f"data for '{name}' are {len(values)} whole numbers, one for each sample; the input is a vector "
            f"{text(shape)}",
            fix=f'if they are class numbers, say labels="auto", or give np.eye({shape[0]}, dtype="float32")[labels]',
        )
    bad = np.flatnonzero((values < 0) | (values >= shape[0]))
    if len(bad):
        raise DataError(
            f"data for '{name}': class {int(values[bad[0]])} at sample {int(bad[0])}; the input has {shape[0]} "
            f"classes, 0 to {shape[0] - 1}",
            fix="number the classes from 0, or give the input and the last layer more of them",
        )
    return Classes(values.astype(np.int64), shape[0], key.dtype, key.is_sparse)


def _check_sparse(name: str, values: Any) -> None:
    """Look at a sparse matrix before rows of it are taken, which trusts what it says.

    Raises:
        DataError: if it points elsewhere, or is of a format whose rows cannot be taken.
    """
    if is_csr(values):
        Csr.checked(values, name)
    elif is_sparse_matrix(values):
        raise DataError(f"data for '{name}' are a {type(values).__name__}", fix="convert them with .tocsr()")


def _some(values: Any, picked: Any) -> Any:
    """The samples of a minibatch."""
    if not isinstance(values, list):
        return values[picked]
    return values[picked] if isinstance(picked, slice) else [values[i] for i in picked]


def _taken(values: Any, which: Any) -> Any:
    """Some samples, to be dealt out later."""
    return values.take(which) if isinstance(values, Classes) else _some(values, which)
