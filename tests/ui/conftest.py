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
    await p.context.ready; await p.sessionContext.ready; await p.sessionContext.session.kernel.info; }"""
IDLE = "() => jupyterapp.shell.currentWidget.sessionContext.kernelDisplayStatus === 'idle'"
"""Before the session says so, the first run of a cell is lost."""

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
        page.wait_for_function(IDLE)
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
        page.wait_for_function(IDLE)
        page.errors[:] = [error for error in page.errors if error != NOTEBOOKS_OWN_ERROR]
        return page

    yield go
    notebook_app.shutdown_kernels()


@pytest.fixture
def run_cell() -> Callable[[Any, int], None]:
    """run_cell(page, i) starts cell i: returns when it waits its turn or runs, not when it is done."""

    def go(page: Any, index: int) -> None:
        # never let evaluate() see a command's result: serialising it can hang Playwright for ever
        page.evaluate(
            """i => { const nb = jupyterapp.shell.currentWidget.content;
               globalThis.prompt_before = nb.widgets[i].model.executionCount;
               nb.activeCellIndex = i; jupyterapp.commands.execute('notebook:run-cell'); }""",
            index,
        )
        page.wait_for_function(
            """i => { const cell = jupyterapp.shell.currentWidget.content.widgets[i].model;
               return cell.executionState === 'running' || cell.executionCount !== globalThis.prompt_before; }""",
            arg=index,
        )

    return go


@pytest.fixture
def two_cells(open_notebook: Any, run_cell: Callable[[Any, int], None]) -> Callable[[str, list[str], str], Any]:
    """two_cells(name, cells, seen) -> page on which the first two cells ran, and what they show is there; cells after
    them wait.
    """

    def go(name: str, cells: list[str], seen: str) -> Any:
        page = open_notebook(name, cells)
        run_cell(page, 0)
        run_cell(page, 1)
        page.locator(seen).first.wait_for(timeout=60_000)
        return page

    return go


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """screenshot(page, name) keeps a picture in $CNTK_SHOTS, where that is set."""

    def take(page: Any, name: str) -> None:
        if folder := os.environ.get("CNTK_SHOTS"):
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return take


@pytest.fixture
def measured(capsys: pytest.CaptureFixture[str]) -> Callable[[str, dict[str, Any]], None]:
    """measured(what, numbers) prints numbers, and keeps them in $CNTK_RESULTS (a JSON file), where that is set."""

    def keep(what: str, numbers: dict[str, Any]) -> None:
        with capsys.disabled():
            print(f"\n{what}: {json.dumps(numbers)}")
        if path := os.environ.get("CNTK_RESULTS"):
            file = Path(path)
            known = json.loads(file.read_text()) if file.exists() else {}
            file.write_text(json.dumps({**known, what: numbers}, indent=2) + "\n")

    return keep


STEERING = [
    """
import time
seen = {}
one = run.run._one
def timed(*given):
    one(*given)
    seen['last'] = time.time()
    rate = run.run.trainer.parameter_learners[0].learning_rate()
    if rate != seen.get('rate'): seen['rate'], seen['changed'] = rate, time.time()
run.run._one = timed
print('watching')
""",
    "print(seen['last'], seen['changed'])",
]
"""Cells that note when the last minibatch was, and the first one with another learning rate; ``run`` is at work."""


@pytest.fixture
def steering_cells() -> list[str]:
    """The two cells that ``steering`` needs."""
    return STEERING


@pytest.fixture
def steering(run_cell: Callable[[Any, int], None]) -> Callable[[Any, int], dict[str, list[float]]]:
    """steering(page, i) -> milliseconds from clicks in the browser to the last minibatch under the old order, by one
    clock, three times each; cells i and i + 1 are ``steering_cells``, and a monitor is shown.
    """
    # on the page, not on the monitor: that is drawn anew when the run ends
    clicks = """() => { globalThis.clicks = {};
        const note = name => { clicks[name] = performance.timeOrigin + performance.now(); };
        document.addEventListener('click', e => {
            if (e.target.closest('.cntk-monitor button')) note(e.target.textContent); }, true);
        document.addEventListener('keydown', e => {
            if (e.key === 'Enter' && e.target.ariaLabel === 'Learning rate') note('rate'); }, true); }"""

    def go(page: Any, first: int) -> dict[str, list[float]]:
        def printed(cell: int) -> str:
            place = page.locator(".jp-Cell").nth(cell)
            prompt = place.locator(".jp-InputPrompt").text_content()
            run_cell(page, cell)
            page.wait_for_function(
                "([i, before]) => { const cell = document.querySelectorAll('.jp-Cell')[i];"
                " const now = cell.querySelector('.jp-InputPrompt').textContent;"
                " return /\\d/.test(now) && now !== before; }",
                arg=[cell, prompt],
            )
            output = place.locator(".jp-OutputArea-output")
            output.wait_for()
            return str(output.text_content()).strip()

        def press(name: str, status: str) -> float:
            page.locator(".cntk-monitor").get_by_role("button", name=name, exact=True).click()
            page.locator(f".cntk-monitor[data-status='{status}']").wait_for()
            return float(page.evaluate(f"clicks.{name}"))

        assert printed(first) == "watching"
        page.evaluate(clicks)
        found: dict[str, list[float]] = {"pause": [], "rate": [], "stop": []}
        for i in range(3):
            for name, status in (("Pause", "paused"), ("Stop", "stopped")):
                clicked = press(name, status)
                found[name.lower()].append(1000 * float(printed(first + 1).split()[0]) - clicked)
                press("Resume", "running")
            page.get_by_label("Learning rate", exact=True).fill(f"0.00{4 + i}")
            page.keyboard.press("Enter")
            page.locator(".cntk-notice", has_text=f"0.00{4 + i}").wait_for()
            found["rate"].append(1000 * float(printed(first + 1).split()[1]) - page.evaluate("clicks.rate"))
        press("Stop", "stopped")
        return {name: [round(ms, 1) for ms in times] for name, times in found.items()}

    return go
