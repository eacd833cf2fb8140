"""``import cntk`` after ``import cntk_lab.alias``: the same modules under CNTK's names, each test in a fresh Python."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_every_module_is_the_very_module():
    assert (
        run_python("""
        import cntk_lab.alias
        import cntk, cntk.layers, cntk.ops.functions, _cntk_py
        from cntk.layers import Dense
        import cntk_lab, cntk_lab.layers, cntk_lab.ops.functions, cntk_lab.cntk_py
        print(cntk is cntk_lab, cntk.layers is cntk_lab.layers, cntk.ops.functions is cntk_lab.ops.functions,
              _cntk_py is cntk_lab.cntk_py, Dense is cntk_lab.layers.Dense, cntk.layers.__spec__.name)
    """)
        == "True True True True True cntk_lab.layers"
    )


def test_the_version_of_the_interface_is_read_as_a_number():
    # Keras reads it so: dots after the first one are dropped, the rest is a float that must be 2.2 or more
    assert run_python("""
        import cntk_lab, cntk_lab.alias, cntk
        v = cntk.__version__
        print(float(v[:2] + v[2:].replace(".", "")) >= 2.2, cntk.package_version != v)
        cntk_lab.alias.remove()
        print(cntk_lab.__version__ == cntk_lab.package_version)
    """).split() == ["True", "True", "True"]


def test_missing_modules_are_missing_under_both_names():
    assert (
        run_python("""
        import cntk_lab.alias
        try:
            import cntk.no_such_part
        except ModuleNotFoundError as error:
            print(error)
    """)
        == "No module named 'cntk.no_such_part'"
    )


def test_a_real_cntk_that_is_already_there_is_not_replaced():
    assert run_python("""
        import sys, types
        sys.modules["cntk"] = types.ModuleType("cntk")
        sys.modules["cntk"].__file__ = "/somewhere/cntk/__init__.py"
        try:
            import cntk_lab.alias
        except RuntimeError as error:
            print(error)
    """).splitlines() == [
        "another package named cntk is already imported",
        "  where: /somewhere/cntk/__init__.py",
        "  fix:   import cntk_lab.alias before anything that imports cntk",
    ]


def test_packages_above_the_graph_load_when_they_are_named():
    assert (
        run_python("""
        import sys, cntk_lab as C
        def loaded():
            return sorted(n for n in ("layers", "learners", "train", "logging") if f"cntk_lab.{n}" in sys.modules)
        before = loaded()
        C.layers.Dense
        C.sgd
        print(before, loaded(), "sgd" in dir(C))
    """)
        == "[] ['layers', 'learners'] True"
    )


def test_star_imports_bring_what_programs_of_cntk_take_from_them():
    assert run_python("""
        import cntk_lab.alias
        from cntk import *
        first = (np.float32(2), learning_parameter_schedule(.1)[0], UnitType.sample.name, Evaluator.__name__,
                 training_session.__name__, CheckpointConfig.__name__, data_parallel_distributed_learner.__name__)
        from cntk.layers import *
        z = Sequential([Dense(3), sigmoid])(C.input_variable(2))
        print(*first, z.shape, Constant(1).shape, InferredDimension, Record(a=1).a, glorot_uniform is C.glorot_uniform)
    """).split() == [
        "2.0", "0.1", "sample", "Evaluator", "training_session", "CheckpointConfig",
        "data_parallel_distributed_learner", "(3,)", "()", "-1", "1", "True",
    ]  # fmt: skip


def test_old_programs_find_the_device_of_test_machines():
    assert (
        run_python("""
        import os
        import cntk_lab.alias
        import cntk as C
        import cntk.tests.test_utils
        cntk = C
        cntk.tests.test_utils.set_device_from_pytest_env()
        os.environ["TEST_DEVICE"] = "cpu"
        cntk.tests.test_utils.set_device_from_pytest_env()
        from cntk.ops.tests.ops_test_utils import cntk_device
        print(C.use_default_device(), cntk_device(-1), C.DeviceDescriptor.try_set_default_device(C.cpu()))
        os.environ["TEST_DEVICE"] = "gpu"
        try:
            cntk.tests.test_utils.set_device_from_pytest_env()
        except ValueError as error:
            print(str(error).splitlines()[0])
    """)
        == "CPU CPU True\ngpu(0): there are 0 usable GPUs"
    )


def test_parts_of_contrib_that_are_not_built_say_so():
    assert run_python("""
        import cntk_lab.alias, cntk.contrib
        import cntk as C
        def tell(act):
            try:
                act()
            except ImportError as error:
                print(str(error).splitlines()[0])
        tell(lambda: __import__("cntk.contrib.netopt.quantization"))
        tell(lambda: C.contrib.deeprl)
        tell(lambda: __import__("cntk.contrib.crosstalkcaffe"))
    """).splitlines() == [
        f"cntk.contrib.{part} is not part of this package yet" for part in ("netopt", "deeprl", "crosstalkcaffe")
    ]


def test_without_the_alias_modules_show_their_own_names_only():
    assert (
        run_python("""
        import cntk_lab.layers
        print(hasattr(cntk_lab.layers, "np"), hasattr(cntk_lab.layers, "Constant"), "Dense" in cntk_lab.layers.__all__)
    """)
        == "False False True"
    )


def test_random_operators_draw_the_numbers_of_cntk_unless_asked_otherwise(monkeypatch):
    draw = """
        import cntk_lab.alias
        import cntk as C
        print(round(float(C.random.uniform((2, 3), seed=98052).eval()[0, 0]), 6))
        cntk_lab.alias.remove()
        print(cntk_lab.settings.flag("cntk_random"))
    """
    monkeypatch.delenv("CNTK_LAB_CNTK_RANDOM", raising=False)
    assert run_python(draw).split() == ["0.931785", "False"]
    monkeypatch.setenv("CNTK_LAB_CNTK_RANDOM", "0")
    assert run_python(draw).split()[0] != "0.931785"
