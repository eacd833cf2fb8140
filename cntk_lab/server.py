"""The Jupyter Server part: a copy of the tutorials in the user's folder, through Jupyter's contents manager.

Everything is read and written through the contents manager, so that the server's own rules (root folder, hidden
files, remote storage) hold. Nothing of a user's file is executed.
"""

from __future__ import annotations

import json
from typing import Any

import nbformat
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from jupyter_server.utils import ensure_async, url_path_join
from tornado import web

from cntk_lab import tutorials


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


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "cntk_lab.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    routes = [(url_path_join(base, "cntk-lab", "tutorials"), TutorialsHandler, {"name": "cntk_lab"})]
    server.web_app.add_handlers(".*$", routes)
