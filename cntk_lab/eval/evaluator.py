"""The evaluator, under CNTK's path (a door)."""

from cntk_lab.train._evaluator import Evaluator

__all__ = ["Evaluator"]
