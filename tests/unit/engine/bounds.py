"""What plans were made ready as: the tests' look behind the door."""

from cntk_lab.engine.ask.plans import _cache, bound_for
from cntk_lab.engine.cpu.tier import natives


def bound_of(plan):
    """The plan made ready for its device."""
    return next(bound for bound, *_ in _cache.values() if bound.plan is plan)


def plan_for(wanted, *, fused=None):
    """The plan that computes what is wanted on the default device."""
    return bound_for(wanted, fused=fused).plan


def native_of(plan):
    """The plan as native code; None where that cannot run it."""
    return bound_of(plan).native


__all__ = ["bound_of", "native_of", "natives", "plan_for"]
