"""Executing functions for users: what fills the graph's ``executor`` socket.

Matches data to variables, binds them to a plan's inputs, runs the plan and brings results into the user's form.
"""

from __future__ import annotations

import difflib
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab import _changes, settings
from cntk_lab import device as devices
from cntk_lab._turn import TURN
from cntk_lab.backends.choose import backend_of
from cntk_lab.backends.cpu import draws, jit, threads
from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.arrays import watch
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run, State
from cntk_lab.engine.ask.asked import Asked, Memory, key_of
from cntk_lab.engine.ask.results import present, result
from cntk_lab.engine.cpu.bind import Binding, NativePlan, why_not_native
from cntk_lab.engine.cpu.proof import proved
from cntk_lab.engine.cpu.waiting import WaitingInterpreter
from cntk_lab.engine.make.compile import Wanted, plan_for
from cntk_lab.engine.plan import Plan, row_symbol
from cntk_lab.errors import DataError, GraphError, LabError, SignatureError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function, keys_of, output_of, outputs_of
from cntk_lab.graph.naming import user_line
from cntk_lab.graph.variable import Variable, _Valued
from cntk_lab.tensor.arrays import values_left_host
from cntk_lab.tensor.feed import read
from cntk_lab.tensor.layout import Layout

_states: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()
_bound: weakref.WeakSet[Plan] = weakref.WeakSet()
"""Plans that were made ready for the native tier."""


def interpreter_of(plan: Plan) -> Interpreter:
    """The plan made ready to run on NumPy, kept as long as the plan."""
    found: Interpreter | None = plan.made.get("interpreter")
    if found is None:
        found = plan.made["interpreter"] = Interpreter(plan)
    return found


def waiting_of(plan: Plan) -> Interpreter:
    """What runs the plan while native code is not there yet, kept as long as the plan."""
    found: Interpreter | None = plan.made.get("waiting")
    if found is None:
        found = plan.made["waiting"] = WaitingInterpreter(plan)
    return found


def native_of(plan: Plan) -> NativePlan | None:
    """The plan on the native tier, kept as long as the plan; None where that cannot run it."""
    known: NativePlan | None = plan.made.get("native")
    made_for: _Switches = plan.made.setdefault("switches", _Switches())
    at = _changes.count()
    if made_for.at == at:
        return known
    made_for.at = at
    switches = _switches()
    if made_for.values != switches:
        if made_for.values:
            plan.made.pop("waiting", None)  # its primitives were made for others
        made_for.values = switches
        fits = why_not_native(plan) is None and jit.available()
        if fits:
            draws.serve()
        known = plan.made["native"] = NativePlan(plan, interpreter_of(plan)) if fits else None
        _bound.add(plan)
    return known


class _Switches:
    """The switches that a native plan is made for, and how much had changed when they were looked at."""

    def __init__(self) -> None:
        self.at = -1
        self.values: tuple[object, ...] = ()


def _switches() -> tuple[object, ...]:
    """The switches as they are now."""
    flags = [settings.flag(name) for name in ("native", "onednn", "checked")]
    return (*flags, threads.get_num_threads())


def natives() -> dict[Plan, NativePlan]:
    """The plans that are on the native tier now: what watches and tests look at."""
    with TURN:
        plans = list(_bound)
    return {p: made for p in sorted(plans, key=lambda p: p.number) if (made := p.made.get("native")) is not None}


def new_run(device: DeviceDescriptor | None, state: State, *, training: bool) -> Run:
    """A run on a device: the default device if none is named."""
    device = device or devices.use_default_device()
    if device.type() == devices.DeviceKind.CPU:
        return Run({}, state, training=training)
    backend = backend_of(device)
    return Run({}, state, backend.xp, training=training, backend=backend)


def _worth_compiling(plan: Plan) -> bool:
    """Whether a plan runs often enough for native code: training from the first step, others from the n-th run on."""
    if plan.repeated:
        return True
    plan.runs += 1
    return plan.runs > settings.number("native_after")


def execute(plan: Plan, run: Run) -> Binding | None:
    """Run a plan on the best tier that is ready: NumPy serves while native kernels are being compiled.

    Returns:
        The binding that ran, if the native tier did and owes no proof.
    """
    if run.backend is not None:
        _load_values(run, plan)
        _on_device(plan, run)
        return None
    if watch.wanted():
        _load_values(run, plan)
        watch.run_watched(interpreter_of(plan), run)
        return None
    native = native_of(plan) if settings.flag("native") and _worth_compiling(plan) else None
    if native is None or native.running or not native.ready():
        _load_values(run, plan)
        started = time.perf_counter()
        (waiting_of(plan) if settings.flag("native") else interpreter_of(plan)).run(run)
        if native is not None and native.proof is not None:
            native.proof.seconds = time.perf_counter() - started
        return None
    if run.state.carried and any(layout.begins is not None for layout in run.layouts.values()):
        for frames in run.state.carried.values():
            frames.frames()  # they lie in memory that this run writes
    if native.proof is not None and native.guards is None and native.proof.due(run):
        return proved(native, run, waiting_of(plan))
    if native.proof is not None and native.guards is not None and native.binding(run).careful:
        return proved(native, run, interpreter_of(plan))
    binding = native.serve(run)
    return binding if native.proof is None else None


def _on_device(plan: Plan, run: Run) -> None:
    """Run a plan with a GPU backend's arrays and kernels."""
    assert run.backend is not None
    by_device: dict[int, Interpreter] = plan.made.setdefault("gpu", {})
    number = run.backend.device.id()
    if number not in by_device:
        by_device[number] = Interpreter(plan, run.backend.kernel)
    if watch.wanted():
        watch.run_watched(by_device[number], run)
    else:
        by_device[number].run(run)


def state_of(root: Any) -> State:
    """The random streams and carried frames of a function's root node; every composite of a root shares them."""
    with TURN:
        if root not in _states:
            _states[root] = State()
        return _states[root]


class Bound:
    """Data matched to variables: rows and layouts."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.layouts: dict[str, Layout] = {}

    def add(self, variable: Variable, data: Any, begins: Sequence[bool] | None) -> None:
        """Take data for a variable, and check that its layout agrees with others of the same axes."""
        name = variable.name or variable.uid
        rows, layout = read(variable.type, data, begins if variable.has_sequence_axis() else None, name)
        self.rows[id(variable)] = rows
        if layout is None:
            return
        axes = variable.type.axes or ()
        symbol = row_symbol(axes)
        before = self.layouts.get(symbol)
        if before is not None and before != layout:
            raise DataError(
                "Different minibatch layouts detected (difference in sequence lengths or count or start flags) in data "
                f"specified for the Function's arguments: '{name}' has {_lengths(layout)}, another has "
                f"{_lengths(before)}",
                fix="give all arguments with the same dynamic axes the same number of samples and the same lengths",
            )
        self.layouts[symbol] = layout
        if len(axes) > 1:
            batch = self.layouts.setdefault("#", Layout.of_samples(layout.count))
            if batch.count != layout.count:
                raise DataError(f"'{name}' has {layout.count} sequences, another argument {batch.count} samples")


def _lengths(layout: Layout) -> str:
    return f"{layout.count} samples" if layout.longest <= 1 else f"lengths {layout.lengths.tolist()[:8]}"


def match(variables: Sequence[Variable], arguments: Any, outputs: Sequence[Variable]) -> Bound:
    """Data in the user's form, matched to the variables that are needed.

    Args:
        variables: the arguments that the outputs depend on.
        arguments: dictionary variable or name -> data, or data for a single argument; with sequence-begin flags as a
            pair.
        outputs: what is computed, for messages.
    """
    try:
        return _matched(variables, arguments, outputs)
    except LabError as error:
        if error.where:
            raise
        names = ", ".join(dict.fromkeys(v.name or v.uid for v in outputs))
        line = user_line()
        where = f"data for '{names}'" + (f", given at {line}" if line else "")
        raise type(error)(error.what, where, error.fix) from None


def _matched(variables: Sequence[Variable], arguments: Any, outputs: Sequence[Variable]) -> Bound:
    begins: Any = None
    if isinstance(arguments, tuple) and len(arguments) == 2 and _is_flags(arguments[1]):
        arguments, begins = arguments
    bound = Bound()
    if not isinstance(arguments, Mapping):
        if arguments is None or (isinstance(arguments, (dict, list, tuple)) and len(arguments) == 0):
            if variables:
                raise DataError(f"function expects {len(variables)} arguments", fix="give {variable: data} for each")
            return bound
        if len(variables) != 1:
            raise DataError(
                f"function expects {len(variables)} arguments, and data without names were given",
                fix="give a dictionary {variable: data}: " + ", ".join(v.name or v.uid for v in variables),
            )
        arguments = {variables[0]: arguments}
    known = {v.name: v for v in variables if v.name}
    given: dict[int, Any] = {}
    for key, data in arguments.items():
        if isinstance(key, str):
            if key not in known:
                raise DataError(
                    f'variable with name "{key}" does not exist in the network. Available variable names: '
                    + ", ".join(known),
                    fix=_closest(key, known),
                )
            given[id(known[key])] = data
        else:
            given[id(output_of(key))] = data
    if not given and variables:
        raise DataError(f"function expects {len(variables)} arguments", fix="give {variable: data} for each")
    missing = [v for v in variables if id(v) not in given]
    if missing:
        names = ", ".join(str(v) for v in missing)
        of = ", ".join(v.name or v.uid for v in outputs)
        raise DataError(
            f"Values for {len(missing)} required arguments '{names}', that the requested output(s) '{of}' "
            "depend on, have not been provided.",
            fix="add them to the dictionary: {variable: data}",
        )
    for v in variables:
        data = given[id(v)]
        flags = begins.get(v) if isinstance(begins, Mapping) else begins
        if isinstance(data, tuple) and len(data) == 2 and _is_flags(data[1]):
            data, flags = data
        bound.add(v, data, flags)
    return bound


def _closest(name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean '{similar[0]}'?" if similar else "name one of the function's arguments"


def _is_flags(thing: Any) -> bool:
    return (
        isinstance(thing, (list, np.ndarray)) and len(thing) > 0 and all(isinstance(f, (bool, np.bool_)) for f in thing)
    )


def load(run: Run, plan: Plan, bound: Bound) -> None:
    """Put the data of inputs in place; values that are on a GPU come back if the CPU computes."""
    if run.backend is None and values_left_host():
        _bring_home(plan)
    run.layouts.update(bound.layouts)
    for number, variable in _reads_of(plan).given:
        run.arrays[number] = run.to_device(bound.rows[variable])


def _load_values(run: Run, plan: Plan) -> None:
    """Put parameters and constants in place: native tables have their addresses instead."""
    for number, v in _reads_of(plan).valued:
        if run.backend is not None:
            v.storage.move(run.backend.device)
        run.arrays[number] = v.storage.array[None]


def _bring_home(plan: Plan) -> None:
    """Move parameters and constants back to the memory on the CPU that native tables know."""
    for _, v in _reads_of(plan).valued:
        v.storage.move(devices.cpu())


def _reads_of(plan: Plan) -> _Reads:
    found: _Reads | None = plan.made.get("reads")
    if found is None:
        found = plan.made["reads"] = _Reads(plan)
    return found


class _Reads:
    """What a plan reads: buffers for data, each with the id of its variable, and those of parameters and constants."""

    def __init__(self, plan: Plan) -> None:
        self.given = [(b.id, id(b.variable)) for b in plan.buffers_of("input") if b.variable is not None]
        others = [(b.id, b.variable) for b in plan.buffers if b.role != "input"]
        self.valued = [(number, v) for number, v in others if isinstance(v, _Valued)]


class ForwardState:
    """What ``forward`` keeps for ``backward``: the run, its plan and what was asked."""

    def __init__(self, function: Function, outputs: tuple[Variable, ...], run: Run) -> None:
        self.function, self.outputs, self.run = function, outputs, run


class Executor:
    """Fills the graph's ``executor`` socket."""

    def __init__(self) -> None:
        self._memory = Memory()

    def _asked(
        self, wants: Callable[..., Wanted], function: Function, *things: Any, fused: bool | None = None
    ) -> Asked:
        """What is asked of a function, with its plan: from memory if nothing has changed since it was asked before."""
        key = key_of(wants, function, *things)
        found = self._memory.find(key)
        if found is None:
            at = _changes.count()
            wanted = wants(function, *things)
            plan = plan_for(wanted, fused=fused)
            found = Asked(at, wanted, plan, _arguments(function, wanted), state_of(function.node))
            self._memory.keep(key, found, function, *things)
        return found

    def evaluate(self, function: Function, arguments: Any, outputs: Any, device: Any, as_numpy: bool) -> Any:
        """Values of outputs; the value itself if there is one."""
        outputs = outputs if outputs is None else _listed(outputs)
        with TURN:
            asked = self._asked(_values, function, outputs)
            values = _answer(asked, arguments, device, as_numpy=as_numpy)
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
                asked = self._asked(_values, function, outputs)
                values = _answer(asked, arguments, device, as_numpy=as_numpy)
            return None, _named(function, outputs, values)
        with TURN:
            asked = self._asked(_kept, function, outputs, fused=False)
            plan = asked.plan
            run = _loaded(asked, arguments, device)
            _load_values(run, plan)
            actions = interpreter_of(plan).actions
            for action in actions[: len(actions) - plan.assignments]:
                action(run)
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
            plan = plan_for(
                Wanted(outputs=state.outputs, gradients=wrt, roots=roots, training=True, given_roots=True), fused=False
            )
            run = state.run
            for i, (root, gradient) in enumerate(root_gradients.items()):
                variable = output_of(root)
                number = next(b.id for b in plan.buffers if b.role == "input" and b.name == f"root {i}")
                run.arrays[number] = _root_rows(gradient, variable, run)
            actions = interpreter_of(plan).actions
            first_final, first_assignment = len(actions) - plan.finals, len(actions) - plan.assignments
            for action in (*actions[plan.forward : first_final], *actions[first_assignment:]):
                action(run)
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
            asked = self._asked(_gradients, function, wrt, outputs, grad_root)
            values = _answer(asked, at, device, as_numpy=as_numpy)
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


def _answer(asked: Asked, arguments: Any, device: DeviceDescriptor | None, *, as_numpy: bool) -> list[Any]:
    """The wanted values: the way of the run before if these data allow it, else the general way."""
    found = asked.again(arguments, device, as_numpy=as_numpy)
    if found is not None:
        return found
    run = _loaded(asked, arguments, device)
    binding = execute(asked.plan, run)
    if binding is not None:
        asked.learn(binding, run.layouts)
    return [result(run, asked.plan, name, v, as_numpy=as_numpy) for name, v in asked.results]


def _loaded(asked: Asked, arguments: Any, device: DeviceDescriptor | None) -> Run:
    """A run with its data in place."""
    bound = match(asked.variables, arguments, asked.outputs)
    run = new_run(device, asked.state, training=asked.wanted.training)
    load(run, asked.plan, bound)
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


__all__ = [
    "Bound", "Executor", "ForwardState", "execute", "interpreter_of", "load", "match", "native_of", "natives",
    "new_run", "present", "state_of", "waiting_of",
]  # fmt: skip
