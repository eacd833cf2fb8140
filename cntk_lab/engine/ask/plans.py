"""The plans of what was asked, each made ready for its device; kept while they are likely to be asked for again.

The key says what is wanted and of which target, never how many rows there are: another minibatch size is a bind, not a
plan.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from cntk_lab import settings
from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.ask.captured import Basis
from cntk_lab.engine.ask.tiers import tier_of
from cntk_lab.engine.make.compile import make_plan
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.tiers.tier import Bound
from cntk_lab.events import BUS, PlanCompiled
from cntk_lab.graph.node import edits

_CACHED = 256
_cache: OrderedDict[tuple[Any, ...], tuple[Bound, Wanted, Basis]] = OrderedDict()


def bound_for(wanted: Wanted, device: DeviceDescriptor | None = None, *, fused: bool | None = None) -> Bound:
    """The plan that computes what is wanted, ready for a device; the same as before if nothing has changed since.

    Args:
        wanted: what is computed.
        device: where; None for the default device.
        fused: whether operators are computed together; None as the option says.

    Raises:
        NotAvailableError: if the device is a GPU that cannot be used.
    """
    fused = settings.flag("fuse") if fused is None else fused
    tier = tier_of(device)
    target = tier.target()
    key = (
        tier,
        target,
        *(tuple(map(id, group)) for group in (wanted.outputs, wanted.gradients, wanted.roots, wanted.totals)),
        wanted.training,
        wanted.given_roots,
        tuple(map(id, wanted.updates)),
        wanted.shared,
        edits(),
        fused,
    )
    found = _cache.get(key)
    if found is not None and found[2].constants_hold:
        _cache.move_to_end(key)
        return found[0]
    started = time.perf_counter()
    plan = make_plan(wanted, target, fused=fused)
    bound = tier.bind(plan)
    _cache[key] = (bound, wanted, Basis(plan))
    while len(_cache) > _CACHED:
        _cache.popitem(last=False)
    BUS.publish(PlanCompiled(plan.number, plan.title, len(plan.steps), time.perf_counter() - started))
    return bound
