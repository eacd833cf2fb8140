"""Hold the number of CNTK's own tests that pass: it may rise, never fall.

    python .ci/conformance.py            # run, compare with tests/conformance.json; exit 1 when a file lost tests
    python .ci/conformance.py --update   # run and write tests/conformance.json (to be committed)
    python .ci/conformance.py --native-first --every 4  # machine code from the first run on; one file of 4, by the day

The runner is not part of this repository; without it there is nothing to hold, and this says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNNER = Path(os.environ.get("CNTK_CONFORMANCE", ROOT.parent / "shared" / "conformance" / "run.py"))
RECORD = ROOT / "tests" / "conformance.json"
ELSEWHERE = ("train/tests/distributed_test.py",)
"""Not held: files that start several processes by mpiexec, which not every machine has."""
LINE = re.compile(r"^(?P<file>\S+\.py)\s+(?P<passed>\d+)\s*/\s*(?P<of>\d+)$")


def chosen(every: int) -> list[str]:
    """One recorded file of ``every``, others each day."""
    files = sorted(json.loads(RECORD.read_text(encoding="utf-8"))["per_file"])
    return files[int(time.time() // 86_400) % every :: every]


def measure(*files: str) -> dict[str, int | dict[str, int]]:
    """Passed tests in all and per file, by one run of the conformance suite (of ``files``, if named)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    with tempfile.TemporaryFile("w+") as output:
        subprocess.run([sys.executable, str(RUNNER), *files], stdout=output, env=environment, check=True)
        output.seek(0)
        found = [match for match in map(LINE.match, map(str.strip, output)) if match]
    per_file = {match["file"]: int(match["passed"]) for match in found if int(match["passed"])}
    per_file = {file: count for file, count in per_file.items() if file not in ELSEWHERE}
    return {"passed": sum(per_file.values()), "of": sum(int(match["of"]) for match in found), "per_file": per_file}


def main() -> int:
    """Exit status: 0 when nothing was lost."""
    if not RUNNER.exists():
        print(f"conformance: no runner at {RUNNER} (set CNTK_CONFORMANCE); nothing compared")
        return 0
    asked = argparse.ArgumentParser()
    asked.add_argument("--update", action="store_true")
    asked.add_argument("--native-first", action="store_true")
    asked.add_argument("--every", type=int, default=1)
    options = asked.parse_args()
    if options.native_first:
        os.environ.update(CNTK_LAB_NATIVE_AFTER="0", CNTK_LAB_BACKGROUND="0")
    files = chosen(options.every) if options.every > 1 else []
    if files:
        print(f"conformance, native from the first run: {' '.join(files)}")
    now = measure(*files)
    print(f"conformance: {now['passed']} of {now['of']}")
    if options.update or not RECORD.exists():
        temporary = RECORD.with_suffix(".new")
        temporary.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(RECORD)
        print(f"wrote {RECORD.relative_to(ROOT)}")
        return 0
    before = json.loads(RECORD.read_text(encoding="utf-8"))
    per_file = now["per_file"]
    assert isinstance(per_file, dict)
    if files:
        before["per_file"] = {file: before["per_file"][file] for file in files}

    def behind() -> list[tuple[str, int, int]]:
        pairs = ((file, had, per_file.get(file, 0)) for file, had in before["per_file"].items())
        return [(file, had, has) for file, had, has in pairs if has < had]

    if lost := behind():
        # some of CNTK's tests run against a clock: a file that lost tests runs once more, alone
        print(f"  once more: {', '.join(file for file, _, _ in lost)}")
        again = measure(*(file for file, _, _ in lost))["per_file"]
        assert isinstance(again, dict)
        per_file.update({file: max(count, per_file.get(file, 0)) for file, count in again.items()})
    for file, had, has in (lost := behind()):
        print(f"  {file}: {had} passed before, {has} now")
    if not files and isinstance(now["passed"], int) and now["passed"] > before["passed"]:
        print(f"  {now['passed'] - before['passed']} more than recorded: python .ci/conformance.py --update")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
