"""The table of what a legal plan is: each rule finds a plan that was broken on purpose, and legal plans pass all."""

from dataclasses import replace

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.cpu.claims import check_claims, native_steps
from cntk_lab.engine.cpu.target import ONEDNN, PLAIN
from cntk_lab.engine.make import compile
from cntk_lab.engine.make.compile import make_plan
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.memory import check as memory_check
from cntk_lab.engine.memory.slots import slots_of
from cntk_lab.engine.plan import (
    Call,
    Contract,
    Delay,
    Join,
    Loop,
    Map,
    Part,
    Phase,
    Plan,
    Share,
    View,
    all_steps,
    check,
)
from cntk_lab.errors import ExecutionError
from cntk_lab.formula import expr as e
from tests.unit.engine import bounds
from tests.unit.engine.test_native_plans import MODELS
from tests.unit.engine.test_shared_memory import SHARED
from tests.unit.engine.tiers import flat, same_in_every_tier

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def gated(x):
    w = C.parameter((6, 6), init=0.1)
    t = C.times(x, w)
    return C.splice(C.slice(t, 0, 0, 3) * C.sigmoid(C.slice(t, 0, 3, 6)), t) + 1


def recurrent(x):
    h = C.placeholder()
    out = C.tanh(C.times(C.sequence.past_value(h), C.parameter((6, 6), init=0.1)) + x)
    out.replace_placeholders({h: out.output})
    return out


def _plan(make, *, sequence=False, images=True, gradient=True, fused=True):
    x = C.sequence.input_variable(6, needs_gradient=True) if sequence else C.input_variable(6, needs_gradient=True)
    out = make(x)
    more = {"roots": (out.output,), "gradients": (x, *out.parameters), "training": True} if gradient else {}
    return make_plan(Wanted(outputs=out.outputs, **more), ONEDNN if images else PLAIN, fused=fused)


def forward():
    return _plan(gated, gradient=False)


def with_gradients():
    return _plan(gated)


def loop():
    return _plan(recurrent, sequence=True)


def unfused():
    return _plan(lambda x: C.reshape(C.top_k(x, 2).outputs[0], (2, 1)) * 2, images=False, fused=False)


def counting():
    c = C.constant(1.0)
    return make_plan(Wanted(outputs=(C.assign(c, c + 1).output, (c * 3).output)), PLAIN, fused=False)


def shared():
    """A step of training whose gradients are summed over workers."""
    x, w = C.input_variable(3), C.parameter((3, 2), init=1)
    loss = C.reduce_sum(C.square(C.times(x, w)))
    updates = tuple(C.sgd([w], 0.1).updates())
    wanted = Wanted(roots=(loss.output,), totals=(loss.output,), training=True, updates=updates, shared=True)
    return make_plan(wanted, ONEDNN)


def added():
    """x w1 + x w2: the second product is added onto the first."""
    return _plan(lambda x: C.times(x, C.parameter((6, 6))) + C.times(x, C.parameter((6, 6))), gradient=False)


def one(plan, kind):
    return next(s for s in all_steps(plan.steps) if isinstance(s, kind))


def part_of(plan):
    return next(b for b in plan.buffers if b.whole is not None)


def kernel(plan, **changed):
    s = one(plan, Map)
    s.kernel = replace(s.kernel, **changed)


def first_operand(plan, **changed):
    s = one(plan, Map)
    s.kernel = replace(s.kernel, inputs=(replace(s.kernel.inputs[0], **changed), *s.kernel.inputs[1:]))


def swap_first_and_last(plan):
    plan.steps[0], plan.steps[-1] = plan.steps[-1], plan.steps[0]


def lose_an_output(plan):
    plan.outputs["output 0"] = len(plan.buffers)
    plan.buffers.append(replace(plan.buffers[-1], id=len(plan.buffers), whole=None, inside=-1, name="lost"))


def read_in_a_loop_what_comes_later(plan):
    body = one(plan, Loop).body
    body[:] = [s for s in body if not isinstance(s, Delay)] + [s for s in body if isinstance(s, Delay)]


def write_twice(plan):
    s = one(plan, Map)
    plan.steps.append(Map(s.reads, s.writes, kernel=s.kernel, rows=s.rows))


def write_an_input(plan):
    given = next(b.id for b in plan.buffers if b.role == "input")
    plan.steps.append(View((one(plan, Map).writes[0],), (given,)))


def assign_first(plan):
    steps = [s for s in plan.steps if plan.buffers[s.writes[0]].role == "constant"]
    plan.steps = steps + [s for s in plan.steps if s not in steps]
    for s in steps:
        s.kernel = replace(s.kernel, inputs=(), outputs=((s.kernel.outputs[0][0], e.const(7)),))
        s.reads = ()


def forget_a_write_of_a_loop(plan):
    s = one(plan, Loop)
    s.writes = s.writes[1:]


def forget_a_read_of_a_loop(plan):
    s = one(plan, Loop)
    s.reads = s.reads[1:]


def nest_loops(plan):
    s = one(plan, Loop)
    inner = Loop(s.reads, s.writes, body=list(s.body), rows=s.rows)
    s.body = [inner]


def step_without_phase(plan):
    plan.steps[0].phase = Phase(0)


def gradient_that_the_forward_pass_reads(plan):
    late = next(s for s in reversed(plan.steps) if isinstance(s, Map))
    late.phase = Phase.FORWARD


def update_of_the_forward_pass(plan):
    plan.steps[-1].phase = Phase.FORWARD


def shared_in_the_backward_pass(plan):
    one(plan, Share).phase = Phase.BACKWARD


def update_before_sharing(plan):
    plan.steps.insert(0, plan.steps.pop())


def backward_behind_sharing(plan):
    at = next(i for i, s in enumerate(plan.steps) if isinstance(s, Share))
    plan.steps.insert(0, plan.steps.pop(at))


def other_rows(plan):
    one(plan, Map).rows = ""


def another_operand_is_read(plan):
    s = one(plan, Map)
    s.reads = (*s.reads[1:], s.reads[0] + 1)


def formula_of_a_stranger(plan):
    s = one(plan, Map)
    kernel(plan, outputs=((s.kernel.outputs[0][0], e.input_("b999")), *s.kernel.outputs[1:]))


def output_that_changes_where_it_is_short(plan):
    s = one(plan, Map)
    o, f = s.kernel.outputs[-1]
    s.kernel = replace(s.kernel, outputs=(*s.kernel.outputs[:-1], (replace(o, rows=False), f)))


def another_type_of_product(plan):
    s = one(plan, Contract)
    s.spec = replace(s.spec, sizes={**s.spec.sizes, "k": s.spec.sizes["k"] + 1})


def product_without_rows(plan):
    s = one(plan, Contract)
    s.spec = replace(s.spec, left=s.spec.left.replace("r", ""))


def nameless_operand(plan):
    one(plan, Call).names = ()


def view_of_another_size(plan):
    b = plan.buffers[one(plan, View).writes[0]]
    b.shape = (*b.shape, 2)


def view_of_another_type(plan):
    plan.buffers[one(plan, View).writes[0]].dtype = "float64"


def part_behind_the_end(plan):
    one(plan, Part).begin += 4


def pieces_too_few(plan):
    s = one(plan, Join)
    s.reads = s.reads[:1]


def part_in_a_part(plan):
    a, b = [b for b in plan.buffers if b.whole is not None][:2]
    b.inside = a.id


def part_in_itself(plan):
    b = part_of(plan)
    b.inside = b.id


def part_of_another_shape(plan):
    part_of(plan).whole = (7,)


def part_outside(plan):
    b = part_of(plan)
    b.cut = (0, 100)


def pieces_on_top_of_each_other(plan):
    pieces = {r for s in all_steps(plan.steps) if isinstance(s, Join) for r in s.reads}
    computed = {w for s in all_steps(plan.steps) if isinstance(s, (Map, Contract)) for w in s.writes}
    for n in sorted(pieces & computed):
        plan.buffers[n].cut = (0, 0)


def owner_that_is_computed(plan):
    owner = part_of(plan).inside
    s = one(plan, Map)
    plan.steps = [t for t in plan.steps if owner not in t.writes or isinstance(t, Map)]
    s.writes = (*s.writes, owner)
    o = replace(s.kernel.outputs[0][0], name=f"b{owner}", shape=plan.buffers[owner].shape, whole=())
    s.kernel = replace(s.kernel, domain=o.shape, inputs=(), outputs=((o, e.const(1)),))
    s.reads, s.writes = (), (owner,)


def sum_that_others_need(plan):
    s = next(s for s in plan.steps if isinstance(s, Contract) and len(s.reads) > 2)
    plan.outputs["more"] = s.reads[2]


def step_that_cuts_elsewhere(plan):
    b = part_of(plan)
    b.cut = (b.cut[0], (b.cut[1] + 3) % 6)


def formula_that_does_not_see_a_part(plan):
    for s in all_steps(plan.steps):
        if isinstance(s, Map):
            s.kernel = replace(s.kernel, inputs=tuple(replace(o, whole=()) for o in s.kernel.inputs))


BROKEN = [
    ("order", forward, swap_first_and_last),
    ("order", forward, lose_an_output),
    ("order", loop, read_in_a_loop_what_comes_later),
    ("single writer", forward, write_twice),
    ("single writer", unfused, write_an_input),
    ("old values", counting, assign_first),
    ("loops", loop, forget_a_write_of_a_loop),
    ("loops", loop, forget_a_read_of_a_loop),
    ("loops", loop, nest_loops),
    ("phases", counting, step_without_phase),
    ("phases", with_gradients, gradient_that_the_forward_pass_reads),
    ("lasting", counting, update_of_the_forward_pass),
    ("sharing", shared, shared_in_the_backward_pass),
    ("sharing", shared, update_before_sharing),
    ("sharing", shared, backward_behind_sharing),
    ("kernels", forward, other_rows),
    ("kernels", unfused, another_operand_is_read),
    ("kernels", forward, formula_of_a_stranger),
    ("kernels", forward, output_that_changes_where_it_is_short),
    ("kernels", forward, lambda plan: first_operand(plan, dtype="float64")),
    ("kernels", forward, lambda plan: first_operand(plan, rows=False)),
    ("kernels", forward, lambda plan: first_operand(plan, shape=(1,))),
    ("kernels", forward, lambda plan: kernel(plan, domain=(5,))),
    ("products", forward, another_type_of_product),
    ("products", forward, product_without_rows),
    ("calls", unfused, nameless_operand),
    ("moves", unfused, view_of_another_size),
    ("moves", unfused, view_of_another_type),
    ("cuts", forward, part_behind_the_end),
    ("cuts", forward, pieces_too_few),
    ("one owner", forward, part_in_a_part),
    ("one owner", forward, part_in_itself),
    ("one owner", forward, part_of_another_shape),
    ("one owner", forward, part_outside),
    ("apart", forward, pieces_on_top_of_each_other),
    ("apart", forward, owner_that_is_computed),
    ("taken over", added, sum_that_others_need),
    ("places", forward, step_that_cuts_elsewhere),
    ("sight", forward, formula_that_does_not_see_a_part),
]


@pytest.mark.parametrize(("name", "make", "damage"), BROKEN)
def test_each_rule_finds_a_plan_that_breaks_it(name, make, damage):
    plan = make()
    check.check(plan, "nothing")
    damage(plan)
    rules = {r.name: r for r in (*check.RULES, *check.PLACED)}
    assert next(rules[name].find(plan), None) is not None


def test_no_rule_is_without_a_plan_that_breaks_it():
    assert {r.name for r in (*check.RULES, *check.PLACED)} == {name for name, _, _ in BROKEN}


def test_an_illegal_plan_is_refused_with_its_rule_and_the_pass_behind_which_it_was_found():
    plan = forward()
    write_twice(plan)
    with pytest.raises(ExecutionError) as error:
        check.check(plan, "parts")
    assert "is not legal after parts: map {" in str(error.value)
    assert "rule 'single writer': a value is written by one step" in str(error.value)


def test_every_pass_is_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(check, "check", lambda plan, after: seen.append(after) or plan)
    with settings.option(check_plans=True):
        with_gradients()
    assert seen == [
        "lowering", "dropping what nobody needs", "parts", "channels last", "fusing", "sharing sums",
    ]  # fmt: skip


def test_a_pass_that_breaks_a_plan_stops_there(monkeypatch):
    def broken(plan, judge):
        write_twice(plan)
        return plan

    monkeypatch.setattr(compile, "fuse", broken)
    with settings.option(check_plans=True), pytest.raises(ExecutionError, match="after fusing"):
        forward()
    with settings.option(check_plans=False):
        assert isinstance(forward(), Plan)


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_plans_of_all_models_are_legal_and_lie_apart_in_memory(name, images):
    out, x, _ = MODELS[name]()
    wanted = Wanted(outputs=out.outputs, roots=(out.output,), gradients=(x, *out.parameters), training=True)
    with settings.option(check_plans=True):
        plan = make_plan(wanted, ONEDNN if images else PLAIN)
    memory_check.check_memory(plan, slots_of(plan, plan.steps))


def _memory(damage):
    plan = with_gradients()
    slots = slots_of(plan, plan.steps)
    memory_check.check_memory(plan, slots)
    more = damage(plan, slots) or {}
    with pytest.raises(ExecutionError, match="is not legal in memory") as error:
        memory_check.check_memory(plan, slots, **more)
    return str(error.value)


def test_values_that_are_needed_at_the_same_time_never_share_memory():
    def share(plan, slots):
        alike = [s for s in slots if s.rows == slots[0].rows]
        alike[0].buffers += alike[1].buffers
        alike[1].buffers.clear()

    assert "share memory from step" in _memory(share)


def test_every_temporary_has_memory():
    assert "has no memory" in _memory(lambda plan, slots: slots[0].buffers.pop(0) and None)


def test_memory_is_of_the_values_rows_and_type():
    def retype(plan, slots):
        slots[0].dtype = "float64"

    assert "another element type" in _memory(retype)


def test_what_a_step_takes_over_is_there_when_it_runs():
    def early(plan, slots):
        last = next(s for s in reversed(plan.steps) if plan.buffers[s.writes[0]].role == "temporary")
        return {"read_at": {last.writes[0]: 0}}

    assert "step 0 reads" in _memory(early)


def test_values_do_not_lie_in_each_other_in_a_circle():
    plan = unfused()
    view = one(plan, View)
    plan.steps.append(View(view.writes, view.reads))
    with pytest.raises(ExecutionError, match="lies in itself"):
        memory_check.check_memory(plan, [])


@pytest.mark.parametrize("program", SHARED, ids=[f.__name__ for f in SHARED])
def test_checked_mode_looks_at_plans_and_their_memory(program, monkeypatch):
    looked = []
    whole = memory_check.check_memory
    monkeypatch.setattr(memory_check, "check_memory", lambda *given: looked.append(given[0]) or whole(*given))
    x = C.input_variable((4, 6), needs_gradient=True)
    out = program(x)
    data = np.ones((3, 4, 6), np.float32)
    with settings.option(checked=True, native_after=0, background_compilation=False):
        got = out.grad({x: data}, [x])
    assert len(looked) == 1
    assert looked[0] in bounds.natives()
    with settings.option(native=False):
        np.testing.assert_allclose(got, out.grad({x: data}, [x]), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
def test_a_step_that_another_one_should_do_and_does_not_is_named():
    """The bias behind a product over a slice of images was nobody's: what it should have made was never written."""
    x, w = C.input_variable(3), C.parameter((3, 2), init=1)
    plan = make_plan(Wanted(outputs=(C.times(x, w) + C.parameter(2)).outputs), ONEDNN)
    steps = native_steps(plan)
    check_claims(plan, steps)
    steps[0] = None
    with pytest.raises(ExecutionError, match=r"as native code: step 1, map .* is done by nobody"):
        check_claims(plan, steps)


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 4), (3, 1, 4)])
@pytest.mark.parametrize("sequence", [False, True])
def test_a_bias_behind_a_product_over_a_slice_is_added_in_every_tier(shape, sequence):
    x = (C.sequence.input_variable if sequence else C.input_variable)(shape)
    z = C.layers.Dense(5, map_rank=len(shape) - 1)(C.slice(x, 0, 1, 2))
    f = C.layers.Recurrence(C.layers.LSTM(5))(C.slice(x, 0, 1, 2)) if sequence else z
    rows = (2, 6, *shape) if sequence else (6, *shape)
    data = np.random.default_rng(0).normal(size=rows).astype(np.float32)
    same_in_every_tier(lambda: flat([z.eval({x: data}), f.eval({x: data})]))
