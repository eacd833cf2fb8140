"""The Jupyter Server part: graphs of model files, and a copy of the tutorials, through Jupyter's contents manager.

Everything is read and written through the contents manager, so that the server's own rules (root folder, hidden
files, remote storage) hold. Nothing of a user's file is executed: models are read by a process of their own, with
limits of size and time, so that no file can hold the server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import PurePosixPath
from typing import Any, Final

import nbformat
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from jupyter_server.utils import ensure_async, url_path_join
from tornado import web

from cntk_lab import tutorials
from cntk_lab.widgets import _model_file

READING_SECONDS: Final = 60.0
"""Longest time that reading a model may take."""


class TutorialsHandler(ExtensionHandlerMixin, APIHandler):
    """POST /cntk-lab/tutorials: the folder with the user's copy of the tutorials, and the first of them."""

    @web.authenticated
    async def post(self) -> None:
        """Copy what is missing; answers ``{"folder": ..., "first": ...}``."""
        contents = self.contents_manager
        if not await ensure_async(contents.dir_exists(tutorials.FOLDER)):
            await ensure_async(contents.save({"type": "directory"}, tutorials.FOLDER))
        paths = []
        for source in tutorials.notebooks():
            path = f"{tutorials.FOLDER}/{source.name}"
            if not await ensure_async(contents.file_exists(path)):
                content = nbformat.reads(source.read_text(encoding="utf-8"), as_version=4)
                await ensure_async(contents.save({"type": "notebook", "format": "json", "content": content}, path))
            paths.append(path)
        self.finish(json.dumps({"folder": tutorials.FOLDER, "first": paths[0]}))


class GraphHandler(ExtensionHandlerMixin, APIHandler):
    """POST /cntk-lab/graph with ``{"path": ...}``: the graph of a model file, for the viewer."""

    @web.authenticated
    async def post(self) -> None:
        """Answers ``{"graph": snapshot, "opened": uids}``, or an error in words."""
        body = self.get_json_body()
        path = body.get("path") if isinstance(body, dict) else None
        if not isinstance(path, str) or PurePosixPath(path).suffix.lower() not in _model_file.SUFFIXES:
            raise web.HTTPError(
                400, reason=f"no model file: give a path that ends with {', '.join(_model_file.SUFFIXES)}"
            )
        contents = self.contents_manager
        size = (await ensure_async(contents.get(path, content=False, type="file"))).get("size")
        if size is None or size > _model_file.LARGEST:
            found = "a file of unknown size" if size is None else f"{size:,} bytes"
            raise web.HTTPError(413, reason=f"{found}: a viewer takes at most {_model_file.LARGEST:,} bytes")
        model = await ensure_async(contents.get(path, type="file", format="base64"))
        answer = await _read_model(base64.b64decode(model["content"]), PurePosixPath(path).name)
        if "error" in answer:
            self.set_status(422)
            answer = {"message": answer["error"]}
        self.finish(json.dumps(answer))


async def _read_model(content: bytes, name: str, seconds: float = READING_SECONDS) -> dict[str, Any]:
    """The answer of a process that reads a model; an error in words if it takes too long or dies."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", _model_file.__name__, name)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        told, _ = await asyncio.wait_for(process.communicate(content), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {"error": f"{name}: reading takes longer than {seconds:g} s; it was given up"}
    if process.returncode != 0:
        return {"error": f"{name}: the process that reads it ended with {process.returncode}"}
    answer: dict[str, Any] = json.loads(told)
    return answer


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "cntk_lab.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    handlers = {"tutorials": TutorialsHandler, "graph": GraphHandler}
    routes = [(url_path_join(base, "cntk-lab", name), kind, {"name": "cntk_lab"}) for name, kind in handlers.items()]
    server.web_app.add_handlers(".*$", routes)
