"""Feeds: minibatches for a run, from a place that can be written down and returned to.

The user's arrays, a reader's source, or minibatches the user makes: whichever it is, the same place gives the same
minibatches again, which is what rewinding and replaying a run stand on. Knows inputs and data; no trainers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from cntk_lab.errors import AttributeValueError, TrainingError
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.given import is_table, is_whole
from cntk_lab.train._arrays import Arrays, Fed, Place, arrays_of
from cntk_lab.train._data import is_infinite, next_minibatch
from cntk_lab.train._step import ends_sweep


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
    data: Any,
    arguments: Sequence[Variable],
    streams: Mapping[Any, Any] | None,
    shuffle: bool,
    seed: int,
    labels: str | None = None,
) -> Feed:
    """The user's data as a feed.

    Args:
        data: {input or its name: array or list of sequences}; a tuple of these in the order of the arguments; one
            array, if there is one argument; a table whose columns are called as the inputs; a source of minibatches;
            a list of minibatches; or a function that gives an iterator of them.
        arguments: inputs of the criterion, for tuples and names.
        streams: {input: stream}, for a source whose streams are called otherwise than the inputs.
        shuffle: whether arrays are shuffled.
        seed: of the orders of arrays.
        labels: "auto" if class numbers become one-hot vectors.

    Raises:
        AttributeValueError: if the data are nothing of this, or do not belong to the inputs.
        DataError: if arrays have different numbers of samples, or are class numbers where vectors are wanted.
    """
    if hasattr(data, "next_minibatch"):
        return Source(data, streams or _by_name(data, arguments))
    named = _named(data, arguments)
    if named is not None:
        return Arrays(arrays_of(named, labels), shuffle, seed)
    if callable(data):
        return Minibatches(lambda: iter(data()))
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, Iterator)):
        minibatches: Iterable[Any] = data
        return Minibatches(lambda: iter(minibatches))
    raise AttributeValueError(
        f"data of type {type(data).__name__} give no minibatches",
        fix="give {input: array}, (array, array), a source, a list of minibatches, or a function that iterates",
    )


def _named(data: Any, arguments: Sequence[Variable]) -> dict[Any, Any] | None:
    """Arrays by input; None if the data are no arrays."""
    if isinstance(data, Mapping):
        return {_input(key, arguments): values for key, values in data.items()}
    if is_table(data) and arguments and {a.name for a in arguments} <= set(map(str, data.columns)):
        return {a: data[a.name] for a in arguments}
    if is_whole(data):
        data = (data,)
    if not isinstance(data, tuple):
        return None
    if len(data) != len(arguments):
        names = ", ".join(a.name or a.uid for a in arguments)
        raise AttributeValueError(
            f"the data have {len(data)} part{'s' * (len(data) != 1)}, the criterion has {len(arguments)} "
            f"input{'s' * (len(arguments) != 1)}: {names}",
            fix="give one array or list for each input, or a dictionary {input: data}",
        )
    return dict(zip(arguments, data, strict=True))


def _by_name(source: Any, arguments: Sequence[Variable]) -> dict[Variable, str]:
    """The streams of a source that are called as the inputs.

    Raises:
        AttributeValueError: if an input has no such stream.
    """
    infos = source.stream_infos() if hasattr(source, "stream_infos") else ()
    known = [str(getattr(info, "m_name", info)) for info in infos]
    missing = [a.name or a.uid for a in arguments if a.name not in known]
    if missing:
        raise AttributeValueError(
            f"which stream of the source belongs to input {', '.join(map(repr, missing))} is not said; its streams are "
            f"{', '.join(map(repr, known)) or 'not known'}",
            fix="give streams={x: source.streams.features, ...}, or inputs the names of their streams",
        )
    return {a: a.name for a in arguments}


def _input(key: Any, arguments: Sequence[Variable]) -> Any:
    if not isinstance(key, str):
        return key
    for argument in arguments:
        if argument.name == key:
            return argument
    names = ", ".join(a.name for a in arguments if a.name) or "no names"
    raise AttributeValueError(f"the criterion has no input {key!r}; its inputs are {names}", fix="use one of these")
