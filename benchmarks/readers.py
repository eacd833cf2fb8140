"""Readers side by side: CNTK Lab, CNTK 2.7 (text) and torch's DataLoader (images); training from a file; memory.

    python benchmarks/readers.py [text] [images] [training] [memory] [--rounds 7] [--cntk PYTHON]

Each engine runs in a process of its own, in turn, so that what else happens on the machine happens to all; reported are
medians over the rounds and the medians of the ratios round by round. Data are made here from a seed. ``--cntk`` names a
command that runs Python with CNTK 2.7; without it its column says so. Tables go to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PARTS = ("text", "images", "training", "memory")
SETTINGS = {  # title, kind, samples of a minibatch, whether the bar of 3x holds for it
    "dense": ("dense text, MNIST-like: 60,000 x (10 + 784) values", "dense", 256, 3.0),
    "sparse": ("sparse text, ATIS-like: 50,000 queries, 3 streams", "sparse", 16384, 3.0),
    "sparse, small": ("the same in minibatches of 256 words", "sparse", 256, None),
}
MODELS = {"convnet": "the ConvNet of tutorial 103D", "mlp": "784-400-200-10"}


# ---------------------------------------------------------------- data


def dense_text(path: Path, rows: int = 60000) -> int:
    """Text like MNIST's: a one-hot label and 784 pixels, ink in runs as strokes leave it; returns the values."""
    random = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(rows // 1000):
            starts = random.random((1000, 784)) < 0.04
            ink = starts | np.roll(starts, 1, 1) | np.roll(starts, 2, 1) | np.roll(starts, 3, 1) | np.roll(starts, 4, 1)
            pixels = (random.integers(1, 256, (1000, 784)) * ink).tolist()
            labels = np.eye(10, dtype=int)[random.integers(0, 10, 1000)].tolist()
            for label, row in zip(labels, pixels, strict=True):
                file.write(f"|labels {' '.join(map(str, label))} |features {' '.join(map(str, row))}\n")
    return rows * 794


def sparse_text(path: Path, queries: int = 50000) -> int:
    """Text like ATIS's: a word and a tag per line, an intent per query, comments; returns the values."""
    random = np.random.default_rng(0)
    values = 0
    with path.open("w") as file:
        for query in range(queries):
            length = int(random.integers(5, 20))
            words, tags = random.integers(0, 943, length).tolist(), random.integers(0, 129, length).tolist()
            for k, (word, tag) in enumerate(zip(words, tags, strict=True)):
                intent = f"\t|S1 {word % 26}:1 |# intent" if k == 0 else ""
                file.write(f"{query}\t|S0 {word}:1 |# word{word}{intent}\t|S2 {tag}:1 |# O\n")
            values += 2 * length + 1
    return values


def jpeg_folder(folder: Path, count: int = 320) -> Path:
    """Photograph-like JPEG images of 500 x 375 pixels (soft colours and grain) and their map file."""
    from PIL import Image

    random = np.random.default_rng(0)
    folder.mkdir()
    for k in range(count):
        size = (500, 375) if k % 3 else (375, 500)
        soft = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = random.integers(-12, 13, (size[1], size[0], 1), dtype=np.int16)
        image = (np.asarray(soft, np.int16) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{k}.jpg", quality=90)
    (folder / "map.txt").write_text("".join(f".../{k}.jpg\t{k}\n" for k in range(count)), encoding="utf-8")
    return folder / "map.txt"


# ---------------------------------------------------------------- text and images


def run_once(command: list[str], script: str, *arguments: object, cache: Path | None = None) -> dict[str, Any]:
    """What one process says in the end; {"reason": ...} if it ended otherwise."""
    found = dict(os.environ, PYTHONWARNINGS="ignore", **({"CNTK_LAB_CACHE": str(cache)} if cache else {}))
    done = subprocess.run(
        [*command, str(HERE / "engines" / script), *map(str, arguments)],
        capture_output=True, text=True, check=False, env=found,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["without a message"]
        return {"reason": f"ended with code {done.returncode}: {lines[-1][:200]}"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def text(folder: Path, rounds: int, cntk: list[str] | None) -> dict[str, Any]:
    """Values per second from opening a file to the end of the first sweep, the index made anew and kept."""
    values = {"dense": dense_text(folder / "dense.txt"), "sparse": sparse_text(folder / "sparse.txt")}
    engines = {"cntk_lab": [sys.executable], **({"cntk": cntk} if cntk else {})}
    results = {}
    for name, (title, kind, minibatch, bar) in SETTINGS.items():
        for warm in (False, True):
            speeds: dict[str, list[float]] = {e: [] for e in engines}
            last: dict[str, dict[str, Any]] = {}
            for k in range(rounds + 1):
                for engine, command in engines.items():
                    said = run_once(
                        command, "cntk_readers.py", engine, kind, folder / f"{kind}.txt", minibatch, int(warm)
                    )
                    if "reason" in said:
                        raise SystemExit(f"{engine}: {said['reason']}")
                    last[engine] = said
                    if k:  # the first round makes what is kept
                        speeds[engine].append(values[kind] / (said["open"] + said["first"]))
            if len({e["checked"] for e in last.values()}) > 1:
                raise SystemExit(f"{name}: the engines deal out different minibatches")
            ratios = [a / b for a, b in zip(speeds["cntk_lab"], speeds.get("cntk", []), strict=False)]
            key = f"{name}, {'index kept' if warm else 'index made'}"
            results[key] = {
                "title": f"{title}, minibatches of {minibatch:,}, {'index kept' if warm else 'index made'}",
                "speed": {e: statistics.median(v) for e, v in speeds.items()},
                "peak": {e: v["peak"] for e, v in last.items()},
                "ratio": statistics.median(ratios) if ratios else None,
                "bar": bar,
                "versions": {e: v["version"] for e, v in last.items()},
            }
            print(
                key,
                {e: f"{v / 1e6:.1f} M/s" for e, v in results[key]["speed"].items()},
                results[key]["ratio"],
                flush=True,
            )
    return results


def images(folder: Path, rounds: int) -> dict[str, Any]:
    """Images per second, random crop and scale, two workers each."""
    map_file = jpeg_folder(folder / "images")
    command = [sys.executable, str(HERE / "engines" / "image_readers.py")]
    running = {}
    for engine in ("lab", "torch"):
        running[engine] = subprocess.Popen(
            [*command, engine, str(map_file), "224", "32", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    versions = {e: json.loads(p.stdout.readline())["version"] for e, p in running.items()}
    speeds: dict[str, list[float]] = {e: [] for e in running}
    for _ in range(rounds):
        for engine, process in running.items():
            process.stdin.write("\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
            speeds[engine].append(said["images"] / said["seconds"])
    for process in running.values():
        process.communicate(input="")
    ratio = statistics.median(a / b for a, b in zip(speeds["lab"], speeds["torch"], strict=True))
    found = {
        "title": "320 JPEG images of 500 x 375, random crop, scaled to 224 x 224, minibatches of 32, 2 workers",
        "speed": {e: statistics.median(v) for e, v in speeds.items()},
        "ratio": ratio,
        "bar": 1.0,
        "versions": versions,
    }
    print("images", {e: f"{v:.0f}/s" for e, v in found["speed"].items()}, ratio, flush=True)
    return found


# ---------------------------------------------------------------- training and memory


def training(folder: Path, rounds: int) -> dict[str, Any]:
    """Minibatches per second of two models: fed by a reader that shuffles, by shuffled arrays and by arrays in their
    order, in windows of a second that take turns.
    """
    path = folder / "dense.txt"
    if not path.exists():
        dense_text(path)
    found: dict[str, Any] = {}
    for model, title in MODELS.items():
        said = run_once([sys.executable], "lab_training.py", path, model, 2 * rounds, 1.0)
        if "reason" in said:
            raise SystemExit(f"training: {said['reason']}")
        speed, cost = said["speed"], said["cost"]
        found[model] = {
            "title": f"MNIST-like digits, {title}, minibatches of 64",
            "speed": {m: statistics.median(v) for m, v in speed.items()},
            "cost": {m: statistics.median(v) for m, v in cost.items()},
            "bar": 0.05,
        }
        for name, kind in (("", "arrays shuffled"), (" in order", "arrays in their order")):
            pairs = zip(speed[kind], speed["reader"], strict=True)
            found[model][f"loss{name}"] = statistics.median(a / b - 1 for a, b in pairs)
        pairs = zip(cost["arrays shuffled"], cost["reader"], strict=True)
        found[model]["work"] = statistics.median(b / a - 1 for a, b in pairs)
        words = {m: f"{v:.0f}/s" for m, v in found[model]["speed"].items()}
        losses = [f"{100 * found[model][f'loss{n}']:+.1f} %" for n in ("", " in order")]
        print(f"training {model}", words, *losses, flush=True)
    return found


def memory(folder: Path) -> dict[str, Any]:
    """Peak of the process's memory while it reads a file of 4 times the limit, per half of four sweeps."""
    path = folder / "large.txt"
    random = np.random.default_rng(0)
    rows = [" ".join(f"{v:.5f}" for v in row) for row in random.standard_normal((256, 512)).tolist()]
    with path.open("w") as file:
        for k in range(65536):
            file.write(f"|x {rows[k % 256]}\n")
    limit = path.stat().st_size // 4
    said = run_once([sys.executable], "lab_memory.py", path, limit)
    if "reason" in said:
        raise SystemExit(f"memory: {said['reason']}")
    said.update(title="text of 4 times memory_limit, shuffled, four sweeps", file=path.stat().st_size, limit=limit)
    print("memory", [f"{v / 2**20:.0f} MiB" for v in said["peaks"]], f"limit {limit / 2**20:.0f} MiB", flush=True)
    return said


# ---------------------------------------------------------------- tables


def _verdict(value: float | None, bar: float | None, sign: str = "≥") -> str:
    if value is None:
        return "–"
    good = bar is None or (value >= bar if sign == "≥" else value <= bar)
    return f"{value:.2f}x" + ("" if bar is None else f" ({sign if good else '<' if sign == '≥' else '>'} {bar:g})")


def markdown(found: dict[str, Any]) -> str:
    """The tables that people read."""
    head = found["head"]
    lines = ["# Readers, side by side", "", ", ".join(f"{k} {v}" for k, v in head.items()), ""]
    if "text" in found:
        words = (
            "Text: millions of values per second, from opening the file to the end of the first shuffled sweep; the "
            "file is in the system's cache; libraries are loaded. Every engine dealt out the same first minibatch. "
            "Index made: the file is new; kept: it was read before."
        )
        head_line = "| file | CNTK Lab | CNTK 2.7 | ratio (bar) | peak MiB: Lab, CNTK |"
        lines += [words, "", head_line, "|---|---|---|---|---|"]
        for r in found["text"].values():
            speeds = [f"{r['speed'][e] / 1e6:.1f}" if e in r["speed"] else "–" for e in ("cntk_lab", "cntk")]
            peaks = ", ".join(f"{v / 2**20:.0f}" for v in r["peak"].values())
            lines.append(f"| {r['title']} | {speeds[0]} | {speeds[1]} | {_verdict(r['ratio'], r['bar'])} | {peaks} |")
        words = "In small minibatches of short sparse rows it is not parsing that counts but handing out."
        lines += ["", words, ""]
    if "images" in found:
        r = found["images"]
        lines += ["| images per second | CNTK Lab | torch DataLoader | ratio (bar) |", "|---|---|---|---|"]
        lines += [
            f"| {r['title']} | {r['speed']['lab']:.0f} | {r['speed']['torch']:.0f} | {_verdict(r['ratio'], 1.0)} |",
            "",
        ]
    if "training" in found:
        titles = "shuffled arrays | a reader that shuffles | loss (bar) | processor time | arrays in order | loss"
        lines += [f"| minibatches per second | {titles} |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for r in found["training"].values():
            verdict = f"{100 * r['loss']:+.1f} % ({'≤' if r['loss'] <= r['bar'] else '>'} 5 %)"
            speeds = f"{r['speed']['arrays shuffled']:.0f} | {r['speed']['reader']:.0f}"
            plain = f"{r['speed']['arrays in their order']:.0f} | {100 * r['loss in order']:+.1f} %"
            lines += [f"| {r['title']} | {speeds} | {verdict} | {100 * r['work']:+.1f} % | {plain} |"]
        lines += [""]
    if "memory" in found:
        r = found["memory"]
        peaks = ", ".join(f"{v / 2**20:.0f}" for v in r["peaks"])
        sizes = f"file {r['file'] / 2**20:.0f} MiB, limit {r['limit'] / 2**20:.0f} MiB"
        before = f"{r['before'] / 2**20:.0f}"
        lines.append(f"Memory: {r['title']} ({sizes}). Peak of the process in MiB, before reading: {before};")
        lines += [f"after each half of a sweep: {peaks}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"all, or some of: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=7, help="runs per engine")
    parser.add_argument("--cntk", help="a command that runs Python with CNTK 2.7")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for the tables; '-' writes none")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    stem = options.output / f"readers-{date}.json"
    found: dict[str, Any] = {}
    if str(options.output) != "-" and stem.exists():  # parts may be measured one after the other
        found = json.loads(stem.read_text(encoding="utf-8"))
    cntk = shlex.split(options.cntk) if options.cntk else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs: dict[str, Callable[[], dict[str, Any]]] = {
            "text": lambda: text(folder, options.rounds, cntk),
            "images": lambda: images(folder, options.rounds),
            "training": lambda: training(folder, options.rounds),
            "memory": lambda: memory(folder),
        }
        for part in options.parts or PARTS:
            found[part] = jobs[part]()
    versions = next(iter(found["text"].values()))["versions"] if "text" in found else {}
    head = {"date": date, "Python": sys.version.split()[0]}
    head |= {t: versions[e] for e, t in (("cntk_lab", "CNTK Lab"), ("cntk", "CNTK")) if e in versions}
    head |= {"PyTorch": found["images"]["versions"]["torch"]} if "images" in found else {}
    head["cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    if hasattr(os, "getloadavg"):
        head["load average at the end"] = f"{os.getloadavg()[0]:.1f}"
    found = {"head": head, **{p: found[p] for p in PARTS if p in found}}
    if str(options.output) == "-":
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    stem.write_text(json.dumps(found, indent=1), encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(found), encoding="utf-8")
    print(f"wrote {stem.stem}.md, .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
