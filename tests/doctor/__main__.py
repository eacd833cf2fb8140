"""The whole table: ``python -m tests.doctor``; 38 of 40 sick ones have to be named, no healthy one complained of."""

from __future__ import annotations

from tests.doctor.asking import findings, right
from tests.doctor.cases import HEALTHY, SICK

ENOUGH = 38


def main() -> int:
    """Exit status: 0 when the bar is met."""
    counts = []
    for cases in (SICK, HEALTHY):
        good = 0
        for case in cases:
            found, seconds = findings(case)
            good += right(case, found)
            mark = "   " if right(case, found) else "## "
            print(f"{mark}{case.name}: {[f.kind for f in found]} ({seconds:.1f} s)", flush=True)
            if not right(case, found):
                print(*(f"      {f.step}: {f.words}" for f in found), sep="\n", flush=True)
        counts.append(good)
    print(f"named {counts[0]} of {len(SICK)}, let alone {counts[1]} of {len(HEALTHY)}")
    return 0 if counts[0] >= ENOUGH and counts[1] == len(HEALTHY) else 1


if __name__ == "__main__":
    raise SystemExit(main())
