"""What a committed valuation must say: the exact worth of the book that it names, at the marks that it names."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import orjson

from emulators.simulator.demand import demand

PLACES = 12  # decimals of a number on the wire


class Worth:
    """The books of a schedule by their revision, and the check of every valuation of one, in fractions."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, int], str] = {}

    def on_commit(self, collection: str, data: Mapping[str, Any]) -> None:
        """Take a commit of a book, or check one of a valuation."""
        if collection == "books":
            self._books[data["account"], data["revision"]] = data["state"]
        elif collection == "risk":
            state = orjson.loads(data["state"])
            shown = state.get("shown") or {}
            text = self._books.get((data["account"], state["book_revision"]))
            if text is not None and shown.get("unrealised") is not None:
                _check_book(orjson.loads(text), shown)
            if text is not None and not _has_options(orjson.loads(text)):
                for limit in shown.get("limits", ()):
                    _check_limit(limit)


def _has_options(book: Mapping[str, Any]) -> bool:
    """Tell whether a spread may be half booked: a limit of its payoff waits a moment for the other leg."""
    return any(position["instrument"]["kind"] == "option" for position in book["positions"])


def _check_book(book: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    unrealised = Fraction(0)
    for position in book["positions"]:
        quantity = Fraction(position["quantity"])
        if not quantity:
            continue
        key = f"{position['strategy']}:{position['instrument']['symbol']}"
        said = shown["positions"].get(key)
        demand(said is not None, "I1 every position of the book is valued", key)
        demand(
            len(said["mark"].partition(".")[2]) <= PLACES, "I1 a mark is a number of the wire", (key, said)
        )
        units = quantity * Fraction(position["instrument"]["multiplier"])
        worth = units * Fraction(said["mark"]) - Fraction(position["cost"])
        demand(Fraction(said["unrealised"]) == worth, "I1 a valuation is exact", (key, said, float(worth)))
        unrealised += worth
    demand(
        Fraction(shown["unrealised"]) == unrealised,
        "I1 a valuation is of its book",
        (shown["unrealised"], float(unrealised)),
    )


def _check_limit(limit: Mapping[str, Any]) -> None:
    current, threshold = limit["current"], limit["threshold"]
    if current is None or threshold is None:
        return
    over = Fraction(current) > Fraction(threshold)
    demand(not over or limit["level"] == "breach", "R3 what is beyond its limit is a breach", limit)
