"""CNTK Lab as an engine: the module under CNTK's name for things, and waiting until its kernels are compiled."""

from types import SimpleNamespace
from typing import Any


class _Door:
    """``cntk_lab`` with the submodules that the models use, loaded."""

    def __init__(self) -> None:
        import cntk_lab
        from cntk_lab import learners, ops
        from cntk_lab.tensor.value import Value
        from cntk_lab.train.trainer import Trainer

        self.sequence = ops.sequence
        self.learners, self.train, self.Value = learners, SimpleNamespace(Trainer=Trainer), Value
        self._module = cntk_lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def module() -> Any:
    """``cntk_lab`` as the models see it."""
    return _Door()


def version() -> str:
    """The version of CNTK Lab."""
    import cntk_lab

    return str(cntk_lab.__version__)


def settle() -> None:
    """Wait until every kernel that was asked for is compiled."""
    from cntk_lab.backends.cpu import jit

    jit.finish(300)
