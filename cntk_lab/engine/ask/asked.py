"""What was asked of a function before: its plan and its arguments, and the native tables that answered.

A program evaluates the same function again and again. What follows from the question alone is found once and holds
until something changes that it follows from (``cntk_lab._changes``). And where plain arrays meet a plan that is one
native table, nothing is left to do but to copy, to run and to copy back: small models take most of their time here.
Knows no forms of data but these; everything else goes the general way (``executor``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab import _changes
from cntk_lab.engine.arrays.run import State
from cntk_lab.engine.ask.plans import literals_hold
from cntk_lab.engine.ask.results import shown
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.cpu.guards import row_failed
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import row_symbol
from cntk_lab.engine.tiers.tier import Bound
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.feed import single_frames
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE

_KEPT = 128
_TABLES = 32
_GROUPS = (list, tuple, set, frozenset)
Key = tuple[object, ...]


def key_of(kind: object, *things: Any) -> Key | None:
    """What tells one question from another; None if it has odd parts.

    Args:
        kind: what kind of question it is.
        things: who is asked, and for what: nothing, variables, Functions, or groups of these.
    """
    parts: list[object] = [kind]
    for thing in things:
        if thing is None or isinstance(thing, (Variable, Function)):
            parts.append(thing if thing is None else id(thing))
        elif type(thing) in _GROUPS and all(isinstance(t, (Variable, Function)) for t in thing):
            parts.append(tuple(map(id, thing)))
        else:
            return None
    return tuple(parts)


class Table:
    """A plan that is one native table, bound to one number of samples: what a repeated run does, and nothing else.

    Args:
        binding: the plan bound to the number of samples.
        variables: inputs, in the order in which their rows are given.
        numbers: the buffers that are wanted.
        layout: of the samples.
    """

    def __init__(
        self,
        binding: Binding,
        variables: Sequence[Variable],
        numbers: Sequence[int] = (),
        layout: Layout | None = None,
    ) -> None:
        plan = binding.native.plan
        self.binding, self.native = binding, binding.native
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

    @property
    def moved(self) -> bool:
        """Whether the table points to memory that is out of use: it must never run again."""
        return self._moves != self.native.arena.moves

    @property
    def in_place(self) -> bool:
        """Whether memory has stayed where it was, and the binding still holds for as many rows."""
        return self._moves == self.native.arena.moves and self._counts == self.binding.counts

    def go(self, rows: Sequence[Any]) -> None:
        """Run the table on plain rows."""
        for i, home, moving in self._inputs:
            if moving is None or not moving.take(rows[i]):
                home[...] = rows[i]
        failed = self._run(self._table, self._rows)
        if failed >= 0:
            raise row_failed(self.native.plan, failed, self._rows)

    def run(self, rows: Sequence[Any], *, as_numpy: bool) -> list[Any]:
        """The wanted values for plain rows, in memory of their own."""
        made = [home if given is None else given.renew() for _, _, _, home, given in self._results]
        self.go(rows)
        return [
            shown(values, symbol, shape, layout, as_numpy=as_numpy, own=given is not None)
            for values, (symbol, shape, layout, _, given) in zip(made, self._results, strict=True)
        ]


class Asked:
    """A question: what is wanted of a function, the plan that computes it, and the arguments that it needs.

    Args:
        at: how often something had changed before the plan was looked for.
        wanted: what is wanted.
        bound: the plan that computes it, ready for its device.
        variables: the arguments.
        state: random streams and carried frames of the function.
    """

    def __init__(
        self,
        at: int,
        wanted: Wanted,
        bound: Bound,
        variables: Sequence[Variable],
        state: State,
    ) -> None:
        self._at, self.wanted, self.bound, self.variables = at, wanted, bound, variables
        self.plan, self.state = bound.plan, state
        self.outputs = (*wanted.outputs, *wanted.roots)
        """What the arguments are for, as messages name it."""
        self.results = [
            *((f"gradient {i}", v) for i, v in enumerate(wanted.gradients)),
            *((f"output {i}", v) for i, v in enumerate(wanted.outputs)),
        ]
        """What the wanted values are called in the plan, with their variables: gradients first."""
        self._plain = plain_inputs(variables)
        self._tables: dict[int, Table] = {}

    @property
    def current(self) -> bool:
        """Whether all but data and parameters is as it was, constants whose numbers stand in formulas included."""
        if self._at != _changes.count():
            return False
        return literals_hold(self.plan)

    def again(self, arguments: Any, *, as_numpy: bool) -> list[Any] | None:
        """The wanted values the short way; None if there is none for these data, and then nothing has been done."""
        found = plain_rows(self._plain, arguments) if self._tables else None
        if found is None:
            return None
        table = self._tables.get(found[0])
        return table.run(found[1], as_numpy=as_numpy) if table is not None and table.in_place else None

    def learn(self, binding: Binding, layouts: Mapping[str, Layout]) -> None:
        """Remember the short way after a run that went the general way, if there is one."""
        self._tables = {count: table for count, table in self._tables.items() if not table.moved}
        if not self._plain or binding.single is None or list(binding.symbols) != ["#"]:
            return
        numbers = [self.plan.outputs.get(name, -1) for name, _ in self.results]
        if not all(type(binding.arrays.get(n)) is np.ndarray for n in numbers):
            return
        if len(self._tables) >= _TABLES:
            self._tables.clear()
        self._tables[layouts["#"].rows] = Table(binding, self.variables, numbers, layouts["#"])


class Memory:
    """The last questions."""

    def __init__(self) -> None:
        self._asked: OrderedDict[Key, tuple[Asked, object]] = OrderedDict()

    def find(self, key: Key | None) -> Asked | None:
        """What was asked before, if nothing has changed since."""
        found = self._asked.get(key) if key is not None else None
        return found[0] if found is not None and found[0].current else None

    def keep(self, key: Key | None, asked: Asked, *things: Any) -> None:
        """Remember a question; the things that its key names are kept too, so that their ids stay theirs."""
        if key is None:
            return
        self._asked[key] = asked, [tuple(t) if isinstance(t, _GROUPS) else t for t in things]
        self._asked.move_to_end(key)
        while len(self._asked) > _KEPT:
            self._asked.popitem(last=False)


Plain = list[tuple[Variable, np.dtype[Any], tuple[int, ...]]]


def plain_inputs(variables: Sequence[Variable]) -> Plain:
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
