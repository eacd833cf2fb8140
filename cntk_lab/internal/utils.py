"""Small tools that programs took from CNTK's internals: evaluating with gradients, element types of arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.formats.cntk.values import Boxed
from cntk_lab.graph.function import Function
from cntk_lab.graph.signature import match_names, positional_parameters
from cntk_lab.graph.variable import Variable
from cntk_lab.internal.sanitize import sanitize_precision

__all__ = [
    "Dictionary",
    "DictionaryValue",
    "eval",
    "get_data_type",
    "get_python_function_arguments",
    "map_function_arguments",
]


def get_data_type(*args: Any) -> type[Any] | None:
    """The element type in which operands meet: of variables first, else the widest of the arrays; None if open."""
    of_variables: list[Any] = []
    of_data: list[Any] = []
    for arg in args:
        if isinstance(arg, (Variable, Function)):
            if (dtype := arg.dtype) is not None:
                of_variables.append(dtype)
        elif isinstance(arg, (np.ndarray, np.generic)):
            of_data.append(arg.dtype.type)
        elif arg is not None:
            of_data.append(np.float32)
    for found in (of_variables, of_data):
        if found:
            return np.float64 if np.float64 in found else np.float16 if set(found) == {np.float16} else np.float32
    return None


def _ones_like(batch: Sequence[Any], precision: Any) -> list[Any]:
    """Ones of the shapes of the arrays of a list."""
    return [np.ones_like(sample, dtype=sanitize_precision(precision)) for sample in batch]


def get_python_function_arguments(f: Any) -> tuple[list[str], dict[str, Any]]:
    """The names of a Python function's parameters without default, and its annotations.

    Args:
        f: the function.

    Returns:
        Names, and annotations by name.

    Example:
        >>> get_python_function_arguments(lambda a, b=3: a)
        (['a'], {})

    Source: CNTK 2.7 ``internal.utils``.
    """
    if isinstance(f, Function):
        return [a.name for a in f.signature], {}
    names = [p.name for p in positional_parameters(f)]
    return names, {k: v for k, v in getattr(f, "__annotations__", {}).items() if k in names}


def map_function_arguments(
    params: Sequence[Any], params_dict: Mapping[str, Any], *args: Any, **kwargs: Any
) -> dict[Any, Any]:
    """Parameter -> argument, by position and by name.

    Args:
        params: the parameters in order.
        params_dict: name -> parameter.
        args: arguments by position.
        kwargs: arguments by name.

    Returns:
        Dictionary parameter -> argument.

    Example:
        >>> map_function_arguments(["a", "b"], {"a": "a", "b": "b"}, 1, b=2)
        {'a': 1, 'b': 2}

    Source: CNTK 2.7 ``internal.utils``.
    """
    return match_names("", params, params_dict, args, kwargs)


def eval(
    op: Any,
    arguments: Any = None,
    precision: Any = None,  # noqa: ARG001
    device: Any = None,
    backward_pass: bool = False,
    expected_backward: Mapping[Any, Any] | None = None,
) -> tuple[dict[Variable, Any], dict[Variable, Any] | None]:
    """Values of a function's outputs, and gradients if asked for.

    Args:
        op: the function.
        arguments: dictionary variable -> data.
        precision: accepted for CNTK programs; the values say it.
        device: where to compute.
        backward_pass: whether to compute gradients too, of the sum of all elements of the outputs.
        expected_backward: its keys are the variables whose gradients are asked for.

    Returns:
        Output -> value, and variable -> gradient (None without ``backward_pass``).

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(1, needs_gradient=True)
        >>> values, gradients = eval(x * 3, {x: [[2]]}, "float", backward_pass=True, expected_backward={x: None})
        >>> [v.tolist() for v in (*values.values(), *gradients.values())]
        [[[6.0]], [[3.0]]]

    Source: CNTK 2.7 ``internal.utils.eval``.
    """
    if not backward_pass:
        _, values = op.forward(arguments, op.outputs, None, device=device)
        return values, None
    state, values = op.forward(arguments, op.outputs, op.outputs, device=device)
    roots = {o: ([np.ones_like(s) for s in v] if isinstance(v, list) else np.ones_like(v)) for o, v in values.items()}
    return values, op.backward(state, roots, set(expected_backward or ()))


class DictionaryValue(Boxed):
    """A value as CNTK's files hold it, alone in a file.

    Args:
        value: number, text, array, or lists and dictionaries of those.

    Example:
        >>> DictionaryValue(3).value
        3

    Source: CNTK 2.7 ``cntk_py.DictionaryValue``.
    """

    def save(self, filename: str) -> None:
        """Write the value to a file, whole or not at all."""
        from cntk_lab.formats.cntk import dictionary

        dictionary.write_value(filename, self.value)

    @staticmethod
    def load(filename: str) -> DictionaryValue:
        """The value that a file holds."""
        from cntk_lab.formats.cntk import dictionary

        return DictionaryValue(dictionary.read_value(filename))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DictionaryValue) and _equal(self.value, other.value)

    def __hash__(self) -> int:
        return id(self) >> 4


class Dictionary(dict[str, Any]):
    """Named values as CNTK's files hold them.

    Example:
        >>> Dictionary(a=1)["a"]
        1

    Source: CNTK 2.7 ``cntk_py.Dictionary``.
    """

    def save(self, filename: str) -> None:
        """Write the entries to a file, whole or not at all."""
        from cntk_lab.formats.cntk import dictionary

        dictionary.write(filename, dict(self))

    @staticmethod
    def load(filename: str) -> Dictionary:
        """The entries that a file holds."""
        from cntk_lab.formats.cntk import dictionary

        return Dictionary(dictionary.read(filename))


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(left, right) and np.asarray(left).dtype == np.asarray(right).dtype
    return bool(left == right)


def _to_cntk_dict_value(py_value: Any) -> Any:
    """A Python value as CNTK's files hold it: a dictionary as :class:`Dictionary`, else a :class:`DictionaryValue`."""
    return Dictionary(py_value) if isinstance(py_value, dict) else DictionaryValue(py_value)


def _py_dict_to_cntk_dict(py_dict: Mapping[str, Any]) -> Dictionary:
    """A Python dictionary as :class:`Dictionary`."""
    return Dictionary(py_dict)
