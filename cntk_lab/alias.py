"""``import cntk_lab.alias`` makes ``import cntk`` give these very modules, so that CNTK programs run unchanged.

Every import of ``cntk`` or ``cntk.x.y`` is answered with ``cntk_lab`` or ``cntk_lab.x.y``: the same module
object, not a copy, so that classes and the state of the process are the same under both names. ``_cntk_py`` is
``cntk_lab.cntk_py``.

CNTK's modules also show what they import themselves, and programs take that from there (``from cntk.layers import *``
brings Constant, splice and np): from this import on the modules of this package show the same (``cntk_lab._leaked``).

Random operators and dropout draw the numbers that CNTK drew (the setting ``cntk_random``), unless it was said
otherwise: programs that compare with numbers of theirs, or of books, find them.

Programs ask ``cntk.__version__`` for the version of the *interface* (Keras reads it as a number and wants 2.2 or more).
From this import on, ``__version__`` therefore says "2.7", the version of CNTK whose interface this is; the version of
this package stays in ``package_version`` and in its metadata.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import cntk_lab
from cntk_lab import _leaked, contrib, settings
from cntk_lab.errors import NotAvailableError
from cntk_lab.ops import alias as _operator

__all__ = ["CNTK_VERSION", "install", "remove"]

CNTK_VERSION = "2.7"
"""The version of CNTK whose interface this package has."""


def _own_name(name: str) -> str | None:
    """This package's name of a module of CNTK; None for anything else."""
    if name == "_cntk_py":
        return "cntk_lab.cntk_py"
    head, dot, rest = name.partition(".")
    return f"cntk_lab{dot}{rest}" if head == "cntk" else None


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports of CNTK's modules."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.startswith("cntk_lab."):
            return _with_leaked_names(fullname, path, target)
        own = _own_name(fullname)
        if own is None:
            return None
        if (part := fullname.removeprefix("cntk.contrib.").split(".")[0]) in contrib.NOT_BUILT and part != fullname:
            contrib.refuse(part)
        if importlib.util.find_spec(own) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        own = _own_name(spec.name)
        assert own is not None
        module = importlib.import_module(own)
        self._kept = {
            n: vars(module)[n] for n in ("__spec__", "__loader__", "__package__", "__path__") if n in vars(module)
        }
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has just written the alias' spec into the module: the alias is only a second name
        for name in ("__spec__", "__loader__", "__package__", "__path__"):
            if name in self._kept:
                setattr(module, name, self._kept[name])
            elif name in vars(module):
                delattr(module, name)


def _with_leaked_names(
    name: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    """How a module of this package is found, and completed when it has run."""
    spec = importlib.machinery.PathFinder.find_spec(name, path, target)
    if spec is None or spec.loader is None or name.removeprefix("cntk_lab.") not in _leaked.NAMES:
        return spec
    run = spec.loader.exec_module

    def run_and_complete(module: ModuleType) -> None:
        run(module)
        _leaked.complete(module)

    spec.loader.exec_module = run_and_complete  # type: ignore[method-assign]
    return spec


_finder = _Finder()


def install() -> None:
    """Let ``import cntk`` give this package. Done by importing this module.

    Raises:
        NotAvailableError: if another package named cntk is already imported.

    Example:
        >>> install()
        >>> import cntk, cntk_lab
        >>> cntk is cntk_lab, cntk.__version__
        (True, '2.7')
        >>> remove()

    Source: this project.
    """
    there = sys.modules.get("cntk")
    if there is not None and there is not cntk_lab:
        raise NotAvailableError(
            "another package named cntk is already imported",
            str(getattr(there, "__file__", "")),
            "import cntk_lab.alias before anything that imports cntk",
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "cntk_lab"]:
        _leaked.complete(module)
    settings.set_default("cntk_random", True)
    cntk_lab.__version__ = CNTK_VERSION


def remove() -> None:
    """Undo :func:`install`: ``cntk`` is no name of this package any more.

    Example:
        >>> install()
        >>> remove()
        >>> "cntk" in __import__("sys").modules
        False

    Source: this project.
    """
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name in [n for n in sys.modules if _own_name(n) is not None]:
        del sys.modules[name]
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "cntk_lab"]:
        _leaked.restore(module)
    settings.set_default("cntk_random", None)
    cntk_lab.__version__ = cntk_lab.package_version


install()


class _AlsoTheOperator(ModuleType):
    """This module once it is imported: ``cntk_lab.alias`` is also the name of an operator, which it then stands for."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _operator(*args, **kwargs)


sys.modules[__name__].__class__ = _AlsoTheOperator
