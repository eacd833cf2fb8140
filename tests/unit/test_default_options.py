"""Default options hold inside their block, innermost first, and never against what was passed."""

import importlib
from typing import Any

import pytest

from cntk_lab.errors import AttributeValueError, SignatureError

# the name in the package is CNTK's function of the same name
options = importlib.import_module("cntk_lab.default_options")

GLOROT = options.default_override_or("glorot")


def dense(init: Any = GLOROT) -> Any:
    return options.get_default_override(dense, init=init)


def recurrence(init: Any = GLOROT) -> Any:
    return options.get_default_override(recurrence, init=init)


def test_innermost_block_wins_and_ends() -> None:
    with options.default_options(init="outer"):
        with options.default_options(init="inner", pad=True):
            assert dense() == "inner"
        with options.default_options(pad=True):
            assert dense() == "outer"
    assert dense() == "glorot"


def test_what_was_passed_wins() -> None:
    with options.default_options(init="block"):
        assert dense("mine") == "mine"
        assert dense(init=None) is None


def test_options_for_some_layers_leave_others_alone() -> None:
    with options.default_options(init="all"), options.default_options_for([recurrence], init="some"):
        assert (recurrence(), dense()) == ("some", "all")
        assert options.current_option("init", "none") == "all"
    with options.default_options_for(dense, init="one"):
        assert (recurrence(), dense()) == ("glorot", "one")


def test_options_end_when_the_block_fails() -> None:
    def fail() -> None:
        with options.default_options(init="block"):
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert dense() == "glorot"


def test_global_options_stay() -> None:
    assert options.get_global_option("of this test", 1) == 1
    options.set_global_option("of this test", 2)
    assert options.get_global_option("of this test", 1) == 2


def test_mistakes_are_named() -> None:
    with pytest.raises(AttributeValueError, match="the name '_scope' is reserved"):
        options.default_options(_scope=1)
    with pytest.raises(SignatureError, match="3 is no layer"):
        options.default_options_for([3], init=1)  # type: ignore[list-item]
    with pytest.raises(SignatureError, match="2 arguments are asked for"):
        options.get_default_override(dense, init=1, pad=2)
