"""Every operator under its CNTK name."""

from cntk_lab.ops._arithmetic import *  # noqa: F403
from cntk_lab.ops._structure import *  # noqa: F403
