"""Draws programs of all families: ``python draw.py COUNT FIRST > programs``, one line of JSON each."""

import json
import sys

import draw_criteria  # noqa: F401
import draw_models  # noqa: F401
import draw_tensors  # noqa: F401
import draw_uses  # noqa: F401
from drawing import FAMILIES, draw


def programs(count, first=0, only=()):
    """``count`` programs, shared out among the families by weight."""
    names = [n for n in FAMILIES if not only or n in only]
    total = sum(FAMILIES[n][1] for n in names)
    for name in names:
        for number in range(max(1, int(count * FAMILIES[name][1] / total + 0.5))):
            yield draw(name, first + number)


if __name__ == "__main__":
    for program in programs(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]):
        print(json.dumps(program, separators=(",", ":")))
