"""Training, under CNTK's names (a door)."""

from cntk_lab.train.trainer import Trainer

__all__ = ["Trainer"]
