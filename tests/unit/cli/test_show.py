"""Tables in a terminal: what does not fit stands below each other, and no number is ever cut."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stopline.cli.show import console, table

HEADS = ("symbol", "quantity", "price", "what it says")


def printed(width: int, rows: list[tuple[str, ...]]) -> str:
    out = StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(
        table("all of it", HEADS, rows, HEADS[1:3])
    )
    return out.getvalue()


def test_a_wide_terminal_has_columns_and_a_narrow_one_has_lines() -> None:
    row = ("SPXW 261118C06000000", "1000000.123456", "123456.789012", "waits for the market to open")
    assert any(line.split() == " ".join(HEADS).split() for line in printed(120, [row]).splitlines())
    assert printed(40, [row]).split("\n")[:5] == [
        "all of it",
        "- symbol SPXW 261118C06000000",
        "  quantity 1000000.123456",
        "  price 123456.789012",
        "  what it says waits for the market to ",
    ]


@given(
    width=st.integers(min_value=30, max_value=200),
    number=st.decimals(min_value=0, max_value=10**12, places=4),
    words=st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=8),
)
def test_no_number_and_no_word_is_cut_in_any_terminal(width: int, number: object, words: list[str]) -> None:
    text = printed(width, [("SPY", str(number), str(number), " ".join(words))])
    assert text.split().count(str(number)) == 2
    assert all(word in text.split() for word in words)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_in_a_terminal_the_console_is_as_wide_as_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert console().width == 80
    monkeypatch.setattr("sys.stdout", StringIO())
    assert console().width == 160
