"""What a composer starts from: a Function, a program as text, or a file of either. Knows no edits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cntk_lab.composer._edits import EMPTY
from cntk_lab.composer._write import Written, write
from cntk_lab.errors import FormatError
from cntk_lab.graph.function import Function

MODEL_FILES: Final = (".model", ".cntk", ".dnn")
_LARGEST: Final = 4_000_000
"""Bytes of a program."""


def opened(model: Function | str | os.PathLike[str] | None) -> Written:
    """The program of what is to be composed.

    Args:
        model: a Function; a program as text; the path of a program or of a model file; None for an empty program.

    Raises:
        FormatError: if a file is too large or damaged.
        GraphError: if the model has loops that no layer makes.
    """
    if model is None:
        return Written(EMPTY)
    if isinstance(model, Function):
        return write(model)
    if isinstance(model, str) and ("\n" in model or not model.endswith((".py", *MODEL_FILES))):
        return Written(model)
    path = Path(model)
    if path.suffix in MODEL_FILES:
        return write(Function.load(str(path)))
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path.name} is too large for a program", fix=f"open files below {_LARGEST} bytes")
    return Written(path.read_text("utf-8"))
