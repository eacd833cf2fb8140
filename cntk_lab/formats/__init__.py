"""Model files: choosing the format of what is saved, loaded and restored; what the graph's sockets are filled with.

Must not know how a format is written. Formats load on first use, so that importing the package stays fast.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cntk_lab._foreign import HEAD, is_cntk, is_onnx, refuse
from cntk_lab.errors import FormatError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable

__all__ = ["ModelFormat", "load", "restore", "save"]


class ModelFormat(enum.IntEnum):
    """Formats of model files, with CNTK's numbers; CNTKv1 is added here (``debugging.save_as_legacy_model``).

    Example:
        >>> ModelFormat(1)
        <ModelFormat.ONNX: 1>

    Source: CNTK 2.7 ``ModelFormat``.
    """

    CNTKv2 = 0
    ONNX = 1
    CNTKv1 = 2


_WORDS = {ModelFormat.CNTKv2: "CNTK", ModelFormat.ONNX: "ONNX", ModelFormat.CNTKv1: "CNTK"}


def save(
    function: Function,
    filename: Any,
    format: Any = None,
    use_external_files_to_store_parameters: bool = False,
    *,
    verify: bool | None = None,
    opset: int | None = None,
) -> Any:
    """Write a model to a file, whole or not at all.

    Args:
        function: the model.
        filename: the file; one of this name is replaced when the new one is complete. Folders that are not there are
            made.
        format: a :class:`ModelFormat`, its number or name; default CNTKv2, or ONNX for files called ``*.onnx``.
        use_external_files_to_store_parameters: accepted for CNTK's sake; all formats here hold any size in one file.
        verify: for ONNX, whether the file is run beside the model before it is kept; default where that is possible.
        opset: for ONNX, the version of its operators; default the lowest that has all that is needed.

    Returns:
        For ONNX, the report of the comparison; else None.

    Raises:
        FormatError: if the model cannot be said in the format, or the file cannot be written.
    """
    del use_external_files_to_store_parameters
    if format is None and str(os.fspath(filename)).lower().endswith(".onnx"):
        format = ModelFormat.ONNX
    wanted = _format(format)
    from cntk_lab.formats.cntk import legacy, write

    folder = Path(os.path.realpath(filename)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(
            f"cannot make the folder {folder}: {error.strerror}", str(filename), "give a folder that can be made"
        ) from error
    if wanted is ModelFormat.ONNX:
        from cntk_lab.formats.onnx import export

        return export.save(function, filename, check=verify, opset=opset)
    if wanted is ModelFormat.CNTKv1:
        legacy.save(write.describe(function), filename)
    else:
        write.save(function, filename)
    return None


def load(
    model: Any,
    device: Any = None,
    format: Any = None,
    *,
    axes: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Function:
    """The function in a model file.

    Args:
        model: the file's name, or the file's bytes.
        device: where parameters will live; default the default device.
        format: a :class:`ModelFormat`, its number or name; default CNTKv2, or ONNX for files called ``*.onnx``.
        axes: for ONNX, what the axes of inputs are, by name: "#" for the batch axis, a size, None for a free one.
        constants: for ONNX, inputs that are numbers once and for all, by their names.

    Raises:
        FormatError: if there is no such file, or it is damaged, or of another format, or says what is not computed.
    """
    if not isinstance(model, (str, os.PathLike, bytes, bytearray, memoryview)):
        raise FormatError(f"cannot load a model from a {type(model).__name__}", fix="give a file's name or its bytes")
    from cntk_lab.formats.cntk import legacy, read

    source = "bytes"
    if isinstance(model, (str, os.PathLike)):
        source = str(os.fspath(model))
        if not Path(model).is_file():
            raise FormatError(f"there is no model file {source!r}", fix="give the name of a file, or the file's bytes")
        if format is None and source.lower().endswith(".onnx"):
            format = ModelFormat.ONNX
    wanted = _format(format)
    head = _head(model)
    if wanted is ModelFormat.ONNX and (is_cntk(head) or legacy.is_legacy(head)):
        raise FormatError(
            "this is no ONNX model but a CNTK model",
            source,
            "load it with format=ModelFormat.CNTKv2, or name it .model",
        )
    if not legacy.is_legacy(head):
        refuse(head, source, f"{_WORDS[wanted]} model", is_onnx if wanted is ModelFormat.ONNX else is_cntk)
    if wanted is ModelFormat.ONNX:
        from cntk_lab.formats.onnx import read as onnx

        loaded = onnx.load(model, axes, constants)
    else:
        loaded = read.build(legacy.read(model), source) if legacy.is_legacy(head) else read.load(model)
    if device is not None:
        for variable in (*loaded.parameters, *loaded.constants):
            variable.device = device  # type: ignore[attr-defined]
    return loaded


def _head(model: Any) -> bytes:
    """The first bytes of a model's file, or of its bytes."""
    if not isinstance(model, (str, os.PathLike)):
        return bytes(model[:HEAD])
    with Path(model).open("rb") as file:
        return file.read(HEAD)


def restore(function: Function, filename: Any) -> None:
    """Read parameters and constants of a model back from a file of the same model, in place.

    They are matched by uid if the file has all of them, else by their order in the graph.

    Raises:
        FormatError: if the file is damaged, or is of another model; nothing is changed then.
    """
    loaded = load(filename)
    pairs = _by_uid(function, loaded)
    if pairs is None:
        pairs = _by_order(list(function.parameters), list(loaded.parameters), str(filename))
        ours, theirs = list(function.constants), list(loaded.constants)
        if [v.shape for v in ours] == [v.shape for v in theirs]:
            pairs += list(zip(ours, theirs, strict=True))
        else:
            named = [[v for v in values if v.name] for values in (ours, theirs)]
            pairs += _by_order(named[0], named[1], str(filename))
    for ours_, theirs_ in pairs:
        ours_.value = theirs_.value  # type: ignore[attr-defined]


def _by_uid(function: Function, loaded: Function) -> list[tuple[Variable, Variable]] | None:
    theirs = {v.uid: v for v in walk.flat_leaves(loaded.outputs) if v.is_parameter or v.is_constant}
    ours = [v for v in walk.flat_leaves(function.outputs) if v.is_parameter or v.is_constant]
    if any(v.uid not in theirs or theirs[v.uid].shape != v.shape for v in ours if v.is_parameter):
        return None
    return [(v, theirs[v.uid]) for v in ours if v.uid in theirs and theirs[v.uid].shape == v.shape]


def _by_order(ours: list[Variable], theirs: list[Variable], filename: str) -> list[tuple[Variable, Variable]]:
    if [(v.name, v.shape) for v in ours] != [(v.name, v.shape) for v in theirs]:
        text = [", ".join(f"{v.name or v.uid} {v.shape}" for v in values[:6]) or "none" for values in (ours, theirs)]
        raise FormatError(
            f"the file holds another model: its values are {text[1]}; the function's are {text[0]}",
            filename,
            "restore into the model that was saved, or use load",
        )
    return list(zip(ours, theirs, strict=True))


def _format(format_: Any) -> ModelFormat:
    if format_ is None:
        return ModelFormat.CNTKv2
    value = getattr(format_, "value", format_)
    try:
        return ModelFormat[value] if isinstance(value, str) else ModelFormat(value)
    except (KeyError, ValueError):
        names = ", ".join(f.name for f in ModelFormat)
        raise FormatError(f"there is no model format {format_!r}", fix=f"use one of ModelFormat: {names}") from None
