"""Executing functions for users: what fills the graph's ``executor`` socket.

Matches data to variables, binds them to a plan's inputs, runs the plan and brings results into the user's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cntk_lab import _changes
from cntk_lab import device as devices
from cntk_lab._turn import TURN
from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.ask.asked import Asked, Memory, key_of
from cntk_lab.engine.ask.match import match
from cntk_lab.engine.ask.plans import bound_for
from cntk_lab.engine.ask.results import result
from cntk_lab.engine.ask.runs import load, state_of
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import Phase, row_symbol
from cntk_lab.errors import DataError, GraphError, SignatureError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function, keys_of, output_of, outputs_of
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.feed import read


class ForwardState:
    """What ``forward`` keeps for ``backward``: the run, its plan and what was asked."""

    def __init__(self, function: Function, outputs: tuple[Variable, ...], run: Run) -> None:
        self.function, self.outputs, self.run = function, outputs, run


class Executor:
    """Fills the graph's ``executor`` socket."""

    def __init__(self) -> None:
        self._memory = Memory()

    def _asked(
        self,
        wants: Callable[..., Wanted],
        device: DeviceDescriptor | None,
        function: Function,
        *things: Any,
        fused: bool | None = None,
    ) -> Asked:
        """What is asked of a function, with its plan: from memory if nothing has changed since it was asked before."""
        if device is not None and device == devices.use_default_device():
            device = None
        key = key_of((wants, device), function, *things)
        found = self._memory.find(key)
        if found is None:
            at = _changes.count()
            wanted = wants(function, *things)
            bound = bound_for(wanted, device, fused=fused)
            found = Asked(at, wanted, bound, _arguments(function, wanted), state_of(function.node))
            self._memory.keep(key, found, function, *things)
        return found

    def evaluate(self, function: Function, arguments: Any, outputs: Any, device: Any, as_numpy: bool) -> Any:
        """Values of outputs; the value itself if there is one."""
        outputs = outputs if outputs is None else _listed(outputs)
        with TURN:
            asked = self._asked(_values, device, function, outputs)
            values = _answer(asked, arguments, as_numpy=as_numpy)
        return values[0] if len(values) == 1 else _single_or_named(function, outputs, values)

    def forward(
        self,
        function: Function,
        arguments: Any,
        outputs: Any,
        keep_for_backward: Any,
        device: Any,
        as_numpy: bool,
    ) -> tuple[ForwardState | None, dict[Function | Variable, Any]]:
        """Values of outputs, and the state that backward needs."""
        outputs = _listed(outputs)
        if not (keep_for_backward and tuple(outputs_of(keep_for_backward))):
            with TURN:
                asked = self._asked(_values, device, function, outputs)
                values = _answer(asked, arguments, as_numpy=as_numpy)
            return None, _named(function, outputs, values)
        with TURN:
            asked = self._asked(_kept, device, function, outputs, fused=False)
            plan, run = asked.plan, _loaded(asked, arguments)
            asked.bound.load_values(run)
            for i in plan.of_phase(~Phase.ASSIGN):
                asked.bound.actions[i](run)
            values = [result(run, plan, name, v, as_numpy=as_numpy) for name, v in asked.results]
        return ForwardState(function, asked.wanted.outputs, run), _named(function, outputs, values)

    def backward(
        self, state: ForwardState | None, root_gradients: Any, variables: Any, as_numpy: bool
    ) -> dict[Variable, Any]:
        """Gradients of variables, from the values that forward kept."""
        if state is None:
            raise DataError(
                "You are attempting to backpropagate on a minibatch for which there is no corresponding forward state",
                fix="call forward with keep_for_backward={outputs}",
            )
        wrt = tuple(outputs_of(list(variables)))
        if not isinstance(root_gradients, Mapping):
            root_gradients = {state.outputs[0]: root_gradients}
        roots = tuple(output_of(r) for r in root_gradients)
        with TURN:
            run = state.run
            wanted = Wanted(outputs=state.outputs, gradients=wrt, roots=roots, training=True, given_roots=True)
            bound = bound_for(wanted, run.backend.device, fused=False)
            plan = bound.plan
            for i, (root, gradient) in enumerate(root_gradients.items()):
                variable = output_of(root)
                number = next(b.id for b in plan.buffers if b.role == "input" and b.name == f"root {i}")
                run.arrays[number] = _root_rows(gradient, variable, run)
            for i in plan.of_phase(Phase.BACKWARD | Phase.ASSIGN):
                bound.actions[i](run)
            return {v: result(run, plan, f"gradient {i}", v, as_numpy=as_numpy) for i, v in enumerate(wrt)}

    def gradient(
        self,
        function: Function,
        at: Any,
        wrt: Any,
        outputs: Any,
        device: Any,
        as_numpy: bool,
        grad_root: Any,
    ) -> Any:
        """Gradients at a point."""
        outputs = _listed(outputs)
        if wrt is None:
            wrt = [v for v in function.arguments if v.needs_gradient]
            if not wrt:
                raise GraphError(
                    f"None of the Function '{function.name or function.uid}' arguments have 'needs_gradient == True'",
                    fix="make the input with needs_gradient=True, or say wrt=function.parameters",
                )
        with TURN:
            asked = self._asked(_gradients, device, function, wrt, outputs, grad_root)
            values = _answer(asked, at, as_numpy=as_numpy)
        variables, others = asked.wanted.gradients, asked.wanted.outputs
        count = len(variables)
        gradients = values[0] if count == 1 else dict(zip(variables, values[:count], strict=True))
        if not others:
            return gradients
        return gradients, values[count] if len(others) == 1 else _single_or_named(function, outputs, values[count:])


def _listed(outputs: Any) -> Any:
    """Outputs that can be gone through more than once: what gives each only once becomes a list."""
    return list(outputs) if hasattr(outputs, "__next__") else outputs


def _named(function: Function, outputs: Any, values: list[Any]) -> dict[Function | Variable, Any]:
    """Values under the objects that were asked for; under the function's outputs if nothing was said."""
    return dict(zip(keys_of(function.outputs if outputs is None else outputs), values, strict=True))


def _single_or_named(function: Function, outputs: Any, values: list[Any]) -> Any:
    named = _named(function, outputs, values)
    return values[0] if len(named) == 1 else named


def _values(function: Function, outputs: Any) -> Wanted:
    """What ``eval`` asks for."""
    return Wanted(outputs=_wanted(function, outputs))


def _kept(function: Function, outputs: Any) -> Wanted:
    """What ``forward`` asks for if ``backward`` is to follow."""
    return Wanted(outputs=_wanted(function, outputs), training=True)


def _gradients(function: Function, wrt: Any, outputs: Any, root: Any) -> Wanted:
    """What ``grad`` asks for."""
    return Wanted(
        gradients=tuple(outputs_of(wrt if isinstance(wrt, (list, tuple, set, frozenset)) else [wrt])),
        roots=(output_of(root),) if root is not None else (_single(function),),
        outputs=_wanted(function, outputs) if outputs is not None else (),
        training=True,
    )


def _answer(asked: Asked, arguments: Any, *, as_numpy: bool) -> list[Any]:
    """The wanted values: the way of the run before if these data allow it, else the general way."""
    found = asked.again(arguments, as_numpy=as_numpy)
    if found is not None:
        return found
    run = _loaded(asked, arguments)
    binding = asked.bound.run(run)
    if binding is not None:
        asked.learn(binding, run.layouts)
    return [result(run, asked.plan, name, v, as_numpy=as_numpy) for name, v in asked.results]


def _loaded(asked: Asked, arguments: Any) -> Run:
    """A run with its data in place."""
    matched = match(asked.variables, arguments, asked.outputs)
    run = asked.bound.new_run(asked.state, training=asked.wanted.training)
    load(run, asked.bound, matched)
    return run


def _single(function: Function) -> Variable:
    if len(function.outputs) != 1:
        raise GraphError(
            f"grad: function '{function.name or function.uid}' has {len(function.outputs)} outputs",
            fix="say grad_root=",
        )
    return function.outputs[0]


def _arguments(function: Function, wanted: Wanted) -> list[Variable]:
    """The inputs that what is wanted depends on, in the function's order."""
    leaves = walk.flat_leaves((*wanted.outputs, *wanted.roots))
    needed = {id(v) for v in leaves if v.is_input}
    ordered = [v for v in function.arguments if id(v) in needed]
    known = {id(v) for v in ordered}
    return ordered + [v for v in leaves if v.is_input and id(v) not in known]


def _wanted(function: Function, outputs: Any) -> tuple[Variable, ...]:
    """The outputs that are asked for; all if none are named.

    Raises:
        SignatureError: if one is neither a variable nor a Function.
        DataError: if one is not computed by the function.
    """
    if outputs is None:
        if not function.outputs:
            raise GraphError(
                f"function '{function.name or function.uid}' has no outputs: there is nothing to compute",
                fix="combine at least one function or variable",
            )
        return function.outputs
    if not isinstance(outputs, (Function, Variable)) and (odd := [o for o in outputs if isinstance(o, (tuple, list))]):
        raise SignatureError(
            f"outputs: a {type(odd[0]).__name__} stands where a variable or a Function is expected",
            fix="give one flat list, for example [*a.outputs, *b.outputs]",
        )
    wanted = tuple(outputs_of(outputs))
    below = {id(v) for n in walk.nodes(function.outputs) for v in (*n.outputs, *n.inputs)}
    below.update(id(v) for n in walk.flat_nodes(function.outputs) for v in (*n.outputs, *n.inputs))
    for v in wanted:
        if id(v) not in below and id(walk.resolve(v)) not in below and all(v is not o for o in function.outputs):
            raise DataError(
                f"output '{v.name or v.uid}' is not computed by the function '{function.name or function.uid}'",
                fix="ask for outputs of the function itself or of what lies below it",
            )
    return wanted


def _root_rows(gradient: Any, variable: Variable, run: Run) -> Any:
    symbol = row_symbol(variable.type.axes or ())
    rows, layout = read(variable.type, gradient, None, variable.name or variable.uid)
    have = run.layouts.get(symbol)
    if layout is not None and have is not None and layout.rows != have.rows:
        raise DataError(
            f"the gradient of '{variable.name or variable.uid}' has {layout.rows} rows, its value {have.rows}"
        )
    return rows
