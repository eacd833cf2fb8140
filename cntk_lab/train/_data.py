"""Where training gets its minibatches: sources in their different forms, and arrays of the user as a source.

Knows sources and inputs of functions; no trainers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from cntk_lab.errors import AttributeValueError, DataError, SignatureError
from cntk_lab.graph.variable import Variable
from cntk_lab.io import FULL_DATA_SWEEP, INFINITELY_REPEAT, MinibatchSourceFromData, UserMinibatchSource
from cntk_lab.tensor.given import by_position

Streams: TypeAlias = Mapping[Any, Any]
"""{input: stream of a source, or its name}."""


def is_infinite(source: Any) -> bool:
    """Whether a source never ends; one that does not say is believed to end."""
    ask = getattr(source, "is_infinite", None)
    return bool(ask()) if callable(ask) else False


def next_minibatch(source: Any, samples: int, streams: Streams) -> dict[Variable, Any]:
    """The next minibatch of a source, by inputs.

    Args:
        source: of minibatches.
        samples: how many are wanted.
        streams: {input: stream}.

    Returns:
        {input: data}; empty at the end of the source.

    Raises:
        DataError: if the source does not deliver a stream.
    """
    if isinstance(source, UserMinibatchSource):
        found = source.next_minibatch(samples, 1, 0, None)
    else:
        found = source.next_minibatch(samples)
    if not found:
        return {}
    by_name = {getattr(info, "m_name", info): data for info, data in found.items()}
    result = {}
    for variable, stream in streams.items():
        name = getattr(stream, "m_name", stream)
        if name not in by_name:
            raise DataError(
                f"the source delivers no stream '{name}' for input '{variable.name or variable.uid}'",
                fix=f"use one of its streams: {', '.join(map(str, by_name))}",
            )
        result[variable] = by_name[name]
    return result


def source_of(data: Sequence[Any], criterion: Any, endless: bool) -> MinibatchSourceFromData:
    """The user's arrays as a source.

    Args:
        data: one array, CSR matrix or list of sequences for each argument of the criterion, in their order.
        criterion: whose arguments they are.
        endless: whether the data start again when they end.

    Raises:
        AttributeValueError: if there are more or fewer arrays than arguments.
        SignatureError: if the arrays differ in length.
    """
    arguments = criterion.arguments
    if len(data) != len(arguments):
        raise AttributeValueError(
            f"to pass data directly in place of a minibatch source, pass a tuple of {len(arguments)} numpy or scipy "
            f"arrays, in the order of the arguments of the criterion function. You passed {len(data)} value(s)",
            fix="give one for each of: " + ", ".join(a.name or a.uid for a in arguments),
        )
    data = [by_position(d) for d in data]
    lengths = [length_of(d) for d in data]
    if len(set(lengths)) > 1:
        raise SignatureError(
            f"all data items must have the same first dimension: they have {', '.join(map(str, lengths))}",
            fix="give as many samples or sequences for each argument",
        )
    streams = {_name(i): (_as_sequences(d, a), a.type) for i, (d, a) in enumerate(zip(data, arguments, strict=True))}
    return MinibatchSourceFromData(streams, INFINITELY_REPEAT if endless else FULL_DATA_SWEEP)


def streams_of(source: MinibatchSourceFromData, criterion: Any) -> Streams:
    """Which argument of a criterion gets which stream of the source made of the user's arrays."""
    return {argument: source.stream_info(_name(i)) for i, argument in enumerate(criterion.arguments)}


def length_of(data: Any) -> int:
    """Samples or sequences in the user's data for one argument."""
    return int(data.shape[0]) if hasattr(data, "shape") else len(data)


def _name(number: int) -> str:
    return f"stream_{number}"


def _as_sequences(data: Any, argument: Variable) -> Any:
    """An array of equally long sequences (sequences x frames x shape) as a list of them."""
    rank = getattr(data, "ndim", 0)
    if argument.has_sequence_axis() and rank == len(argument.shape) + 2 and not hasattr(data, "indptr"):
        return list(data)
    return data
