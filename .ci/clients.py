"""Hold the number of tests that two old clients of CNTK pass on this package: Keras 2.3.1 and cntkx 0.1.54.

    python .ci/clients.py            # run both, compare with tests/clients.json; exit 1 when a client lost tests
    python .ci/clients.py keras      # one of them
    python .ci/clients.py --update   # run and write tests/clients.json (to be committed)

Both come from the package index, with their tests; where it cannot be reached this says so, and compares nothing. What
Python, NumPy and h5py changed since 2019 is put back by a shim around the tests (SHIM below), nothing of CNTK.
Counts on the real CNTK 2.7, on a CPU: tests/clients.json, "on_cntk". Tests that need TensorFlow, several GPUs or
services of the network are left out, as are those of files that do not import without them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "clients.json"
FOLDER = Path(os.environ.get("CNTK_CLIENTS", Path.home() / ".cache" / "cntk-lab-clients"))
NEEDS = (
    "keras_applications==1.0.8", "keras_preprocessing==1.1.2", "h5py", "pyyaml", "six", "flaky", "scikit-learn",
    "joblib", "threadpoolctl", "cloudpickle", "narwhals",
)  # fmt: skip
"""What the clients import, beside what the development environment of this package has (NumPy, SciPy, pandas)."""
BY_CHANCE = 3
"""So many tests may fail in one run: Keras' tests train from unseeded weights, and some ask for an accuracy."""
CLIENTS = {
    "keras": ("Keras==2.3.1", "Keras-2.3.1.tar.gz", "Keras-2.3.1/tests", ("--ignore=integration_tests",
              "--ignore=test_api.py", "--ignore=docs", "--continue-on-collection-errors")),
    "cntkx": ("cntkx==0.1.54", "cntkx-0.1.54-py3-none-any.whl", "cntkx",
              ("-o", "python_files=*test*.py", "--continue-on-collection-errors")),
}  # fmt: skip
"""Client -> requirement, file, folder of the tests, options of pytest."""

SHIM = """
import collections, collections.abc, inspect
import numpy
for old, new in {"float": float, "int": int, "bool": bool, "object": object, "str": str, "complex": complex,
                 "Inf": numpy.inf, "string_": numpy.bytes_, "unicode_": numpy.str_}.items():
    if old not in vars(numpy):
        setattr(numpy, old, new)
for name in ("Callable", "Container", "Hashable", "Iterable", "Iterator", "Mapping", "Sequence", "Sized"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
if not hasattr(inspect, "getargspec"):
    inspect.getargspec = lambda f: collections.namedtuple("ArgSpec", "args varargs keywords defaults")(
        *inspect.getfullargspec(f)[:4])
try:
    import h5py
except ImportError:
    pass
else:  # texts were bytes, files were opened for appending, and a file had its number in .fid
    class Text(str):
        def decode(self, *_):
            return str(self)
    get, start = h5py.AttributeManager.__getitem__, h5py.File.__init__
    def attribute(self, name):
        value = get(self, name)
        texts = isinstance(value, numpy.ndarray) and value.dtype.kind == "O" and value.size
        if texts and isinstance(value.flat[0], str):
            return numpy.array([v.encode() for v in value.flat]).reshape(value.shape)
        return Text(value) if type(value) is str else value
    def opened(self, name, mode=None, driver=None, **more):
        start(self, name, mode or ("r" if more.get("file_image") else "a"), driver, **more)
    h5py.AttributeManager.__getitem__, h5py.File.__init__ = attribute, opened
    h5py.File.fid = property(lambda self: self.id)
try:
    import cntk_lab.alias
except ImportError:
    pass  # another Python, started by pip or by a test
"""


def prepare(client: str) -> Path | None:
    """The folder of a client's tests, fetched once; None where the index cannot be reached."""
    requirement, file, tests, _ = CLIENTS[client]
    packages, site = FOLDER / "packages", FOLDER / "site"
    if not (FOLDER / file).exists():
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        binary = ("--no-binary", ":all:") if file.endswith(".tar.gz") else ()
        steps = (
            [*pip, "install", "--target", str(packages), "--no-deps", *NEEDS, requirement],
            [*pip, "download", "-d", str(FOLDER), "--no-deps", *binary, requirement],
        )
        if any(subprocess.run(step, check=False).returncode for step in steps):
            (FOLDER / file).unlink(missing_ok=True)
            return None
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SHIM, encoding="utf-8")
    if file.endswith(".whl"):
        shutil.unpack_archive(FOLDER / file, FOLDER / "unpacked", "zip")
    else:
        shutil.unpack_archive(FOLDER / file, FOLDER / "unpacked", filter="data")
    return FOLDER / "unpacked" / tests


def passed(client: str, tests: Path) -> int:
    """How many of a client's tests pass."""
    paths = (FOLDER / "site", ROOT, tests.parent, FOLDER / "packages")
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "KERAS_BACKEND": "cntk", "MPLBACKEND": "Agg",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-W", "ignore", "-p", "no:cacheprovider"]
        command += ["-c", os.devnull, "--rootdir", str(tests), "--junitxml", str(report), *CLIENTS[client][3], "."]
        subprocess.run(command, cwd=tests, env=environment, check=False)
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314  (written by pytest)
        return sum(not list(case.iter("failure")) and not list(case.iter("error")) and case.find("skipped") is None
                   for case in cases)  # fmt: skip


def main() -> int:
    """Exit status: 0 when nothing was lost."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    lost = False
    for client in [c for c in CLIENTS if c in sys.argv] or list(CLIENTS):
        tests = prepare(client)
        if tests is None:
            print(f"clients: {client} cannot be fetched from the package index; nothing compared")
            continue
        count, before = passed(client, tests), record[client]["passed"]
        print(f"clients: {client}: {count} tests pass, {before} did; {record[client]['on_cntk']} on the real CNTK 2.7")
        lost |= count < before - BY_CHANCE
        record[client]["passed"] = count
    if "--update" in sys.argv:
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
