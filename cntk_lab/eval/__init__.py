"""Evaluating a model on data, under CNTK's names (a door)."""

from cntk_lab.eval import evaluator
from cntk_lab.eval.evaluator import Evaluator

__all__ = ["Evaluator", "evaluator"]
