"""Every operator under its CNTK name."""

from cntk_lab.ops import sequence  # noqa: F401
from cntk_lab.ops._activations import *  # noqa: F403
from cntk_lab.ops._arithmetic import *  # noqa: F403
from cntk_lab.ops._products import *  # noqa: F403
from cntk_lab.ops._structure import *  # noqa: F403
