"""CNTK Lab, PyTorch (eager and torch.compile) and CNTK 2.7 side by side: steps in one run, median ratios.

    python benchmarks/compare.py [WORKLOAD ...] [--rounds 9] [--window 0.25] [--cntk PYTHON] [--engines
    lab,torch,compile,cntk]

Each engine has a process of its own; the driver lets them run in turn in short windows, so that what else happens on
the machine happens to all of them. Feeding the minibatch is part of the step for everybody; workloads named ``eval-``
evaluate a model, from NumPy arrays to NumPy arrays. Reported are the median over the windows, the median of the ratios
round by round, peak memory, and for engines that compile what the first step takes with an empty cache. ``--cntk``
names a command that runs Python with CNTK 2.7 in it; without it that column says so. Tables (Markdown, JSON) and a plot
go to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from workloads import WORKLOADS, Workload  # noqa: E402

TITLES = {"lab": "CNTK Lab", "torch": "torch eager", "compile": "torch.compile", "cntk": "CNTK 2.7"}
_CACHES = {"lab": "CNTK_LAB_CACHE", "compile": "TORCHINDUCTOR_CACHE_DIR"}
"""Engines that keep what they compiled, and what names the folder."""
_QUIET = {"PYTHONWARNINGS": "ignore"}


class Engine:
    """One engine's process for one workload; ``reason`` says why there is none.

    Args:
        name: the engine; command: how its Python is started, None if it is not there.
        workload: what it runs.
        command: see name.
        threads: how many it may use; 0 leaves that to the engine.
        cold: an empty folder: only the first step is done, with that as the cache of what is compiled.
    """

    def __init__(self, name: str, workload: str, command: list[str] | None, threads: int, cold: str = "") -> None:
        self.name, self.steps, self.peak = name, [], 0
        self.reason: str | None = "no command given (--cntk)" if command is None else None
        self.version, self.first = "", math.nan
        self.clock = "step"
        """Which time counts: ``step`` on the wall, ``cpu`` of the process."""
        self.process: subprocess.Popen[str] | None = None
        if command is None:
            return
        limits = (
            dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CNTK_LAB_THREADS"), str(threads)) if threads else {}
        )
        self.process = subprocess.Popen(
            [*command, str(HERE / "serve.py"), name, workload, *(["first"] if cold else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, **(dict.fromkeys(_CACHES.values(), cold) if cold else {}), **_QUIET},
        )

    def ready(self) -> bool:
        """Wait until the model is built; whether it is."""
        if self.process is not None:
            answer = self._answer()
            if answer is not None:
                self.version, self.first = str(answer["version"]), float(answer[self._first])
        return self.process is not None

    def window(self, seconds: float) -> float:
        """Seconds per step over one window; NaN if the process is gone."""
        if self.process is None or self.process.stdin is None:
            return math.nan
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        answer = self._answer()
        if answer is None:
            return math.nan
        self.steps.append(float(answer[self.clock]))
        self.peak = int(answer["peak"])
        return self.steps[-1]

    def _answer(self) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        _, errors = self.process.communicate()
        lines = [x.strip() for x in errors.splitlines() if x.strip()]
        self.reason = f"ended with code {self.process.returncode}: {lines[-1][:200] if lines else 'without a message'}"
        self.process = None
        return None

    @property
    def _first(self) -> str:
        return "first" if self.clock == "step" else "first_cpu"

    def first_step(self) -> dict[str, float] | None:
        """Seconds of the first step and until all is compiled, of an engine started with ``cold``."""
        answer = self._answer() if self.process is not None else None
        return None if answer is None else {"first": float(answer[self._first]), "compiled": float(answer["compiled"])}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate(input="")
            self.process = None


_FIRST_STEP = 1.5
"""Seconds that CNTK Lab's first step may take while nothing is compiled yet."""
_REST = 0.3
"""Seconds between two windows: some engines' threads spin for 0.2 s after their last work, on the next one's cores."""


def measure(
    workload: Workload,
    commands: dict[str, list[str] | None],
    rounds: int,
    seconds: float,
    threads: int = 0,
    clock: str = "step",
) -> dict[str, Any]:
    """One workload on all engines, in turn.

    Args:
        workload: what is measured.
        commands: engine -> how its Python is started; None if it is not there.
        rounds: windows per engine.
        seconds: length of a window.
        threads: threads each engine may use; 0 leaves that to the engine.
        clock: ``step`` counts time on the wall, ``cpu`` the process's own time.

    Returns:
        Medians in seconds, ratios to CNTK Lab, peak memory in bytes, reasons for what is missing.
    """
    engines = [Engine(name, workload.name, command, threads) for name, command in commands.items()]
    for e in engines:
        e.clock = clock
    running = [e for e in engines if e.ready()]
    for _ in range(rounds):
        for e in running:
            e.window(seconds)
            time.sleep(_REST)
    lab = next((e for e in engines if e.name == "lab"), None)
    result: dict[str, Any] = {
        "workload": workload.name,
        "title": workload.title,
        "bars": list(workload.bars),
        "engines": {},
    }
    for e in engines:
        entry: dict[str, Any] = {"reason": e.reason} if e.reason else {}
        if e.steps:
            entry = {"step": statistics.median(e.steps), "first": e.first, "peak": e.peak, "version": e.version}
            if lab is not None and lab.steps and e is not lab:
                entry["ratio"] = statistics.median(a / b for a, b in zip(e.steps, lab.steps, strict=False))
        result["engines"][e.name] = entry
    for e in engines:
        e.close()
    ratios = {n: r["ratio"] for n, r in result["engines"].items() if "ratio" in r}
    torch_ratios = [ratios[n] for n in ("torch", "compile") if n in ratios]
    result["ahead_of_torch"] = min(torch_ratios) if torch_ratios else None
    result["ahead_of_cntk"] = ratios.get("cntk")
    return result


def measure_cold(name: str, command: list[str], workload: str, threads: int, clock: str = "step") -> dict[str, Any]:
    """What the first step of an engine takes when nothing was compiled before.

    Returns:
        ``first``, and ``compiled`` until everything is, in seconds; or a ``reason``.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(name, workload, command, threads, cold=folder)
        engine.clock = clock
        found: dict[str, Any] = engine.first_step() or {"reason": engine.reason}
        engine.close()
    return found


def _load_note() -> list[str]:
    """How busy the machine was, if known: more tasks than cores distort every engine, most those that spin."""
    if not hasattr(os, "getloadavg"):
        return []
    return [f"- load average at the end: {os.getloadavg()[0]:.1f} tasks on {os.cpu_count()} cores"]


def _milliseconds(entry: dict[str, Any]) -> str:
    if "step" not in entry:
        return "–"
    value = entry["step"] * 1e3
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _ratio(value: float | None, bar: float | None) -> str:
    if value is None:
        return "–"
    text = f"{value:.2f}x" if value < 10 else f"{value:.0f}x"
    return text if bar is None else f"{text} ({'≥' if value >= bar else '<'} {bar:g})"


def markdown(results: list[dict[str, Any]], head: dict[str, str]) -> str:
    """The tables that people read."""
    names = [n for n in TITLES if any(n in r["engines"] for r in results)]
    for r in results:
        for n in names:
            r["engines"].setdefault(n, {"reason": "not measured in this run"})
    training = [r for r in results if not WORKLOADS[r["workload"]].inference]
    inference = [r for r in results if WORKLOADS[r["workload"]].inference]
    lines = ["# Training steps and inference, side by side", "", ", ".join(f"{k} {v}" for k, v in head.items()), ""]
    lines.append("Milliseconds per step, feeding included (median over windows); ratios are medians over rounds.")
    if training:
        lines += ["", "## Training steps", "", *_times(training, names), *_means(training)]
    if inference:
        lines += ["", "## Inference, from NumPy arrays to NumPy arrays", "", *_times(inference, names)]
    lines += [
        "",
        "## Memory and first steps",
        "",
        "First steps by the same clock: on the wall, or of the process itself.",
    ]
    lines += ["", *_peaks(results, names)]
    cold = [r for r in results if r.get("cold")]
    if cold:
        lines += ["", "## First step with an empty cache", "", *_cold(cold)]
    missing = {(n, e["reason"]) for r in results for n, e in r["engines"].items() if "reason" in e}
    lines += ["", *(f"- {TITLES[n]}: {reason}" for n, reason in sorted(missing)), *_load_note()]
    return "\n".join(lines).rstrip() + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _times(results: list[dict[str, Any]], names: list[str]) -> list[str]:
    head = ["workload", *(TITLES[n] for n in names), "ahead of best torch (bar)", "ahead of CNTK (bar)"]
    rows = []
    for r in results:
        ratios = [_ratio(r[f"ahead_of_{n}"], bar) for n, bar in zip(("torch", "cntk"), r["bars"], strict=True)]
        rows.append([r["title"], *(_milliseconds(r["engines"][n]) for n in names), *ratios])
    return _table(head, rows)


def _means(results: list[dict[str, Any]]) -> list[str]:
    lines = []
    for which, bar in (("ahead_of_torch", 3), ("ahead_of_cntk", 8)):
        values = [r[which] for r in results if r[which]]
        if len(values) > 1:
            mean = math.exp(sum(map(math.log, values)) / len(values))
            about = which.replace("_", " ")
            lines += ["", f"Geometric mean {about} over {len(values)} workloads: {_ratio(mean, bar)}."]
    return lines


def _peaks(results: list[dict[str, Any]], names: list[str]) -> list[str]:
    rows = []
    for r in results:
        found = (r["engines"][n] for n in names)
        cells = [f"{e['peak'] / 2**20:.0f}, {e['first']:.2f}" if "peak" in e else "–" for e in found]
        rows.append([r["title"], *cells])
    return _table(["workload", *(f"{TITLES[n]}: peak MiB, first step s" for n in names)], rows)


def _cold(results: list[dict[str, Any]]) -> list[str]:
    names = [n for n in _CACHES if any(n in r["cold"] for r in results)]
    rows = []
    for r in results:
        cells = [r["title"]]
        for n in names:
            found = r["cold"].get(n, {})
            bar = f" ({'≤' if found['first'] <= _FIRST_STEP else '>'} {_FIRST_STEP})" if "first" in found else ""
            first = f"{found['first']:.2f}{bar if n == 'lab' else ''}" if "first" in found else "–"
            cells.append(f"{first}, {found['compiled']:.1f}" if "compiled" in found else "–")
        rows.append(cells)
    return _table(["workload", *(f"{TITLES[n]}: first step s, until all is compiled s" for n in names)], rows)


def plot(results: list[dict[str, Any]], path: Path) -> str | None:
    """A bar for each ratio; returns why there is none."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return "no matplotlib: pip install matplotlib"
    figure, axes = pyplot.subplots(figsize=(9, 0.6 * len(results) + 1.5))
    others = [n for n in results[0]["engines"] if n != "lab"]
    for k, name in enumerate(others):
        values = [r["engines"][name].get("ratio", math.nan) for r in results]
        places = [i + (k - (len(others) - 1) / 2) * 0.25 for i in range(len(results))]
        axes.barh(places, values, 0.23, label=TITLES[name])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(results)), [r["title"] for r in results])
    axes.invert_yaxis()
    axes.set_xlabel("time of a step / time of CNTK Lab (more is better for CNTK Lab)")
    if others:
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return None


def head_of(results: list[dict[str, Any]]) -> dict[str, str]:
    """Date, versions and cores; nothing that names the machine."""
    head = {"date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"), "Python": sys.version.split()[0]}
    for name, title in (("lab", "CNTK Lab"), ("torch", "PyTorch"), ("cntk", "CNTK")):
        found = [r["engines"][name]["version"] for r in results if "version" in r["engines"].get(name, {})]
        if found:
            head[title] = found[0]
    head["cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return head


def _with_earlier(results: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Results of this run and of other workloads measured on the same day, in the order of the table.

    Each workload is one run of all its engines, so workloads may be measured one after the other.
    """
    found = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else []
    by_name = {r["workload"]: r for r in (*found, *results)}
    return [by_name[name] for name in WORKLOADS if name in by_name]


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"all, or some of: {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=9, help="windows per engine")
    parser.add_argument("--window", type=float, default=0.25, help="seconds per window")
    parser.add_argument("--cntk", help="a command that runs Python with CNTK 2.7")
    parser.add_argument("--engines", default="lab,torch,compile,cntk", help="which engines, in order")
    parser.add_argument("--threads", type=int, default=0, help="threads for each engine; 0: as it likes")
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="count processor time, with one thread unless --threads says more: for machines with other work, which "
        "distorts time on the wall",
    )
    parser.add_argument("--no-cold", action="store_true", help="leave out first steps with an empty cache")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for the tables; '-' writes none")
    options = parser.parse_args()
    unknown = [n for n in options.workloads if n not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if options.cpu:
        options.threads = options.threads or 1
    return options


def _show(r: dict[str, Any]) -> None:
    """A workload's line on the screen."""
    times = "  ".join(f"{TITLES[n]} {_milliseconds(e)}" for n, e in r["engines"].items())
    ahead = [_ratio(r[f"ahead_of_{n}"], bar) for n, bar in zip(("torch", "cntk"), r["bars"], strict=True)]
    print(f"{r['workload']:15} {times}  torch {ahead[0]}  CNTK {ahead[1]}", flush=True)
    for n, found in r.get("cold", {}).items():
        seconds = f"{found['first']:.2f} s" if "first" in found else found["reason"]
        print(f"{'':15} {TITLES[n]}: first step with an empty cache {seconds}", flush=True)
    for n, e in r["engines"].items():
        if "reason" in e:
            print(f"{'':15} {TITLES[n]}: {e['reason']}", flush=True)


def _write(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Tables and plot, together with other workloads of the same day."""
    head = head_of(results)
    options.output.mkdir(parents=True, exist_ok=True)
    head["threads"] = str(options.threads or "as each engine likes")
    head["clock"] = "processor time" if options.cpu else "wall"
    stem = options.output / f"training-{head['date']}{'-cpu' if options.cpu else ''}"
    results = _with_earlier(results, stem.with_suffix(".json"))
    stem.with_suffix(".md").write_text(markdown(results, head), encoding="utf-8")
    stem.with_suffix(".json").write_text(json.dumps({"head": head, "results": results}, indent=1), encoding="utf-8")
    reason = plot(results, stem.with_suffix(".png"))
    print(f"wrote {stem.name}.md, .json" + (f"; no plot: {reason}" if reason else ", .png"))


def main() -> int:
    """Measure, print, write."""
    options = _options()
    names = options.engines.split(",")
    cntk = shlex.split(options.cntk) if options.cntk else None
    commands = {n: cntk if n == "cntk" else [sys.executable] for n in names}
    clock = "cpu" if options.cpu else "step"
    results = []
    for name in options.workloads or WORKLOADS:
        w = WORKLOADS[name]
        r = measure(w, commands, options.rounds, options.window, options.threads, clock)
        if not options.no_cold and not w.inference:
            compiling = [n for n in names if n in _CACHES]
            r["cold"] = {n: measure_cold(n, [sys.executable], name, options.threads, clock) for n in compiling}
        _show(r)
        results.append(r)
    if str(options.output) != "-":
        _write(results, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
