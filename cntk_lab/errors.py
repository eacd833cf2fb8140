"""The LabError family: every error says what happened, where, and how to fix it.

Each class also subclasses the built-in type that CNTK raised in the same situation, so that programs that catch
``ValueError``, ``TypeError`` or ``RuntimeError`` keep working. Nothing here knows graphs or arrays; callers pass words.
"""

from __future__ import annotations


def message(what: str, where: str = "", fix: str = "") -> str:
    """The text of an error in its three parts; parts that are empty are left out."""
    lines = [what.strip()]
    if where:
        lines.append(f"  where: {where.strip()}")
    if fix:
        lines.append(f"  fix:   {fix.strip()}")
    return "\n".join(lines)


class LabError(Exception):
    """Base of all errors raised by this package.

    Args:
        what: what is wrong, with the values that are.
        where: the user's line, the operator and the layer.
        fix: what the user can do about it.
    """

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        super().__init__(message(what, where, fix))
        self.what, self.where, self.fix = what, where, fix


class ShapeError(LabError, ValueError, RuntimeError):
    """Static shapes do not fit together (CNTK raised either type)."""


class AxisError(LabError, ValueError, RuntimeError):
    """Static or dynamic axes do not fit together, or an axis does not exist (CNTK raised either type)."""


class DTypeError(LabError, ValueError, TypeError):
    """Element types differ or are not supported."""


class AttributeValueError(LabError, ValueError, RuntimeError):
    """An attribute of an operator, layer or learner has a value it cannot have."""


class GraphError(LabError, ValueError, RuntimeError):
    """The graph itself is wrong: unbound placeholders, cycles without delay, unknown variables."""


class SignatureError(LabError, ValueError, TypeError):
    """A function is called with arguments that do not match its signature."""


class DataError(LabError, ValueError):
    """Data given for a variable does not fit it."""


class SequenceError(LabError, ValueError, RuntimeError):
    """Sequences cannot be combined or built as asked, for example an empty one (CNTK raised either type)."""


class TrainingError(LabError, ValueError, RuntimeError):
    """Training cannot go on as asked."""


class ExecutionError(LabError, RuntimeError):
    """A step of a plan could not be carried out."""


class FormatError(LabError, ValueError, RuntimeError):
    """A file is damaged, truncated, of another format, or cannot be written."""


class ReaderError(LabError, ValueError, TypeError, RuntimeError):
    """A reader met data it cannot deliver."""


class DeviceError(LabError, ValueError):
    """A device is not there or cannot be used now."""


class NotAvailableError(LabError, RuntimeError):
    """A part that is not installed, or cannot work on this machine, was asked for."""


class LabWarning(UserWarning):
    """Something works, but probably not as meant."""
