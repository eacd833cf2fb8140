"""The captured step: what is left to do when the same question is asked again of other data.

A program evaluates the same function, or takes the same training step, again and again. Where plain arrays meet a plan
that is one native table, nothing remains but to copy them in, to run the table and to read what is wanted: small
models take most of their time here. So that is captured: the table, where its data and its learners' numbers go, and
where the results lie. There is one rule for when it is out of date; what is asked, and of whom, is not its affair.

A captured step holds as long as all of this is as it was when it was captured; then it is captured anew:

=========  ==============================================================  =====================================
what       changes when                                                    seen by
=========  ==============================================================  =====================================
program    a graph is edited; a switch, device or listener changes         ``_changes.count()`` (:class:`Basis`)
constants  a constant whose number stands in a formula gets another        the version of its storage (``Basis``)
memory     the plan's arena grows or moves, parameters lie elsewhere       ``Arena.moves`` (:class:`Captured`)
rows       the table was bound to another number of samples since          ``Binding.counts`` (``Captured``)
data       another number of samples; other types, shapes or forms         :func:`plain_rows` (:class:`Captures`)
=========  ==============================================================  =====================================

Everything else goes the general way, which asks all of it. Knows no forms of data but plain arrays, and no table but
the CPU's. Idea: CUDA graphs, which are recorded once and launched again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab import _changes
from cntk_lab.engine.ask.results import shown
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.cpu.guards import row_failed
from cntk_lab.engine.plan import Plan, row_symbol
from cntk_lab.graph.variable import Valued, Variable
from cntk_lab.tensor.feed import single_frames
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE

_KEPT = 32
Scalars = Sequence[Mapping[str, float]]
"""For each update the values of its scalars."""


class Basis:
    """What everything remembered about a plan follows from, beside data and parameters.

    Args:
        plan: the plan.
        at: how often something had changed before it was made; now, if not said.
    """

    __slots__ = ("_constants", "at")

    def __init__(self, plan: Plan, at: int | None = None) -> None:
        self.at = _changes.count() if at is None else at
        self._constants = [(v.storage, version) for v, version in plan.literals if isinstance(v, Valued)]

    @property
    def holds(self) -> bool:
        """Whether nothing of it has changed."""
        if self.at != _changes.count():
            return False
        for storage, version in self._constants:  # noqa: SIM110  (asked before each step: a generator takes longer)
            if storage.version != version:
                return False
        return True

    @property
    def constants_hold(self) -> bool:
        """Whether the constants that were written into formulas still have the same values."""
        return all(storage.version == version for storage, version in self._constants)


class Captured:
    """A step on one number of samples that can be done again.

    Args:
        basis: what it follows from.
        binding: the plan bound to the number of samples, as one table.
        variables: inputs, in the order in which their rows are given.
        numbers: the buffers that are wanted.
        layout: of the samples.
    """

    def __init__(
        self, basis: Basis, binding: Binding, variables: Sequence[Variable], numbers: Sequence[int], layout: Layout
    ) -> None:
        plan = binding.native.plan
        self.basis, self._binding, self._native = basis, binding, binding.native
        self._moves, self._counts = binding.native.arena.moves, binding.counts
        place = {id(b.variable): b.id for b in plan.buffers_of("input")}
        read = [(i, place[id(v)]) for i, v in enumerate(variables) if id(v) in place]
        self._inputs = [(i, binding.fixed[n], binding.moving.get(n)) for i, n in read]
        self._table, self._rows = binding.single or (0, 0)
        self._run = binding.native.executor.run_address
        buffers = [plan.buffers[n] for n in numbers]
        self._results = [
            (b.rows, b.shape, layout if b.rows else None, binding.arrays[b.id], binding._given.get(b.id))
            for b in buffers
        ]
        self._scalars = [
            (home, [scalar_of(b.name) for b in plan.buffers_of("scalar") if b.dtype == dtype])
            for dtype, home in binding.scalars.items()
        ]
        self._written: Scalars = ()
        self.mark = binding.mark
        """Whoever sets it to 1 before a step finds 0 from the moment on when the step was done."""

    @property
    def moved(self) -> bool:
        """Whether the table points to memory that is out of use: it must never run again."""
        return self._moves != self._native.arena.moves

    @property
    def holds(self) -> bool:
        """Whether it can be done again: program, constants, memory and rows are as they were."""
        return self._moves == self._native.arena.moves and self._counts == self._binding.counts and self.basis.holds

    def go(self, rows: Sequence[Any], scalars: Scalars = ()) -> None:
        """Do it on other rows, with these numbers of the learners."""
        if scalars is not self._written and scalars != self._written:
            self._written = ()
            self._binding.told = dict.fromkeys(self._binding.told)
            for home, names in self._scalars:
                home[:] = [scalars[position][name] for position, name in names]
            self._written = scalars
        for i, home, moving in self._inputs:
            if moving is None or not moving.take(rows[i]):
                home[...] = rows[i]
        failed = self._run(self._table, self._rows)
        if failed >= 0:
            raise row_failed(self._native.plan, failed, self._rows)

    def values(self, rows: Sequence[Any], *, as_numpy: bool) -> list[Any]:
        """The wanted values for other rows, in memory of their own."""
        made = [home if given is None else given.renew() for _, _, _, home, given in self._results]
        self.go(rows)
        return [
            shown(values, symbol, shape, layout, as_numpy=as_numpy, own=given is not None)
            for values, (symbol, shape, layout, _, given) in zip(made, self._results, strict=True)
        ]

    def numbers(self) -> list[float]:
        """The wanted values of the last time, each a single number."""
        return [home.item() for _, _, _, home, _ in self._results]


def scalar_of(name: str) -> tuple[int, str]:
    """Which update a scalar of a plan belongs to, and what it is called there."""
    position, _, rest = name.partition(":")
    return int(position), rest


class Captures:
    """The captured steps of one question, one for each number of samples.

    Args:
        variables: the inputs.
        wanted: the buffers that are wanted; -1 for one that the plan does not have.
    """

    def __init__(self, variables: Sequence[Variable], wanted: Sequence[int]) -> None:
        self._variables, self._wanted = variables, wanted
        self.plain = _plain_inputs(variables)
        """The inputs, if their data can be taken as they are; none if that cannot be."""
        self._by_count: dict[int, Captured] = {}

    def rows(self, arguments: Any) -> tuple[int, list[Any]] | None:
        """Number of samples, and the rows of each input, if a minibatch needs no conversion."""
        return plain_rows(self.plain, arguments) if self.plain else None

    def find(self, count: int) -> Captured | None:
        """The step on so many samples; None if it was not captured, or is out of date."""
        found = self._by_count.get(count)
        return found if found is not None and found.holds else None

    def again(self, arguments: Any) -> tuple[Captured, list[Any]] | None:
        """The step that these data can be given to as they are, and their rows."""
        found = plain_rows(self.plain, arguments) if self._by_count else None
        captured = None if found is None else self.find(found[0])
        return None if found is None or captured is None else (captured, found[1])

    def learn(self, basis: Basis, binding: Binding | None, layouts: Mapping[str, Layout]) -> None:
        """Capture what the general way has just done, if it was one table on plain arrays."""
        self._by_count = {count: step for count, step in self._by_count.items() if not step.moved}
        if not self.plain or binding is None or binding.single is None or list(binding.symbols) != ["#"]:
            return
        if not all(type(binding.arrays.get(n)) is np.ndarray for n in self._wanted):
            return
        if len(self._by_count) >= _KEPT:
            self._by_count.clear()
        layout = layouts["#"]
        self._by_count[layout.rows] = Captured(basis, binding, self._variables, self._wanted, layout)


Plain = list[tuple[Variable, np.dtype[Any], tuple[int, ...]]]


def _plain_inputs(variables: Sequence[Variable]) -> Plain:
    """Inputs whose data can be taken as they are if they are arrays of the right kind; none if one is of another
    sort.
    """
    types = [(v, v.type) for v in variables]
    if any(t.sparse or row_symbol(t.axes or ()) != "#" or FREE in t.dims for _, t in types):
        return []
    return [(v, np.dtype(t.dtype), t.dims) for v, t in types]


def plain_rows(plain: Plain, arguments: Any) -> tuple[int, list[Any]] | None:
    """Number of samples, and the rows of each input, if a minibatch consists of dense arrays (or a reader's single
    frames) that need no conversion, one for each input; an only input's array may come without its name.
    """
    if type(arguments) is np.ndarray:
        if len(plain) != 1:
            return None
        arguments = {plain[0][0]: arguments}
    elif type(arguments) is not dict or len(arguments) != len(plain):
        return None
    count, rows = 0, []
    for v, dtype, dims in plain:
        data = arguments.get(v)
        if type(data) is not np.ndarray:
            data = single_frames(data)
        if data is None or data.dtype != dtype or data.shape[1:] != dims or not data.ndim:
            return None
        if len(data) != (count or len(data)):
            return None
        count = len(data)
        rows.append(data)
    return (count, rows) if count else None
