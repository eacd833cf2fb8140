"""Every layer: parameters, texts, values and gradients as recorded with CNTK 2.7; gradients against finite differences.

The table of layers is ``tests/golden/layers/record_cases.py``; a layer that is exported but not in it fails the last
test.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.formats.onnx import encode, write
from cntk_lab.formats.onnx.verify import verify

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "layers"
_spec = importlib.util.spec_from_file_location("layer_cases", GOLDEN / "record_cases.py")
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
FACTS = json.loads((GOLDEN / "layers.json").read_text(encoding="utf-8"))
NUMBERS = np.load(GOLDEN / "layers.npz")
NAMES = sorted(cases.CASES)
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
"""float32: sums in another order than CNTK's differ by a few units in the last place."""


def built(name):
    """The layer applied to inputs, and the inputs' data."""
    make, operands, _ = cases.CASES[name]
    C.cntk_py.reset_random_seed(cases.SEED)
    layer = make(C, C.layers)
    data = cases.inputs(C, operands)
    return layer(*data), data


def needed(z, data):
    return {v: data[v] for v in z.arguments}


def parts(value):
    return value if isinstance(value, list) else [value]


def assert_recorded(key, value, **tolerance):
    for i, part in enumerate(parts(value)):
        np.testing.assert_allclose(np.asarray(part), NUMBERS[f"{key}.{i}"], err_msg=key, **(tolerance or CLOSE))


def anonymous(text):
    """A text without the numbers in generated names of axes."""
    return re.sub(r"SequenceOver\[(ConvOver|whereNode)[^\]]*\]", r"SequenceOver[\1]", text)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_cntk_bit_for_bit(name):
    z, _ = built(name)
    assert [[p.name, list(p.shape)] for p in z.parameters] == FACTS[name]["parameters"]
    assert C.cntk_py.get_random_seed() == FACTS[name]["next seed"]
    for i, p in enumerate(z.parameters):
        np.testing.assert_array_equal(p.value, NUMBERS[f"{name}|p{i}"], err_msg=f"{p.name} ({i})")


@pytest.mark.parametrize("name", NAMES)
def test_text_shapes_and_axes_are_those_of_cntk(name):
    z, _ = built(name)
    facts = FACTS[name]
    assert anonymous(str(z)) == anonymous(facts["text"])
    assert z.root_function.op_name == facts["op_name"]
    assert [[list(o.shape), len(o.dynamic_axes)] for o in z.outputs] == facts["outputs"]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_cntk(name):
    z, data = built(name)
    values = z.forward(needed(z, data), z.outputs)[1]
    for o, output in enumerate(z.outputs):
        assert_recorded(f"{name}|y{o}", values[output])


@pytest.mark.parametrize("name", [n for n in NAMES if cases.CASES[n][2]])
def test_gradients_are_those_of_cntk(name):
    z, data = built(name)
    first = C.combine([z.outputs[0]])
    for i, p in enumerate(first.parameters):
        np.testing.assert_allclose(
            first.grad(needed(first, data), wrt=[p]), NUMBERS[f"{name}|dp{i}"], rtol=1e-4, atol=1e-5, err_msg=p.name
        )
    for k, v in enumerate(data):
        if v in first.arguments and v.needs_gradient:
            assert_recorded(f"{name}|dx{k}", first.grad(needed(first, data), wrt=[v]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if cases.CASES[n][2] and FACTS[n]["parameters"]])
def test_gradients_are_the_slopes_of_the_values(name):
    """Along one random direction in the space of all parameters, by central differences in float64."""
    make, operands, _ = cases.CASES[name]
    with C.default_options(dtype="float64"):
        C.cntk_py.reset_random_seed(cases.SEED)
        z = C.combine([make(C, C.layers)(*(inputs := cases.inputs(C, operands))).outputs[0]])
    if any(p.dtype != np.float64 for p in z.parameters) or any(v.dtype != np.float64 for v in inputs):
        pytest.fail("default_options(dtype=float64) did not reach every parameter and input")
    data = needed(z, inputs)
    at = [p.value for p in z.parameters]
    random = np.random.default_rng(3)
    directions = [random.standard_normal(a.shape) for a in at]
    slope = sum((z.grad(data, wrt=[p]) * d).sum() for p, d in zip(z.parameters, directions, strict=True))

    def total(step):
        for p, a, d in zip(z.parameters, at, directions, strict=True):
            p.value = a + step * d
        return sum(part.sum() for part in parts(z.eval(data)))

    assert slope == pytest.approx((total(1e-5) - total(-1e-5)) / 2e-5, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_layers_stand_in_sequential_and_can_be_cloned(name):
    make, operands, _ = cases.CASES[name]
    C.cntk_py.reset_random_seed(cases.SEED)
    layer = make(C, C.layers)
    data = cases.inputs(C, operands)
    z = (
        C.layers.Sequential([layer, C.layers.Label("end")])(*data)
        if len(operands) == 1 and len(FACTS[name]["outputs"]) == 1
        else layer(*data)
    )
    copy = z.clone("clone")
    assert [p.shape for p in copy.parameters] == [p.shape for p in z.parameters]
    assert not set(copy.parameters) & set(z.parameters)
    by_name = {v.name: d for v, d in data.items()}  # a copy with parameters of its own has inputs of its own
    values = copy.forward({v: by_name[v.name] for v in copy.arguments}, copy.outputs)[1]
    for o, output in enumerate(copy.outputs):
        assert_recorded(f"{name}|y{o}", values[output])


def test_every_exported_layer_is_in_the_table():
    source = (GOLDEN / "record_cases.py").read_text(encoding="utf-8")
    layers = [
        name
        for name in C.layers.__all__
        if name[0].isupper() and inspect.isfunction(getattr(C.layers, name)) and not name.startswith("Untested")
    ]
    elsewhere = {
        "BlockFunction": "an operator",
        "ForwardDeclaration": "a placeholder; its example runs",
        "RNNUnit": "the old name of RNNStep; its example runs",
        "Signature": "a decorator; its example runs",
        "Convolution": "over time, and by Convolution1D, 2D, 3D",
        "ConvolutionTranspose": "by ConvolutionTranspose1D and 2D",
        "Deconvolution": "another name of ConvolutionTranspose",
        "ConvolutionTranspose3D": "its example runs; CNTK's CPU has no gradient of it",
    }
    missing = [n for n in layers if n not in elsewhere and f"L.{n}(" not in source]
    assert missing == []


NOT_IN_ONNX = {name for name in NAMES if name.startswith(("SequentialConvolution", "MaxUnpooling"))}


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NOT_IN_ONNX])
def test_layers_compute_the_same_in_onnxruntime(name):
    pytest.importorskip("onnxruntime")
    z, _ = built(name)
    model = write.describe(z)
    report = verify(z, model, encode.write(model))
    assert report.rows, report.remark
    assert report.within, str(report)
