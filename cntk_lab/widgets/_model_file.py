"""The graph of a model file, read in a process of its own that gets the open file as its standard input.

A file from anywhere may be damaged, hostile or endless; whoever shows it (the Jupyter Server) starts :func:`main` by
``_child.command`` with limits of memory and time, and passes on the JSON that it writes: ``{"graph", "opened",
"arrays"}`` or ``{"message"}``; the exit status says which. Nothing in a file is executed: user functions stay names; of
values only statistics leave the process.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cntk_lab.errors import FormatError, LabError

if TYPE_CHECKING:
    import numpy.typing as npt

    Content = bytes | mmap.mmap
    Arrays = Iterable[tuple[str, str, npt.NDArray[Any]]]

LARGEST: Final = 512 << 20
"""Bytes of a file."""
MOST_NODES: Final = 100_000
MOST_ARRAYS: Final = 2_000
"""Parameters and constants whose statistics are told."""
MOST_IMAGES: Final = 200
LARGEST_ARRAY: Final = 1 << 27
"""Elements of an array whose statistics are told."""
SUFFIXES: Final = (".model", ".cntk", ".dnn", ".onnx")
STATUSES: Final = {0: 200, 3: 422}
"""Exit status of a process that reads -> the status of HTTP that its answer has."""


def memory(size: int) -> int:
    """The address space, in bytes, that reading a file of so many bytes may take: the file, its values and a copy of
    them, and room to work.
    """
    return (3 << 30) // 2 + 3 * size


def read(content: Content, name: str) -> dict[str, Any]:
    """What a viewer needs of a model file.

    Args:
        content: of the file: its bytes, or the file mapped.
        name: of the file; its ending says what it is.

    Returns:
        ``{"graph": snapshot, "opened": uids, "arrays": {uid of a parameter or constant: its statistics}}``, or
        ``{"error": words}``.

    Example:
        >>> read(b"no model", "a.model")["error"].startswith("a.model: ")
        True
    """
    from cntk_lab.widgets._arrange import arrange
    from cntk_lab.widgets._snapshot import Tree, check
    from cntk_lab.widgets._visible import first_open

    path = PurePosixPath(name)
    try:
        if len(content) > LARGEST:
            return {"error": f"{path.name}: {len(content):,} bytes are more than a viewer takes ({LARGEST:,})"}
        graph, arrays = (_onnx if path.suffix.lower() == ".onnx" else _cntk)(content, path)
        if len(graph["nodes"]) > MOST_NODES:
            return {
                "error": f"{path.name}: {len(graph['nodes']):,} nodes are more than a viewer takes ({MOST_NODES:,})"
            }
        arranged = arrange(check(graph))
        opened = sorted(first_open(Tree(arranged)))
        return {"graph": arranged, "opened": opened, "arrays": _measured(arrays)}
    except LabError as error:
        return {"error": f"{path.name}: {error}"}
    except RecursionError:
        return {"error": f"{path.name}: it is nested too deeply"}
    except MemoryError:
        return {"error": f"{path.name}: it asks for more memory than there is"}
    except Exception as error:  # noqa: BLE001  (whatever a damaged file can bring about; the log gets the rest)
        traceback.print_exc()
        return {"error": f"{path.name}: it is damaged or of another format ({type(error).__name__}: {error})"}


def main(name: str) -> int:
    """Write the JSON of :func:`read` for the file on standard input to standard output.

    Args:
        name: of the file.

    Returns:
        The exit status, a key of :data:`STATUSES`.
    """
    try:
        empty = os.fstat(0).st_size == 0
        answer = read(b"" if empty else mmap.mmap(0, 0, access=mmap.ACCESS_READ), name)
        failed = "error" in answer
        text = json.dumps({"message": answer["error"]} if failed else answer).encode()
    except MemoryError:
        failed, text = True, json.dumps({"message": f"{name}: it asks for more memory than there is"}).encode()
    sys.stdout.buffer.write(text)
    return 3 if failed else 0


def _cntk(content: Content, path: PurePosixPath) -> tuple[dict[str, Any], Arrays]:
    from cntk_lab.formats import load
    from cntk_lab.widgets.of_function import snapshot_of

    # every function of a CNTK v2 model says once which of the two it is: a giant is told before it is read
    found = re.finditer(b"PrimitiveFunction|UserDefinedFunction", content)
    if (claimed := sum(1 for _ in found)) > MOST_NODES:
        raise FormatError(f"{claimed:,} nodes are more than a viewer takes ({MOST_NODES:,})")
    function = load(content if isinstance(content, bytes) else memoryview(content))
    graph = snapshot_of(function, path.stem)
    for node in graph["nodes"]:
        node["source"] = None  # nobody's line: this module made it
    held = (*function.parameters, *function.constants)
    return graph, ((v.uid, v.name, v.value) for v in held)  # type: ignore[attr-defined]


def _onnx(content: Content, path: PurePosixPath) -> tuple[dict[str, Any], Arrays]:
    from cntk_lab.formats.onnx import description, records, snapshot, tensors

    limits = records.Limits(nodes=MOST_NODES)
    graph, found = snapshot.graph_of(description.read(memoryview(content), path.name, limits), path.name, limits)
    graph["name"] = path.stem
    names = {node["id"]: node["name"] for node in graph["nodes"]}
    small = ((uid, tensor) for uid, tensor in found.items() if tensors.size(tensor) <= LARGEST_ARRAY)
    return graph, ((uid, names[uid], array) for uid, t in small if (array := tensors.array(t)) is not None)


def _measured(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Statistics of arrays, with images of the first ones."""
    from cntk_lab.widgets._statistics import statistics

    result: dict[str, dict[str, Any]] = {}
    for uid, name, array in arrays:
        if len(result) == MOST_ARRAYS:
            break
        if array.dtype.kind not in "fiub" or not array.ndim:
            continue
        found = dataclasses.asdict(statistics(name, array))
        image = found["image"] if len(result) < MOST_IMAGES else []
        result[uid] = {**found, "name": name[:100], "image": [[float(f"{x:.3g}") for x in row] for row in image]}
    return result
