"""Function and what belongs to it, under CNTK's names (a door)."""

from __future__ import annotations

from typing import Any

from cntk_lab.device import DeviceDescriptor
from cntk_lab.graph import ports
from cntk_lab.graph.function import CloneMethod, Function
from cntk_lab.graph.record import Record
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._structure import BlockFunction
from cntk_lab.tensor.value import Value

__all__ = ["BlockFunction", "CloneMethod", "Function", "Record", "Value", "Variable", "load_model"]


def load_model(model: Any, device: DeviceDescriptor | None = None, format: Any = None, **options: Any) -> Function:
    """The model that a file or bytes hold.

    Args:
        model: path of the file, or its bytes.
        device: where the parameters live.
        format: a ``ModelFormat``; default CNTKv2, or ONNX for files called ``*.onnx``.
        options: what the format has of its own: ``axes`` and ``constants`` of ONNX (:func:`cntk_lab.formats.load`).

    Returns:
        Function.

    Raises:
        FormatError: if the file is damaged or of another format.

    Example:
        >>> import cntk_lab as C, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.dnn")
        ...     C.plus(C.input_variable(1), 2).save(path)
        ...     load_model(path)([[1]]).tolist()
        [[3.0]]

    Source: CNTK 2.7 ``ops.functions.load_model``.
    """
    return ports.use("load")(model, device, format, **options)  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    if name == "ModelFormat":
        return ports.use("model_format")()
    if name in ("UserFunction", "native_user_function", "register_native_user_function"):
        from cntk_lab import ops

        return getattr(ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
