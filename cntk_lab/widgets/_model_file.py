"""The graph of a model file, read in a process of its own: ``python -m cntk_lab.widgets._model_file name < file``.

A file from anywhere may be damaged, hostile or endless; whoever shows it (the Jupyter Server) gives a process of this
module the bytes, a limit of time, and reads one line of JSON: ``{"graph", "opened", "arrays"}`` or ``{"error"}``.
Nothing in a file is executed: user functions stay names; of values only statistics leave the process.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cntk_lab.errors import FormatError, LabError

if TYPE_CHECKING:
    import numpy.typing as npt

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


def read(content: bytes, name: str) -> dict[str, Any]:
    """What a viewer needs of a model file.

    Args:
        content: of the file.
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


def _cntk(content: bytes, path: PurePosixPath) -> tuple[dict[str, Any], Arrays]:
    from cntk_lab.formats import load
    from cntk_lab.widgets.of_function import snapshot_of

    # every function of a CNTK v2 model says once which of the two it is: a giant is told before it is read
    claimed = content.count(b"PrimitiveFunction") + content.count(b"UserDefinedFunction")
    if claimed > MOST_NODES:
        raise FormatError(f"{claimed:,} nodes are more than a viewer takes ({MOST_NODES:,})")
    function = load(content)
    graph = snapshot_of(function)
    graph["name"] = graph["name"] if function.name else path.stem
    for node in graph["nodes"]:
        node["source"] = None  # nobody's line: this module made it
    held = (*function.parameters, *function.constants)
    return graph, ((v.uid, v.name, v.value) for v in held)  # type: ignore[attr-defined]


def _onnx(content: bytes, path: PurePosixPath) -> tuple[dict[str, Any], Arrays]:
    from cntk_lab.formats.onnx import description, records, snapshot, tensors

    limits = records.Limits(nodes=MOST_NODES)
    graph, found = snapshot.graph_of(description.read(content, path.name, limits), path.name, limits)
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


if __name__ == "__main__":
    sys.stdout.write(json.dumps(read(sys.stdin.buffer.read(), sys.argv[1])))
