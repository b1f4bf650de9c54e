"""Scopes: each text names one thing or nothing, and every part lies in its account's document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.scopes import (
    GLOBAL,
    account_scope,
    parse_scope,
    scope_account,
    strategy_scope,
    underlying_scope,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
SYMBOLS = st.from_regex(r"[A-Z0-9][A-Z0-9.&_:-]{0,31}", fullmatch=True)


@given(NAMES, NAMES, SYMBOLS)
def test_every_scope_is_read_as_it_was_written(account: str, strategy: str, symbol: str) -> None:
    """R5.1; `M&M` and `BRK.B` are underlyings too."""
    for text in (
        account_scope(account),
        strategy_scope(account, strategy),
        underlying_scope(account, symbol),
    ):
        scope = parse_scope(text)
        assert scope is not None
        assert str(scope) == text
        assert scope.document == f"account:{account}"
        assert scope_account(text) == account


def test_the_whole_is_a_scope_of_its_own() -> None:
    scope = parse_scope(GLOBAL)
    assert scope is not None
    assert (str(scope), scope.document, scope.account) == (GLOBAL, GLOBAL, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "demo",
        "account:",
        "account:Demo",
        "account:demo:core",
        "account:demo:",
        "strategy:demo",
        "strategy:demo:",
        "strategy::core",
        "strategy:demo:Core",
        "underlying:demo:spx",
        "underlying:demo",
        "Global",
        "global:",
        "global:x",
        "desk:demo:x",
        "account:a/b",
    ],
)
def test_other_text_is_no_scope(text: str) -> None:
    """B66."""
    assert parse_scope(text) is None
    assert scope_account(text) == ""
