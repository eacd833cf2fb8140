"""Fixtures: a real JupyterLab and a real Notebook 7 on loopback, and a real Chromium driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CNTK_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CHROME_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
READY = """async () => {
    await jupyterapp.restored; const p = jupyterapp.shell.currentWidget;
    await p.context.ready; await p.sessionContext.ready; await p.sessionContext.session.kernel.info;
    await new Promise(r => setTimeout(r, 500)); }"""
"""Without it the first run of a cell is lost."""


NOTEBOOKS_OWN_ERROR = "Cannot read properties of undefined (reading 'schema')"
"""Thrown by Notebook 7.6 itself while it loads its settings, also where CNTK Lab is not installed."""


class Lab:
    """A running JupyterLab or Notebook: where it is and what is in its folder."""

    def __init__(self, url: str, token: str, root: Path) -> None:
        self.url, self.token, self.root = url, token, root

    def notebook(self, name: str, cells: list[str]) -> str:
        import nbformat

        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, self.root / name)
        return name

    def ask(self, path: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def shutdown_kernels(self) -> None:
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def private_jupyter(home: Path) -> dict[str, str]:
    """An environment in which Jupyter keeps to ``home``, with our extensions also from a source tree."""
    settings = home / "settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    # no "Jupyter news" question over the page
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    environment = {
        **os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "rt"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "ws"),
        "JUPYTER_DATA_DIR": str(home / "data"), "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }  # fmt: skip
    if not (Path(sys.prefix) / "share/jupyter/labextensions/cntk-lab").exists():
        (home / "data/labextensions").mkdir(parents=True)
        (home / "data/labextensions/cntk-lab").symlink_to(ROOT / "cntk_lab/labextension")
        shutil.copytree(ROOT / "jupyter-config", home / "config/jupyter_server_config.d")
    return environment


@contextmanager
def served(module: str, options: list[str], root: Path, home: Path) -> Iterator[Lab]:
    """A Jupyter application on loopback with a folder of its own, until the block ends."""
    port, token = free_port(), "e2e"
    url = f"http://127.0.0.1:{port}/"
    command = [
        sys.executable, "-m", module, "--no-browser", "--allow-root", "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", *options,
    ]  # fmt: skip
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=private_jupyter(home), cwd=root)
    try:
        for _ in range(240):
            if server.poll() is not None:
                pytest.fail(f"{module} died:\n" + (home / "server.log").read_text()[-3000:])
            try:
                urllib.request.urlopen(f"{url}api/status?token={token}", timeout=2).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            pytest.fail(f"{module} did not start")
        yield Lab(url, token, root)
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with a folder of its own."""
    quiet = ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"]
    with served("jupyterlab", quiet, tmp_path_factory.mktemp("labroot"), tmp_path_factory.mktemp("labhome")) as lab:
        yield lab


@pytest.fixture(scope="session")
def notebook_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Notebook 7 with a folder of its own."""
    pytest.importorskip("notebook")
    root, home = tmp_path_factory.mktemp("nbroot"), tmp_path_factory.mktemp("nbhome")
    with served("notebook", ["--JupyterNotebookApp.custom_css=False"], root, home) as app:
        yield app


@pytest.fixture(scope="session")
def browser_context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium: the one on the PATH, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        if not CHROMIUM and not Path(p.chromium.executable_path).exists():
            pytest.skip("no chromium: install it, set CNTK_CHROMIUM, or run `playwright install chromium`")
        context = p.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chrome")), executable_path=CHROMIUM, headless=True, args=CHROME_ARGUMENTS,
            viewport={"width": 1280, "height": 900}, accept_downloads=True,
        )  # fmt: skip
        yield context
        context.close()


@pytest.fixture
def page(browser_context: Any) -> Iterator[Any]:
    """A fresh page that remembers its errors."""
    page = browser_context.new_page()
    page.set_default_timeout(30_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def open_notebook(lab: Lab, page: Any) -> Iterator[Callable[[str, list[str]], Any]]:
    """open_notebook(name, cells) -> page with the notebook open and its kernel idle."""

    def go(name: str, cells: list[str]) -> Any:
        lab.notebook(name, cells)
        page.goto(f"{lab.url}lab/workspaces/e2e-{name.replace('.', '-')}/tree/{name}?token={lab.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate(READY)
        return page

    yield go
    lab.shutdown_kernels()


@pytest.fixture
def open_in_notebook_7(notebook_app: Lab, page: Any) -> Iterator[Callable[[str, list[str]], Any]]:
    """open_in_notebook_7(name, cells) -> page of Notebook 7 with the notebook open and its kernel idle."""

    def go(name: str, cells: list[str]) -> Any:
        notebook_app.notebook(name, cells)
        page.goto(f"{notebook_app.url}notebooks/{name}?token={notebook_app.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate(READY)
        page.errors[:] = [error for error in page.errors if error != NOTEBOOKS_OWN_ERROR]
        return page

    yield go
    notebook_app.shutdown_kernels()


@pytest.fixture
def run_cell() -> Callable[[Any, int], None]:
    """run_cell(page, i) starts cell i and does not wait for it."""

    def go(page: Any, index: int) -> None:
        # never let evaluate() see a command's result: serialising it can hang Playwright for ever
        page.evaluate(
            """i => { const nb = jupyterapp.shell.currentWidget.content;
               nb.activeCellIndex = i; jupyterapp.commands.execute('notebook:run-cell'); }""",
            index,
        )

    return go


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """screenshot(page, name) keeps a picture in $CNTK_SHOTS, where that is set."""

    def take(page: Any, name: str) -> None:
        if folder := os.environ.get("CNTK_SHOTS"):
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return take
