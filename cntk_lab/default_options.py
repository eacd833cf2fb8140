"""Default options: defaults of layer arguments that hold inside a ``with`` block.

A layer marks an argument's default with ``default_override_or`` and asks ``get_default_override`` for its value; a user
sets it for a block of code with ``default_options`` or, for some layers only, with ``default_options_for``. What was
passed to a layer explicitly always wins. Options are looked up where the layer is *made*, innermost block first.

Knows no layers. Idea: dynamic scope, as in CNTK 2.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

from cntk_lab.errors import AttributeValueError, SignatureError

Owner: TypeAlias = Callable[..., Any]


class _Scope(NamedTuple):
    """The options of one ``with`` block, and whom they are for (None: everybody)."""

    owners: tuple[Owner, ...] | None
    options: dict[str, Any]


_scopes: ContextVar[tuple[_Scope, ...]] = ContextVar("default_options", default=())
_global_options: dict[str, Any] = {}
_RESERVED = ("_scope", "_outer")


class default_override_or:  # noqa: N801  (CNTK's name)
    """Marks the default of an argument that default options may override.

    Args:
        value: the default if no option is set.

    Example:
        >>> is_default_override(default_override_or(3)), is_default_override(3)
        (True, False)

    Source: CNTK 2.7 ``default_options.default_override_or``.
    """

    def __init__(self, value: Any) -> None:
        self.value: Any = value.value if isinstance(value, default_override_or) else value

    def __repr__(self) -> str:
        return f"default_override_or({self.value!r})"


def is_default_override(value: object) -> bool:
    """Whether a value is the mark of an argument that was not passed.

    Args:
        value: an argument's value.

    Returns:
        True for :class:`default_override_or`.

    Example:
        >>> is_default_override(None)
        False

    Source: CNTK 2.7 ``default_options.is_default_override``.
    """
    return isinstance(value, default_override_or)


class _Options:
    """The ``with`` block."""

    def __init__(self, owners: tuple[Owner, ...] | None, options: dict[str, Any]) -> None:
        for name in _RESERVED:
            if name in options:
                raise AttributeValueError(f"default_options: the name '{name}' is reserved", fix="use another name")
        self._scope = _Scope(owners, dict(options))
        self._tokens: list[Token[tuple[_Scope, ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_scopes.set((*_scopes.get(), self._scope)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scopes.reset(self._tokens.pop())


def default_options(**kwargs: Any) -> _Options:
    """Sets defaults of layer arguments inside a ``with`` block.

    Args:
        kwargs: argument names and their defaults, such as ``activation=relu``, ``init=he_normal()``, ``pad=True``.

    Returns:
        Context manager.

    Raises:
        AttributeValueError: if a name is reserved.

    Example:
        >>> def layer(size=default_override_or(1)):
        ...     return get_default_override(layer, size=size)
        >>> with default_options(size=5):
        ...     layer(), layer(7)
        (5, 7)
        >>> layer()
        1

    Source: CNTK 2.7 ``default_options``.
    """
    return _Options(None, kwargs)


def default_options_for(functions: Owner | Iterable[Owner], **kwargs: Any) -> _Options:
    """Sets defaults of the arguments of some layers only, inside a ``with`` block.

    Args:
        functions: a layer or several.
        kwargs: argument names and their defaults.

    Returns:
        Context manager.

    Raises:
        SignatureError: if something is no layer.
        AttributeValueError: if a name is reserved.

    Example:
        >>> def layer(size=default_override_or(1)):
        ...     return get_default_override(layer, size=size)
        >>> with default_options_for([len], size=5):
        ...     layer()
        1

    Source: CNTK 2.7 ``default_options_for``.
    """
    owners = (functions,) if callable(functions) else tuple(functions)
    for owner in owners:
        if not callable(owner):
            raise SignatureError(f"default_options_for: {owner!r} is no layer", fix="give Dense, or [Dense, LSTM]")
    return _Options(owners, kwargs)


def get_default_override(function_or_class: Owner, **kwargs: Any) -> Any:
    """The value of one argument: as passed, else as the innermost option says, else its own default.

    Args:
        function_or_class: the layer that asks.
        kwargs: exactly one: the argument's name and value.

    Returns:
        The value.

    Raises:
        SignatureError: if not exactly one argument is asked for.

    Example:
        >>> with default_options(pad=True):
        ...     get_default_override(len, pad=default_override_or(False)), get_default_override(len, pad=False)
        (True, False)

    Source: CNTK 2.7 ``default_options.get_default_override``.
    """
    if len(kwargs) != 1:
        raise SignatureError(f"get_default_override: {len(kwargs)} arguments are asked for", fix="ask for exactly one")
    ((name, value),) = kwargs.items()
    if isinstance(value, default_override_or):
        heard = (s for s in reversed(_scopes.get()) if s.owners is None or function_or_class in s.owners)
        value = next((s.options[name] for s in heard if name in s.options), value.value)
    if name == "activation" and isinstance(value, str):
        raise SignatureError(
            f"{getattr(function_or_class, '__name__', 'layer')}: activation is {value!r}, not a function",
            fix=f"give C.{value}" if value.isidentifier() else "give a function such as C.relu",
        )
    return value


def current_option(name: str, fallback: Any) -> Any:
    """The option that holds here for everybody, or a fallback; what the graph asks for ``dtype``.

    Args:
        name: name of the option.
        fallback: value if it is not set.

    Returns:
        The value.

    Example:
        >>> with default_options(dtype="float64"):
        ...     current_option("dtype", "float32")
        'float64'

    Source: this project.
    """
    for scope in reversed(_scopes.get()):
        if scope.owners is None and name in scope.options:
            return scope.options[name]
    return fallback


def set_global_option(key: str, value: Any) -> None:
    """Sets an option for the rest of the process.

    Args:
        key: name; CNTK knows ``align_axis`` and ``python_operand_order``.
        value: its value.

    Example:
        >>> set_global_option("align_axis", 1)

    Source: CNTK 2.7 ``default_options.set_global_option``.
    """
    _global_options[key] = value


def get_global_option(key: str, default_value: Any) -> Any:
    """An option set for the process.

    Args:
        key: name.
        default_value: value if it was not set.

    Returns:
        The value.

    Example:
        >>> get_global_option("never set", 3)
        3

    Source: CNTK 2.7 ``default_options.get_global_option``.
    """
    return _global_options.get(key, default_value)
