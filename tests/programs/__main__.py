"""Draw, compute and compare many programs: ``python -m tests.programs --count 20000``.

Programs run in child processes of some hundred each: a crash names its program, and memory starts afresh. What differs
is shrunk and written as a script into the folder of ``--found``. Kernels are kept in a cache folder of their own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EACH = 200
"""Programs of a child."""


def main() -> int:
    """Exit status: 0 when nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first; the next ones count up")
    parser.add_argument("--found", type=Path, default=Path("found"), help="folder for scripts of what differs")
    parser.add_argument("--jobs", type=int, default=1, help="child processes at a time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no more children after that long")
    parser.add_argument("--whole", action="store_true", help="do not shrink")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        from tests.programs.child import work

        work(asked.seed, asked.count, asked.found, shrinking=not asked.whole)
        return 0
    return Hunt(asked).run()


class Hunt:
    """Children at work: starts them, and goes on behind the program at which one ended."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.started = time.monotonic()
        self.next, self.end = asked.seed, asked.seed + asked.count
        self.done = self.native = 0
        self.bad: list[int] = []

    def run(self) -> int:
        """Exit status: 0 when nothing differs."""
        from concurrent.futures import ThreadPoolExecutor

        self.asked.found.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self.asked.jobs) as pool:
            list(pool.map(self._stretch, range(self.next, self.end, EACH)))
        took = time.monotonic() - self.started
        print(
            f"{self.done} programs from seed {self.asked.seed}: {len(self.bad)} differ, "
            f"{self.native} native steps, {took:.0f} s"
        )
        if self.bad:
            print(f"  seeds: {' '.join(map(str, sorted(self.bad)))}; scripts in {self.asked.found}/")
        return 1 if self.bad else 0

    def _stretch(self, first: int) -> None:
        end = min(first + EACH, self.end)
        while first < end and time.monotonic() - self.started < self.asked.seconds:
            first = self._child(first, end - first)

    def _child(self, first: int, count: int) -> int:
        """Run a child; the seed to go on with."""
        more = ["--whole"] if self.asked.whole else []
        command = [
            sys.executable,
            "-m",
            "tests.programs",
            "--child",
            "--seed",
            str(first),
            "--count",
            str(count),
            "--found",
            str(self.asked.found),
            *more,
        ]
        with tempfile.TemporaryDirectory() as folder:  # a compiling process of its own, on a core of its own
            more = {"CNTK_LAB_CACHE": os.environ.get("CNTK_LAB_CACHE") or str(cache()), "TMPDIR": folder}
            return self._followed(command, {**os.environ, **more}, first, count)

    def _followed(self, command: list[str], environment: dict[str, str], first: int, count: int) -> int:
        """Run a child and listen to it; the seed to go on with."""
        seed = first
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                word, _, rest = line.rstrip().partition(" ")
                if word == "start":
                    seed = int(rest)
                elif word == "same":
                    self.done += 1
                    self.native += int(rest)
                elif word == "differs":
                    self.done += 1
                    self.bad.append(seed)
                else:
                    print(line, end="", flush=True)
                if word in {"same", "differs"}:
                    seed += 1
        if child.returncode == 0:
            return first + count
        print(f"seed {seed}: the process ended with {child.returncode}", flush=True)
        from tests.programs.draw import draw
        from tests.programs.program import script

        path = self.asked.found / f"ended_{seed}.py"
        path.write_text(script(draw(seed), [f"the process ended with {child.returncode}"]), encoding="utf-8")
        self.bad.append(seed)
        return seed + 1


def cache() -> Path:
    """The folder of the kernels that only drawn programs need."""
    return Path(tempfile.gettempdir()) / f"cntk-lab-programs-{os.getuid()}"


if __name__ == "__main__":
    sys.exit(main())
