"""Sequences whose lengths are drawn anew for every minibatch, against sequences of equal length: time per frame.

    python benchmarks/ragged.py [--steps 40] [--output benchmarks/results]

One process, one thread, processor time; the two kinds take turns. Every minibatch has 32 sequences: lengths 1 to 200,
or 100 each. No minibatch has a size that was seen before, so that binding is paid for in every ragged step.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import workloads  # noqa: E402
from engines import cntk_models, lab  # noqa: E402

SEQUENCES, LONGEST, EQUAL, ROUNDS = 32, 200, 100, 4
NAMES = ("lstm300", "tagger", "lstm25")


def minibatch(w: Any, lengths: Any, rng: Any) -> tuple[Any, ...]:
    """A minibatch of a workload with sequences of these lengths, as ``workloads.minibatches`` makes them."""
    if w.kind == "tagger":
        words = [rng.randint(0, w.vocabulary, n).astype(np.int64) for n in lengths]
        return words, [rng.randint(0, w.classes, n).astype(np.int64) for n in lengths]
    labels = rng.randint(0, w.classes, len(lengths))
    frames = [rng.randn(n, w.inputs).astype(np.float32) for n in lengths]
    return frames, workloads.one_hot(labels, w.classes), labels.astype(np.int64)


def per_frame(step: Callable[[], None], batches: list[tuple[Any, ...]]) -> float:
    """Median of the processor time per frame (microseconds), one step for each minibatch."""
    times = []
    for batch in batches:
        start = time.process_time()
        step()
        times.append((time.process_time() - start) / sum(map(len, batch[0])))
    return float(np.median(times)) * 1e6


def measure(name: str, steps: int) -> tuple[float, float]:
    """Microseconds per frame with ragged and with equal lengths."""
    w, rng = workloads.WORKLOADS[name], np.random.RandomState(3)
    module = lab.module()
    kinds: dict[str, list[float]] = {"ragged": [], "equal": []}
    batches, order = [], []
    for number in range(2 * ROUNDS + 1):
        kind = "ragged" if number % 2 == 0 else "equal"
        for _ in range(steps):
            lengths = rng.randint(1, LONGEST + 1, SEQUENCES) if kind == "ragged" else np.full(SEQUENCES, EQUAL)
            batches.append(minibatch(w, lengths, rng))
        order.append(kind)
    # a step takes the next minibatch before it trains: the last one comes first
    step = cntk_models.build(module, w, batches[-1:] + batches[:-1])
    for number, kind in enumerate(order):
        found = per_frame(step, batches[number * steps : (number + 1) * steps])
        if number:
            kinds[kind].append(found)
        else:
            lab.settle()
    return float(np.median(kinds["ragged"])), float(np.median(kinds["equal"]))


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="minibatches of one kind before the other has its turn")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for the table; '-' writes none")
    options = parser.parse_args()
    from cntk_lab.backends.cpu import threads

    threads.set_num_threads(1)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    lines = [
        "# Ragged minibatches against equal ones",
        "",
        f"date {today}, Python {platform.python_version()}, CNTK Lab {lab.version()}, one thread, processor time",
        "",
        f"{SEQUENCES} sequences per minibatch: lengths 1 to {LONGEST} drawn anew, or {EQUAL} each. Bar: at most 1.15.",
        "",
        "| workload | ragged, us per frame | equal, us per frame | ratio |",
        "|---|---|---|---|",
    ]
    for name in NAMES:
        ragged, equal = measure(name, options.steps)
        title = workloads.WORKLOADS[name].title
        lines.append(f"| {title} | {ragged:.2f} | {equal:.2f} | {ragged / equal:.2f} |")
        print(lines[-1], flush=True)
    if str(options.output) != "-":
        (options.output / f"ragged-{today}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
