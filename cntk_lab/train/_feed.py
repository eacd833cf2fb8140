"""Feeds: minibatches for a run, from a place that can be written down and returned to.

The user's arrays, a reader's source, or minibatches the user makes: whichever it is, the same place gives the same
minibatches again, which is what rewinding and replaying a run stand on. Knows inputs and data; no trainers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cntk_lab.errors import AttributeValueError, DataError, TrainingError
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.sparse import Csr, is_csr, is_sparse_matrix
from cntk_lab.train._data import is_infinite, length_of, next_minibatch
from cntk_lab.train._step import ends_sweep

Place = dict[str, Any]
"""Where a feed stands: plain numbers, texts and dictionaries of them."""


@dataclass(frozen=True, slots=True)
class Fed:
    """One minibatch: {input: data}, and whether it ends a sweep over the data."""

    arguments: Any
    ends_sweep: bool


class Feed(Protocol):
    """What a run takes minibatches from."""

    @property
    def returns(self) -> bool:
        """Whether it can go back to a place."""

    def next(self, size: int) -> Fed | None:
        """The next minibatch of about ``size`` samples or sequences; None when there are no more."""

    def place(self) -> Place:
        """Where the feed stands."""

    def restore(self, place: Place) -> None:
        """Go back (or on) to a place."""

    def position(self) -> tuple[int, float | None]:
        """Sweeps done, and how much of the present one is (0 to 1; None if that is not known)."""


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
        for name, values in zip(counts, data.values(), strict=True):
            _check_sparse(name, values)
        self._data = {key: v if hasattr(v, "shape") else list(v) for key, v in data.items()}
        self._count = next(iter(counts.values()))
        self._shuffle, self._seed = shuffle, seed
        self._sweep = self._at = 0
        self._order = self._order_of(0)

    def _order_of(self, sweep: int) -> Any:
        return np.random.default_rng((self._seed, sweep)).permutation(self._count) if self._shuffle else None

    returns = True

    def next(self, size: int) -> Fed:
        """The next samples; the last minibatch of a sweep may be smaller."""
        end = min(self._at + size, self._count)
        picked: Any = slice(self._at, end) if self._order is None else self._order[self._at : end]
        arguments = {
            key: values[picked] if hasattr(values, "shape") else _some(values, picked)
            for key, values in self._data.items()
        }
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


def _check_sparse(name: str, values: Any) -> None:
    """Look at a sparse matrix before rows of it are taken, which trusts what it says.

    Raises:
        DataError: if it points elsewhere, or is of a format whose rows cannot be taken.
    """
    if is_csr(values):
        Csr.checked(values, name)
    elif is_sparse_matrix(values):
        raise DataError(f"data for '{name}' are a {type(values).__name__}", fix="convert them with .tocsr()")


def _some(values: Sequence[Any], picked: Any) -> list[Any]:
    return list(values[picked]) if isinstance(picked, slice) else [values[i] for i in picked]


class Source:
    """Minibatches of a reader's source.

    Args:
        source: with ``next_minibatch``, and ``get_checkpoint_state`` if it shall be returned to.
        streams: {input: stream}.
    """

    def __init__(self, source: Any, streams: Mapping[Any, Any]) -> None:
        self._source, self._streams, self._sweeps = source, dict(streams), 0

    @property
    def returns(self) -> bool:
        """Whether the source keeps a state."""
        return hasattr(self._source, "get_checkpoint_state") and hasattr(self._source, "restore_from_checkpoint")

    def next(self, size: int) -> Fed | None:
        """The next minibatch; None at the end of the source."""
        found = next_minibatch(self._source, size, self._streams)
        if not found:
            return None
        ends = ends_sweep(found)
        self._sweeps += int(ends)
        return Fed(found, ends)

    def place(self) -> Place:
        """The source's own state, and the sweeps done."""
        return {"sweep": self._sweeps, "source": dict(self._source.get_checkpoint_state()) if self.returns else None}

    def restore(self, place: Place) -> None:
        """Put the source back.

        Raises:
            TrainingError: if the source keeps no state.
        """
        if place["source"] is None:
            raise TrainingError(
                f"{type(self._source).__name__} cannot go back to an earlier place",
                fix="give it get_checkpoint_state and restore_from_checkpoint, or train on arrays",
            )
        self._source.restore_from_checkpoint(place["source"])
        self._sweeps = int(place["sweep"])

    def position(self) -> tuple[int, float | None]:
        """Sweeps done; how long one is, a source does not tell."""
        return self._sweeps, None

    @property
    def endless(self) -> bool:
        """Whether the source never ends."""
        return is_infinite(self._source)


class Minibatches:
    """Minibatches that the user makes: a list of them, or a function that gives an iterator for each sweep.

    Args:
        make: called at the start of each sweep.
    """

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make
        self._sweep = self._at = 0
        self._iterator = make()
        self._ahead: list[Any] = list(_first(self._iterator))

    returns = True

    def next(self, size: int) -> Fed | None:
        """The next minibatch, however large it is; None if a sweep has none."""
        del size
        if not self._ahead:
            return None
        arguments = self._ahead[0]
        self._ahead = list(_first(self._iterator))
        self._at += 1
        ends = not self._ahead
        if ends:
            self._begin(self._sweep + 1)
        return Fed(arguments, ends)

    def _begin(self, sweep: int) -> None:
        self._sweep, self._at = sweep, 0
        self._iterator = self._make()
        self._ahead = list(_first(self._iterator))

    def place(self) -> Place:
        """The sweep and the number of minibatches done in it."""
        return {"sweep": self._sweep, "at": self._at}

    def restore(self, place: Place) -> None:
        """Begin the sweep again and pass over what was done of it.

        Raises:
            TrainingError: if the sweep has become shorter than that.
        """
        self._begin(int(place["sweep"]))
        for _ in range(int(place["at"])):
            if not self._ahead:
                raise TrainingError(
                    f"the minibatches ended before minibatch {place['at']} of the sweep",
                    fix="give a function that makes the same minibatches each time it is called",
                )
            self._ahead = list(_first(self._iterator))
            self._at += 1

    def position(self) -> tuple[int, float | None]:
        """Sweeps done; how long one is, only its end tells."""
        return self._sweep, None


def _first(iterator: Iterator[Any]) -> Iterator[Any]:
    for item in iterator:
        yield item
        return


def feed_of(
    data: Any, arguments: Sequence[Variable], streams: Mapping[Any, Any] | None, shuffle: bool, seed: int
) -> Feed:
    """The user's data as a feed.

    Args:
        data: {input: array or list of sequences}; a tuple of these in the order of the arguments; a source of
            minibatches (with ``streams``); a list of minibatches; or a function that gives an iterator of them.
        arguments: inputs of the criterion, for tuples and names.
        streams: {input: stream}, for a source.
        shuffle: whether arrays are shuffled.
        seed: of the orders of arrays.

    Raises:
        AttributeValueError: if the data are nothing of this, or do not belong to the inputs.
    """
    if hasattr(data, "next_minibatch"):
        if not streams:
            raise AttributeValueError(
                "a source of minibatches needs to know which stream belongs to which input",
                fix="give streams={x: source.streams.features, ...}",
            )
        return Source(data, streams)
    if isinstance(data, Mapping):
        return Arrays({_input(key, arguments): values for key, values in data.items()}, shuffle, seed)
    if isinstance(data, tuple):
        if len(data) != len(arguments):
            names = ", ".join(a.name or a.uid for a in arguments)
            raise AttributeValueError(
                f"the data have {len(data)} parts, the criterion has {len(arguments)} inputs: {names}",
                fix="give one array or list for each input, or a dictionary {input: data}",
            )
        return Arrays(dict(zip(arguments, data, strict=True)), shuffle, seed)
    if callable(data):
        return Minibatches(lambda: iter(data()))
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, Iterator)):
        minibatches: Iterable[Any] = data
        return Minibatches(lambda: iter(minibatches))
    raise AttributeValueError(
        f"data of type {type(data).__name__} give no minibatches",
        fix="give {input: array}, (array, array), a source, a list of minibatches, or a function that iterates",
    )


def _input(key: Any, arguments: Sequence[Variable]) -> Any:
    if not isinstance(key, str):
        return key
    for argument in arguments:
        if argument.name == key:
            return argument
    names = ", ".join(a.name for a in arguments if a.name) or "no names"
    raise AttributeValueError(f"the criterion has no input {key!r}; its inputs are {names}", fix="use one of these")
