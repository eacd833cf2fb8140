"""debug_model: a copy of a model that stops at each function, forward and backward, and takes commands.

Knows graphs and user functions. Source: CNTK 2.7 ``debugging.debug``, as observed.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from cntk_lab import settings
from cntk_lab.debugging.profiler import set_node_timing
from cntk_lab.errors import SignatureError
from cntk_lab.events import BUS, PlanCompiled
from cntk_lab.graph import walk
from cntk_lab.graph.clone import CloneMethod
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable
from cntk_lab.ops import combine, output_variable
from cntk_lab.ops._user import UserFunction, user_function

__all__ = [
    "DEBUG_USAGE", "CloneMethod", "UserFunction", "debug_model", "output_variable", "save_as_legacy_model",
    "set_checked_mode", "set_computation_network_trace_level", "set_node_timing", "user_function",
]  # fmt: skip

DEBUG_USAGE = """\
    Commands:
        n            go on to the next function
        n 5          go on for 5 functions
        u f          go on until a forward pass begins
        u b          go on until a backward pass begins
        u dense1     go on to the function of that name
        u Times      go on to a function of that operator
        c            go on to the end
        p            print the value (forward) or its gradient (backward)
        s            print shape, range and number of NaN of it
        d            stop in Python's debugger
        q            quit"""
_WIDTH = 80


class _Reads(Protocol):
    def readline(self) -> str: ...


class _Writes(Protocol):
    def write(self, text: str) -> object: ...

    def flush(self) -> object: ...


class _Dialogue:
    """What all stops of one model share: streams, the direction, and when to stop next."""

    def __init__(self, in_stream: _Reads, out_stream: _Writes, exit_func: Callable[[], object]) -> None:
        self._in, self._out, self._exit = in_stream, out_stream, exit_func
        self._direction = ""
        self._steps = 1
        """Stop at the step-th function from here; 0: ``until`` decides."""
        self._until: Callable[[str, Any], bool] | None = None

    def visit(self, direction: str, what: str, described: Any, value: Any) -> None:
        """Tell of a function that was reached, and take commands if it is time."""
        turned = direction != self._direction
        if turned:
            self._direction = direction
            self._out.write(f"\n{f' {direction} '.center(_WIDTH, '=')}\n")
        self._out.write(what + "\n")
        self._out.flush()
        if self._due(direction if turned else "", described):
            self._ask(value)

    def _due(self, turned_to: str, described: Any) -> bool:
        if self._until is not None:
            return self._until(turned_to, described)
        self._steps -= 1
        return self._steps == 0

    def _ask(self, value: Any) -> None:
        self._steps, self._until = 0, None
        prompt = _DebugNode.PROMPT_FORWARD if self._direction == "forward" else _DebugNode.PROMPT_BACKWARD
        while True:
            self._out.write(prompt)
            self._out.flush()
            line = self._in.readline()
            if not line:  # the stream has ended: nobody is there to be asked
                line = "c"
            if self._obey(line.strip(), value):
                return

    def _obey(self, line: str, value: Any) -> bool:
        """Carry out a command; whether to go on."""
        command, _, argument = line.partition(" ")
        argument = argument.strip()
        if command == "n" and (not argument or argument.isdigit()):
            self._steps = max(1, int(argument or 1))
        elif command == "c":
            self._until = lambda turned, described: False
        elif command == "u" and argument:
            self._until = _condition(argument)
        elif command == "p":
            self._out.write(f"{_plain(value)}\n")
            return False
        elif command == "s":
            self._out.write(f"{_summary(value)}\n")
            return False
        elif command == "d":
            breakpoint()  # noqa: T100 - what the command is for
            return False
        elif command == "q":
            self._exit()
        else:
            self._out.write(f"{DEBUG_USAGE}\n")
            return False
        return True


def _condition(argument: str) -> Callable[[str, Any], bool]:
    """When to stop: at a direction, or at a function of a name or operator."""
    wanted = {"f": "forward", "b": "backward"}.get(argument)
    if wanted is not None:
        return lambda turned, described: turned == wanted
    name = _unquoted(argument)
    return lambda turned, described: name in (described.name, getattr(described, "op_name", None))


def _unquoted(text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, str) else text


def _plain(value: Any) -> str:
    return "\n".join(
        np.array2string(np.asarray(v), threshold=200) for v in (value if isinstance(value, list) else [value])
    )


def _summary(value: Any) -> str:
    parts = []
    for v in value if isinstance(value, list) else [value]:
        array = np.asarray(v)
        numbers = array[~np.isnan(array)]
        extent = (
            f"{numbers.min():.6g} to {numbers.max():.6g}, mean {numbers.mean():.6g}" if numbers.size else "no numbers"
        )
        parts.append(f"shape {array.shape}: {extent}, {array.size - numbers.size} NaN")
    return "\n".join(parts)


class _DebugNode(UserFunction):
    """Passes on what it gets and stops there: behind each function of a model that is debugged."""

    PROMPT_FORWARD = "[CNTK forward] >>> "
    PROMPT_BACKWARD = "[CNTK backward] >>> "

    def __init__(self, operand: Variable, dialogue: _Dialogue, described: Any, name: str = "") -> None:
        super().__init__([operand], name=name)
        self._dialogue, self._described = dialogue, described

    def infer_outputs(self) -> list[Variable]:
        x = self.inputs[0]
        return [output_variable(x.shape, x.dtype, x.dynamic_axes, needs_gradient=x.needs_gradient)]

    def forward(  # type: ignore[override]  # CNTK's user functions have this form
        self, argument: Any, device: Any = None, outputs_to_retain: Any = None
    ) -> tuple[None, Any]:
        del device, outputs_to_retain
        self._dialogue.visit("forward", self._text(), self._described, argument)
        return None, argument

    def backward(self, state: Any, root_gradients: Any) -> Any:  # type: ignore[override]
        del state
        self._dialogue.visit("backward", self._text(), self._described, root_gradients)
        return root_gradients

    def clone(self, cloned_inputs: Any, *more: Any) -> Any:  # type: ignore[override]
        """A stop in the same dialogue."""
        if more or not isinstance(cloned_inputs, (list, tuple)):
            return super().clone(cloned_inputs, *more)
        return _DebugNode(cloned_inputs[0], self._dialogue, self._described, self.name)

    def _text(self) -> str:
        return f"{self._described} with uid '{self._described.uid}'"


def debug_model(
    model: Function,
    in_stream: _Reads = sys.stdin,
    out_stream: _Writes = sys.stdout,
    exit_func: Callable[[], object] = sys.exit,
) -> Function:
    r"""A copy of a model that stops at its functions and leaves, forward and backward, and takes commands.

    Parameters are shared with the model, so training the copy trains it. Functions inside a loop are not stopped at.

    Args:
        model: Function to look into.
        in_stream: where commands are read.
        out_stream: where is written.
        exit_func: what the command ``q`` calls.

    Returns:
        Function; use it instead of the model.

    Example:
        >>> import io, cntk_lab as C
        >>> x = C.input_variable(2, name="x")
        >>> text = io.StringIO()
        >>> z = debug_model(C.exp(x, name="z"), io.StringIO("p\nc\n"), text)
        >>> _ = z.eval({z.arguments[0]: [[0, 1]]})
        >>> "Input('x'" in text.getvalue() and "[[0. 1.]]" in text.getvalue()
        True

    Source: CNTK 2.7 ``debugging.debug_model``.
    """
    if not isinstance(model, Function):
        raise SignatureError(f"debug_model takes a Function, not a {type(model).__name__}")
    dialogue = _Dialogue(in_stream, out_stream, exit_func)
    order = list(walk.nodes(model.outputs))
    loops = _in_loops(order)
    stops: dict[Variable, Variable] = {}

    def stop(variable: Variable, described: Any) -> Variable:
        made: Variable = user_function(_DebugNode(variable, dialogue, described)).output
        return made

    for leaf in walk.leaves(model.outputs):
        if not leaf.is_constant:
            stops[leaf] = stop(leaf, leaf)
    for node in order:
        if id(node) in loops or all(output.node is not node for output in node.outputs):
            continue
        copy = Function.of(node).clone(CloneMethod.share, _below(node, stops))
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            stops[old] = stop(new, Function.of(node, composite=False))
    missing = [output for output in model.outputs if output not in stops]
    if missing:
        return model.clone(CloneMethod.share, stops)
    found = [stops[output] for output in model.outputs]
    if len(found) == 1 and found[0].node is not None:
        return Function.of(found[0].node)
    return combine(found, name=model.name)


def _below(node: Node, stops: Mapping[Variable, Variable]) -> dict[Variable, Variable]:
    """What is replaced in a copy of a node: its operands, or, behind a loop, what the loop reads."""
    direct = {v: stops[v] for v in node.inputs if v in stops}
    return direct if len(direct) == len({*node.inputs}) else {v: s for v, s in stops.items() if v.node is not node}


def _in_loops(order: list[Node]) -> set[int]:
    """Nodes from which a path leads back to themselves."""
    place = {id(node): i for i, node in enumerate(order)}
    below: dict[int, set[int]] = {i: set() for i in place.values()}
    back = False
    for node in order:
        for v in node.inputs:
            if v.node is not None and id(v.node) in place:
                below[place[id(node)]].add(place[id(v.node)])
                back |= place[id(v.node)] >= place[id(node)]
    if not back:
        return set()
    found = set()
    for start, operands in below.items():
        seen: set[int] = set()
        stack = list(operands)
        while stack:
            at = stack.pop()
            if at not in seen:
                seen.add(at)
                stack.extend(below[at])
        if start in seen:
            found.add(id(order[start]))
    return found


def save_as_legacy_model(root_op: Function, filename: str | os.PathLike[str]) -> None:
    """Write a model to a file of CNTK 1 (BrainScript's format), whole or not at all.

    Args:
        root_op: the model: inputs, parameters, element-wise operators, products, reductions, delays, slices, splices
            and reshapes, in blocks or not.
        filename: the file; CNTK 2.7 and :func:`load_model` read it.

    Raises:
        FormatError: if the model holds an operator or an element type outside of these; names it.

    Example:
        >>> import os, tempfile
        >>> import cntk_lab as C
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "old.model")
        ...     save_as_legacy_model(C.exp(C.constant([0.0, 0.0])), file)
        ...     print(C.load_model(file).eval().tolist())
        [1.0, 1.0]

    Source: CNTK 2.7 ``debugging.save_as_legacy_model``.
    """
    root_op.save(filename, format="CNTKv1")


def set_checked_mode(enable: bool) -> None:
    """Watch the edges of all buffers during runs (slow), or end this.

    Args:
        enable: whether to watch.

    Source: CNTK 2.7 ``debugging.set_checked_mode``.
    """
    settings.set_option("checked", bool(enable))


_trace: list[Callable[[], None]] = []
"""Ends the listening of ``set_computation_network_trace_level``."""


def set_computation_network_trace_level(level: int) -> None:
    """Tell of each plan when it is made, on stderr, or end this.

    Args:
        level: 0 tells nothing; more tells number, title and steps of each plan, and how long it took (s).

    Source: CNTK 2.7 ``debugging.set_computation_network_trace_level``.
    """
    while _trace:
        _trace.pop()()
    if level > 0:
        _trace.append(BUS.subscribe(PlanCompiled, _tell))


def _tell(event: PlanCompiled) -> None:
    sys.stderr.write(f"plan {event.plan} ({event.title}): {event.steps} steps, made in {event.seconds:.3f} s\n")
