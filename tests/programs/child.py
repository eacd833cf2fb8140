"""The work of one child process: programs one after the other, told line by line on standard output."""

from __future__ import annotations

import faulthandler
import re
from collections import Counter
from pathlib import Path

from tests.programs.draw import drawn
from tests.programs.program import Program, script
from tests.programs.shrink import LARGEST_EFFORT, shrunk
from tests.programs.tiers import differences

LONGEST = 300
"""Seconds after which a program hangs: the process ends, and the stack is printed."""


def work(first: int, count: int, found: Path, *, shrinking: bool) -> None:
    """Compare ``count`` programs from the seed ``first`` on; scripts of what differs go to the folder ``found``."""
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        print("start", seed, flush=True)
        program, hand = drawn(seed)
        if hand.odd is not None:
            print(f"seed {seed}: building {hand.odd[0]} raised {hand.odd[1]}", flush=True)
        native = Counter[str]()
        what = differences(program, native)
        if not what:
            print("same", native["native"], flush=True)
            continue
        print(f"seed {seed}: {what[0]}", flush=True)
        if shrinking:
            faulthandler.dump_traceback_later(4 * LONGEST, exit=True)
            program, what = smallest(program, what)
        (found / f"differs_{seed}.py").write_text(script(program, what[:3]), encoding="utf-8")
        print("\n".join(f"    {line}" for line in (*program.lines(), f"{program.mode} {program.outputs}", what[0])))
        print("differs", flush=True)


def smallest(program: Program, what: list[str], effort: int = LARGEST_EFFORT) -> tuple[Program, list[str]]:
    """A minimal program that differs in the same way (the same tier, and an error only where there was one)."""
    kind = _kind(what)
    least = shrunk(program, lambda candidate: _kind(differences(candidate)) == kind, effort)
    return least, differences(least) or what


def _kind(what: list[str]) -> str:
    """The tier, and what sort of difference it is."""
    if not what:
        return ""
    tier, _, rest = what[0].partition(":")
    return tier.partition(",")[0] + (" differs" if "differs at" in rest else " " + re.sub(r"[0-9]+", "", rest)[:60])
