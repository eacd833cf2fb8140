"""Variables, parameters, constants and records, under CNTK's names (a door)."""

from cntk_lab.graph.operand import Operable as TensorOpsMixin
from cntk_lab.graph.record import Record
from cntk_lab.graph.variable import Constant, Parameter, Variable
from cntk_lab.graph.variable import Variable as VariableMixin
from cntk_lab.tensor.arrays import NDArrayView

__all__ = ["Constant", "NDArrayView", "Parameter", "Record", "TensorOpsMixin", "Variable", "VariableMixin"]
