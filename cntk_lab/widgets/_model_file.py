"""The graph of a model file, read in a process of its own: ``python -m cntk_lab.widgets._model_file name < file``.

A file from anywhere may be damaged, hostile or endless; whoever shows it (the Jupyter Server) gives a process of this
module the bytes, a limit of time, and reads one line of JSON: ``{"graph", "opened"}`` or ``{"error"}``. Nothing in a
file is executed: user functions stay names, and no values leave the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import PurePosixPath
from typing import Any, Final

from cntk_lab.errors import LabError

LARGEST: Final = 512 << 20
"""Bytes of a file."""
MOST_NODES: Final = 100_000
SUFFIXES: Final = (".model", ".cntk", ".dnn", ".onnx")


def read(content: bytes, name: str) -> dict[str, Any]:
    """What a viewer needs of a model file.

    Args:
        content: of the file.
        name: of the file; its ending says what it is.

    Returns:
        ``{"graph": snapshot, "opened": uids}``, or ``{"error": words}``.

    Example:
        >>> read(b"no model", "a.model")["error"].startswith("a.model: ")
        True
    """
    from cntk_lab.formats import ModelFormat, load
    from cntk_lab.widgets._arrange import arrange
    from cntk_lab.widgets._snapshot import Tree, check
    from cntk_lab.widgets._visible import first_open
    from cntk_lab.widgets.of_function import snapshot_of

    path = PurePosixPath(name)
    try:
        if len(content) > LARGEST:
            return {"error": f"{path.name}: {len(content):,} bytes are more than a viewer takes ({LARGEST:,})"}
        function = load(content, format=ModelFormat.ONNX if path.suffix.lower() == ".onnx" else None)
        graph = snapshot_of(function)
        if len(graph["nodes"]) > MOST_NODES:
            return {
                "error": f"{path.name}: {len(graph['nodes']):,} nodes are more than a viewer takes ({MOST_NODES:,})"
            }
        graph["name"] = graph["name"] if function.name else path.stem
        for node in graph["nodes"]:
            node["source"] = None  # nobody's line: this module made it
        arranged = arrange(check(graph))
        return {"graph": arranged, "opened": sorted(first_open(Tree(arranged)))}
    except LabError as error:
        return {"error": f"{path.name}: {error}"}
    except RecursionError:
        return {"error": f"{path.name}: it is nested too deeply"}
    except MemoryError:
        return {"error": f"{path.name}: it asks for more memory than there is"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(read(sys.stdin.buffer.read(), sys.argv[1])))
