"""`cntk-lab convert`: a model file in another format."""

from __future__ import annotations

from pathlib import Path

from cntk_lab import formats


def convert(model: str, target: str, *, verify: bool = True, opset: int | None = None) -> str:
    """Write a model file in the format that the other file's name ends with; what came out, in words.

    Args:
        model: the file to read, CNTK's or ONNX.
        target: the file to write.
        verify: whether an ONNX file is run beside the model before it is kept.
        opset: version of ONNX's operators.

    Raises:
        FormatError: if one of them cannot be.
    """
    function = formats.load(model)
    if Path(target).suffix.lower() == ".onnx":
        report = formats.save(function, target, formats.ModelFormat.ONNX, verify=None if verify else False, opset=opset)
        return f"wrote {target}: {report}"
    old = Path(target).suffix.lower() == ".dnn"
    formats.save(function, target, formats.ModelFormat.CNTKv1 if old else formats.ModelFormat.CNTKv2)
    return f"wrote {target}"
