"""Function -> ONNX file: described, verified, and only then written, whole or not at all.

Must not know how any of the three is done.
"""

from __future__ import annotations

import os
import warnings

from cntk_lab._files import atomic_file
from cntk_lab.errors import FormatError, LabWarning, NotAvailableError
from cntk_lab.formats.onnx import encode, write
from cntk_lab.formats.onnx.verify import Report, verify
from cntk_lab.graph.function import Function

LARGEST = 2**31 - 1
"""Bytes that fit into one file of protobuf."""


def save(
    function: Function, filename: str | os.PathLike[str], *, check: bool | None = None, opset: int | None = None
) -> Report:
    """Write a function as an ONNX file that was run beside the function before.

    Args:
        function: the root; everything below it is written.
        filename: the file; one of this name is replaced when the new one is verified and complete.
        check: whether the file is run and compared; None does so where something is installed that can, and warns
            elsewhere.
        opset: version of ONNX's operators, 17 to 21; default the lowest that has all that is needed.

    Returns:
        What came out when the file was run.

    Raises:
        FormatError: if something cannot be said in ONNX, or the file computes something else; no file is left then.
        NotAvailableError: if ``check`` is True and nothing is installed that can run the file.

    Source: CNTK 2.7 ``Function.save(format=ModelFormat.ONNX)``; ONNX IR specification.
    """
    model = write.describe(function, opset)
    data = encode.write(model)
    if len(data) > LARGEST:
        raise FormatError(
            f"the model has {len(data):,} bytes, an ONNX file at most {LARGEST:,}", str(filename), "save it as CNTKv2"
        )
    report = Report(remark="it was not asked for")
    if check is not False:
        try:
            report = verify(function, model, data)
        except NotAvailableError as error:
            if check:
                raise
            report = Report(remark=f"{error.what}; {error.fix}")
        if not report.rows and report.remark:
            warnings.warn(
                f"{filename} is written without having been compared: {report.remark}", LabWarning, stacklevel=4
            )
    if not report.within:
        worst = max(report.rows, key=lambda r: r.relative)
        raise FormatError(
            f"the exported model computes something else: output {worst.output} at batch {worst.batch} differs by "
            f"{worst.relative:.3g} (relative; {worst.bar:g} is allowed) {worst.remark}".rstrip(),
            str(filename), "report this with the model; verify=False writes the file as it is",
        )  # fmt: skip
    with atomic_file(filename) as file:
        file.write(data)
    return report
