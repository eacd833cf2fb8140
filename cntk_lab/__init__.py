"""CNTK Lab: build, see and train neural networks in a notebook; Microsoft's CNTK brought back to life.

This module is the ``C.*`` namespace and the one place that plugs upper layers into the graph's sockets.
"""

from __future__ import annotations

from cntk_lab.graph import ports

__version__ = "0.1.0"

ports.plug("default_option", lambda key, fallback: fallback)

from cntk_lab.axis import Axis  # noqa: E402
from cntk_lab.device import DeviceDescriptor  # noqa: E402
from cntk_lab.engine.execute import Executor  # noqa: E402
from cntk_lab.graph.function import CloneMethod, Function  # noqa: E402
from cntk_lab.graph.variable import Constant, Parameter, Variable  # noqa: E402
from cntk_lab.ops import *  # noqa: E402, F403

ports.plug("executor", Executor())
