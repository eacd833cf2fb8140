"""Small models and the printed plans of them: what each pass does, as text."""

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.make.compile import make_plan
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan.text import lines


def plan_of(target, *, fused=True, **wanted):
    """A plan that every rule of legal plans was looked at for."""
    with settings.option(check_plans=True):
        return make_plan(Wanted(**wanted), target, fused=fused)


def printed(plan):
    """Each step in a line, behind what it is there for."""
    found = []
    for step in plan.steps:
        own, *inside = lines([step], plan.buffers)
        found += [f"{step.phase.name}: {own}", *inside]
    return found


def dense():
    """tanh(x w + b), and its parameters."""
    x, w, b = C.input_variable(3, name="x"), C.parameter((3, 2), init=1, name="w"), C.parameter(2, name="b")
    return C.tanh(C.times(x, w) + b), w, b


def recurrent():
    """h = tanh(h before r + s), and r."""
    s, r, h = C.sequence.input_variable(2, name="s"), C.parameter((2, 2), init=0.5, name="r"), C.placeholder(name="h")
    out = C.tanh(C.times(C.sequence.past_value(h), r) + s)
    out.replace_placeholders({h: out.output})
    return out, r
