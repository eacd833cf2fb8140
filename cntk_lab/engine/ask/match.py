"""Data in the user's form, matched to the variables that a plan needs: rows and layouts, or an error in their words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.engine.plan import row_symbol
from cntk_lab.errors import DataError, LabError
from cntk_lab.graph.function import output_of
from cntk_lab.graph.naming import user_line
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.feed import read
from cntk_lab.tensor.layout import Layout


class Matched:
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


def match(variables: Sequence[Variable], arguments: Any, outputs: Sequence[Variable]) -> Matched:
    """Data in the user's form, matched to the variables that are needed.

    Args:
        variables: the arguments that the outputs depend on.
        arguments: dictionary variable or name -> data, or data for a single argument; with sequence-begin flags as a
            pair.
        outputs: what is computed, for messages.
    """
    try:
        return _match(variables, arguments, outputs)
    except LabError as error:
        if error.where:
            raise
        names = ", ".join(dict.fromkeys(v.name or v.uid for v in outputs))
        line = user_line()
        where = f"data for '{names}'" + (f", given at {line}" if line else "")
        raise type(error)(error.what, where, error.fix) from None


def _match(variables: Sequence[Variable], arguments: Any, outputs: Sequence[Variable]) -> Matched:
    begins: Any = None
    if isinstance(arguments, tuple) and len(arguments) == 2 and _is_flags(arguments[1]):
        arguments, begins = arguments
    matched = Matched()
    if not isinstance(arguments, Mapping):
        if arguments is None or (isinstance(arguments, (dict, list, tuple)) and len(arguments) == 0):
            if variables:
                raise DataError(f"function expects {len(variables)} arguments", fix="give {variable: data} for each")
            return matched
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
        matched.add(v, data, flags)
    return matched


def _closest(name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean '{similar[0]}'?" if similar else "name one of the function's arguments"


def _is_flags(thing: Any) -> bool:
    return (
        isinstance(thing, (list, np.ndarray)) and len(thing) > 0 and all(isinstance(f, (bool, np.bool_)) for f in thing)
    )
