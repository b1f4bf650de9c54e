"""What a strategy has made, as the exits of strategies see it: in one currency, with what the settings count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.state import Held
from stopline.rules.exits.subject import first_base, mtm_of, subject
from stopline.rules.orders.open_risk import Valued

from ..make import NOON, account, at, equity, fill, option, trade

PUT, LOWER = option(6000, "P"), option(5990, "P")
EURO = equity("SAP", "EUR")
RATES = {"USD": Decimal(1), "EUR": Decimal("1.5")}
BEGINS = at(-3600)  # of the session
YESTERDAY = NOON - timedelta(days=1)

# 10 bought, 5 sold 4 higher: 20 made, 3 of fees, 7 of a dividend, and 5 left
DOLLARS = [
    trade(1, 10, 100, fee="2"),
    trade(2, -5, 104, fee="1"),
    fill("E-3", quantity=0, price=0, executed_at=at(3), kind="DIVIDEND", fee="-7"),
]
# 30 EUR made, 4 of fees, in the session
EUROS = [trade(11, 3, 50, instrument=EURO, fee="3"), trade(12, -3, 60, instrument=EURO, fee="1")]
OTHERS = [trade(21, 1, 100, strategy="other", fee="50"), trade(22, -1, 900, strategy="other")]

COUNTED = [
    ({}, 20 - 3 + 7),
    ({"fees": False}, 20 + 7),
    ({"income": False}, 20 - 3),
    ({"fees": False, "income": False}, 20),
]
counted = pytest.mark.parametrize(("some", "made"), COUNTED, ids=["all", "no fees", "no income", "gross"])


def book(*fills: Fill) -> Book:
    return Book("demo").with_fills(fills, account().sessions.session_of, lambda _p, _f: [], at(10**4))


def settings(**some: Any) -> StrategyExits:
    return StrategyExits.model_validate({"max_loss": "100", **some})


def valued(the_book: Book, prices: dict[str, str]) -> list[Valued]:
    """Return the open positions at their prices; what has none is unknown."""
    found = []
    for position in the_book.open_positions():
        text = prices.get(position.instrument.symbol)
        value = None if text is None else position.quantity * Decimal(text)
        mark = None if text is None else Decimal(text)
        found.append(Valued(position, mark, value, None if value is None else value - position.cost))
    return found


def base(fills: Iterable[Fill], **some: Any) -> Decimal | None:
    return first_base("default", settings(**some), book(*fills), BEGINS, RATES.get)


# --- one trade ---


def seen_by_exits(*fills: Fill) -> Held:
    """Return the only open trade as its exits see it."""
    [found] = [one for one in map(subject, book(*fills).open_trades()) if one]
    return found[0]


def test_the_entry_is_of_all_that_was_opened_and_closing_a_part_moves_no_level() -> None:
    """R4.1, R4.3: whichever lots the part takes; 5 at 100 and 5 at 106."""
    more = {"group_id": "G"}
    opened = [trade(0, 5, 100, **more), trade(1, 5, 106, **more)]
    for closed in ([], [trade(2, -3, 110, **more)], [trade(2, -3, 110, **more), trade(3, -5, 90, **more)]):
        assert seen_by_exits(*opened, *closed).entry == 103


def test_a_spread_s_entry_stays_when_a_part_of_it_is_closed() -> None:
    """R4.3: opened in two parts, at 1.50 and 1.80."""
    opened = [
        trade(n, units, price, instrument=contract, group_id="G")
        for n, (contract, units, price) in enumerate(
            [(PUT, -3, "3.00"), (LOWER, 3, "1.50"), (PUT, -1, "3.40"), (LOWER, 1, "1.60")]
        )
    ]
    part = [
        trade(5, 2, "9", instrument=PUT, group_id="G"),
        trade(6, -2, "0.1", instrument=LOWER, group_id="G"),
    ]
    whole, left = seen_by_exits(*opened), seen_by_exits(*opened, *part)
    assert (whole.entry, whole.quantity) == (Decimal("1.575"), 4)
    assert left == replace(whole, quantity=Decimal(2))


def test_a_group_that_comes_back_has_its_own_clock_units_and_entry() -> None:
    """R4.1, R4.3."""
    morning = [trade(0, 4, 100, group_id="G"), trade(60, -4, 120, group_id="G")]
    again = seen_by_exits(*morning, trade(3600, 9, 110, group_id="G"))
    assert (again.quantity, again.entry, again.opened_at) == (9, 110, at(3600))


def test_a_split_leaves_the_trade_as_it_was_in_other_units() -> None:
    """R1.5: of a spread when both legs have it."""
    legs = [
        trade(0, -3, "3.00", instrument=PUT, group_id="G"),
        trade(1, 3, "1.50", instrument=LOWER, group_id="G"),
    ]
    splits = [
        fill(f"S-{contract.strike}", "BUY", 2, 1, at(5), contract, kind="SPLIT") for contract in (PUT, LOWER)
    ]
    before, after = seen_by_exits(*legs), seen_by_exits(*legs, *splits)
    assert (after.shape, after.quantity, after.entry) == (before.shape, 6, Decimal("0.75"))
    assert {(new, old) for _, new, old in after.splits} == {(2, 1)}
    assert before.splits == ()


# --- the MTM ---


@counted
def test_the_mtm_counts_fees_and_income_as_the_settings_say(some: dict[str, Any], made: int) -> None:
    """R4.1."""
    the_book = book(*DOLLARS, *OTHERS)
    mtm = mtm_of("default", settings(**some), the_book, valued(the_book, {"SPY": "106"}), {}, RATES.get)
    assert (mtm.realised, mtm.unrealised, mtm.total) == (made, 30, made + 30)


def test_the_mtm_is_in_the_account_s_currency() -> None:
    """R1.5, R4.1: what was made and what is open, each at the rate of its own currency."""
    more = trade(13, 2, 60, instrument=EURO)
    the_book = book(*DOLLARS, *EUROS, more)
    positions = valued(the_book, {"SPY": "106", "SAP": "61"})
    mtm = mtm_of("default", settings(), the_book, positions, {}, RATES.get)
    assert mtm.realised == 24 + Decimal("1.5") * (30 - 4)
    assert mtm.unrealised == 30 + Decimal("1.5") * 2


def test_without_a_rate_or_a_price_the_mtm_is_unknown() -> None:
    """I7: never as if it were nothing."""
    the_book = book(*DOLLARS, *EUROS)
    positions = valued(the_book, {"SPY": "106"})
    only = {"USD": Decimal(1)}
    mtm = mtm_of("default", settings(), the_book, positions, {}, only.get)
    assert (mtm.realised, mtm.unrealised, mtm.total) == (None, 30, None)
    mtm = mtm_of("default", settings(), the_book, valued(the_book, {}), {}, RATES.get)
    assert (mtm.unrealised, mtm.total) == (None, None)


def test_the_mtm_is_as_old_as_its_oldest_price_and_only_of_its_own_positions() -> None:
    """R4.1, F32: where a price's time is not known, the last fill's counts."""
    other = trade(30, 1, 100, instrument=equity("QQQ"), strategy="other")
    the_book = book(*DOLLARS, trade(13, 2, 60, instrument=EURO), other)
    positions = valued(the_book, {"SPY": "106", "SAP": "61", "QQQ": "900"})
    seen = {"SPY": at(70), "SAP": at(50), "QQQ": at(10)}
    mtm = mtm_of("default", settings(), the_book, positions, seen, RATES.get)
    assert (mtm.oldest, mtm.newest, mtm.has_open) == (at(50), at(70), True)
    mtm = mtm_of("default", settings(), the_book, positions, {"SPY": at(70)}, RATES.get)
    assert (mtm.oldest, mtm.newest) == (at(13), at(70))
    closed = book(*EUROS)
    mtm = mtm_of("default", settings(), closed, [], {}, RATES.get)
    assert (mtm.unrealised, mtm.oldest, mtm.newest, mtm.has_open) == (0, None, None, False)


# --- what was made before the session ---


def before(*money: Fill) -> list[Fill]:
    """Return a round trip of yesterday: 10 made, 2 of fees, and what else came in while it was open."""
    begun = trade(101, 1, 100, instrument=equity("IWM"), executed_at=YESTERDAY, fee="1")
    ended = trade(
        102, -1, 110, instrument=equity("IWM"), executed_at=YESTERDAY + timedelta(minutes=9), fee="1"
    )
    return [begun, *money, ended]


@pytest.mark.parametrize(
    ("some", "made"),
    list(zip([some for some, _ in COUNTED], [10 - 2 + 5, 10 + 5, 10 - 2, 10], strict=True)),
    ids=["all", "no fees", "no income", "gross"],
)
def test_what_was_made_before_the_session_counts_as_the_settings_say(some: dict[str, Any], made: int) -> None:
    """R4.1: the session's own fees and income are no part of it."""
    paid = fill(
        "E-103",
        quantity=0,
        price=0,
        executed_at=YESTERDAY + timedelta(minutes=5),
        kind="DIVIDEND",
        fee="-5",
        instrument=equity("IWM"),
    )
    assert base([*before(paid), *DOLLARS, *OTHERS], **some) == made


def test_a_strategy_that_began_in_the_session_had_made_nothing_before() -> None:
    """R4.1."""
    assert base(DOLLARS) == 0
    assert base([]) == 0


def test_what_was_made_before_the_session_is_in_the_account_s_currency() -> None:
    """R1.5, R4.1; without a rate it is unknown."""
    begun = trade(104, 2, 50, instrument=EURO, executed_at=YESTERDAY)
    ended = trade(105, -2, 55, instrument=EURO, executed_at=YESTERDAY + timedelta(minutes=1), fee="4")
    fills = [*before(), begun, ended, *DOLLARS, *EUROS]
    assert base(fills) == 8 + Decimal("1.5") * (10 - 4)
    only = {"USD": Decimal(1)}
    assert first_base("default", settings(), book(*fills), BEGINS, only.get) is None


def test_what_the_session_paid_in_a_third_currency_was_not_lost_before_it() -> None:
    """R1.1, R4.1: a fee of 2 euro today, and 4 of dividends, are no part of where the strategy began."""
    paid = {"fee_currency": "EUR"}
    fills = [
        trade(11, 3, 50, fee="2", **paid),
        fill("E-12", quantity=0, price=0, executed_at=at(12), kind="DIVIDEND", fee="-6", **paid),
    ]
    assert base(fills) == base(fills, fees=False, income=False) == 0
    assert base(fills, fees=False) is None, "a trade knows both in one number"
    assert base([*before(), *fills]) == base(before())


@pytest.mark.parametrize("closed", [False, True])
def test_what_was_held_over_the_night_leaves_it_unknown(closed: bool) -> None:
    """R4.1: open still, or closed in the session; of another strategy it does not matter."""
    begun: dict[str, Any] = {"instrument": equity("IWM"), "executed_at": YESTERDAY}
    ended = [trade(107, -1, 110, instrument=equity("IWM"))] if closed else []
    assert base([trade(106, 1, 100, **begun), *ended, *DOLLARS]) is None
    assert base([trade(108, 1, 100, strategy="other", **begun), *DOLLARS]) == 0
