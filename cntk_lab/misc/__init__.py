"""Converters of models (a door)."""

from cntk_lab.misc import converter
from cntk_lab.misc.converter import convert

__all__ = ["convert", "converter"]
