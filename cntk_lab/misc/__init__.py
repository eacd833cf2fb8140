"""Converters of models (a door)."""

from cntk_lab.misc import converter, optimized_rnnstack_converter
from cntk_lab.misc.converter import convert
from cntk_lab.misc.optimized_rnnstack_converter import convert_optimized_rnnstack

__all__ = ["convert", "convert_optimized_rnnstack", "converter", "optimized_rnnstack_converter"]
