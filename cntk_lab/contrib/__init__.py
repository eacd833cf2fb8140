"""``cntk.contrib``: what CNTK shipped beside itself. None of it is built here yet, and asking for it says so."""

from __future__ import annotations

from typing import Final, NoReturn

from cntk_lab.errors import NotAvailableError

__all__ = ["NOT_BUILT", "NotBuiltError", "refuse"]

NOT_BUILT: Final = {
    "crosstalk": "write weights with Function.save, and read them with load_model",
    "crosstalkcaffe": "convert the Caffe model with CNTK 2.7 itself, save it there, and load that file here",
    "deeprl": "write the agent with Trainer: the tutorial of CNTK (203) shows a deep Q-network",
    "netopt": "train and save the full network; factorisation and binarisation are planned",
}
"""Parts of CNTK's contrib -> what to do instead."""


class NotBuiltError(NotAvailableError, ImportError):
    """A part of CNTK that this package does not have yet."""


def refuse(part: str) -> NoReturn:
    """Say that a part is not built.

    Raises:
        NotBuiltError: always.
    """
    raise NotBuiltError(f"cntk.contrib.{part} is not part of this package yet", fix=NOT_BUILT[part])


def __getattr__(name: str) -> NoReturn:
    if name in NOT_BUILT:
        refuse(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
