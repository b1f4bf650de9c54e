"""Trades: which legs belong together, what they are called, what they made and can lose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.recall import Recall
from stopline.ledger.structure import structure_of
from stopline.ledger.trade import Status, Trade
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument

from ..make import NOON, at, equity, fill, option
from .test_book import LATER, SESSION_OF, Log, booked, chopped
from .test_trade_leg import tagged_fills

EXPIRY = date(2026, 11, 18)
LATER_EXPIRY = date(2026, 12, 16)
Side = tuple[Instrument, int, str]


def opened(legs: Sequence[Side], base: float = 0, apart: float = 1, **more: Any) -> list[Fill]:
    """Return the fills that open legs, `apart` seconds after one another."""
    return [
        fill(
            f"{more.get('group_id', 'E')}-{int(base)}-{n}",
            "BUY" if units > 0 else "SELL",
            abs(units),
            price,
            at(base + n * apart),
            contract,
            **more,
        )
        for n, (contract, units, price) in enumerate(legs)
    ]


CONDOR: list[Side] = [
    (option(7185, "P"), -2, "4.10"),
    (option(7135, "P"), 2, "2.60"),
    (option(7500, "C"), -2, "3.00"),
    (option(7660, "C"), 2, "0.90"),
]
SHARES = equity("SPXW")


def only(fills: Sequence[Fill]) -> Trade:
    [trade] = booked([list(fills)]).trades()
    return trade


LEG_SETS: dict[str, list[Side]] = {
    "single": [(option(6000), 1, "3")],
    "put_credit_vertical": [(option(6000), -1, "3"), (option(5990), 1, "2")],
    "put_debit_vertical": [(option(6000), 1, "3"), (option(5990), -1, "2")],
    "call_credit_vertical": [(option(6000, "C"), -1, "3"), (option(6010, "C"), 1, "2")],
    "call_debit_vertical": [(option(6000, "C"), 1, "3"), (option(6010, "C"), -1, "2")],
    "iron_condor": CONDOR,
    "iron_butterfly": [
        (option(6000, "P"), -1, "9"),
        (option(6000, "C"), -1, "9"),
        (option(5950, "P"), 1, "2"),
        (option(6050, "C"), 1, "2"),
    ],
    "butterfly": [(option(5990), 1, "2"), (option(6000), -2, "3"), (option(6010), 1, "5")],
    "straddle": [(option(6000, "P"), -1, "9"), (option(6000, "C"), -1, "9")],
    "strangle": [(option(5900, "P"), 2, "4"), (option(6100, "C"), 2, "4")],
    "calendar": [(option(6000, "P"), -1, "9"), (option(6000, "P", LATER_EXPIRY), 1, "30")],
    "diagonal": [(option(6000, "P"), -1, "9"), (option(5990, "P", LATER_EXPIRY), 1, "27")],
    "covered_call": [(SHARES, 100, "6000"), (option(6100, "C"), -1, "4")],
}
CUSTOM: list[list[Side]] = [
    [(option(6000), -2, "3"), (option(5990), 1, "2")],  # a ratio
    [(option(6000), 1, "3"), (option(5990), 1, "2")],
    [(option(6000, "P"), -1, "9"), (option(6000, "C"), 1, "9")],
    [(option(5990), 1, "2"), (option(6000), -1, "3"), (option(6010), 1, "5")],
    [(SHARES, 50, "6000"), (option(6100, "C"), -1, "4")],
    [(SHARES, 100, "6000"), (option(6100, "P"), -1, "4")],
    [(option(6000 + n), (-1) ** n, "3") for n in range(5)],
    [(option(5900, "P"), 1, "4"), (option(6100, "C"), -1, "4")],  # a risk reversal
    [(option(5900, "P"), -1, "4"), (option(6100, "C"), -2, "4")],
    [(option(6000, "P"), -1, "9"), (option(5990, "P", LATER_EXPIRY), -1, "27")],
    [(option(6000, "P"), -1, "9"), (option(6000, "C", LATER_EXPIRY), 1, "27")],
    [(SHARES, -100, "6000"), (option(6100, "C"), 1, "4")],  # covered the other way round
    [(option(5990), 1, "2"), (option(6000), -2, "3"), (option(6010, "C"), 1, "5")],
    [  # the wings of a condor on the same side
        (option(5900, "P"), 1, "1"),
        (option(5950, "P"), -1, "2"),
        (option(6050, "C"), 1, "2"),
        (option(6100, "C"), -1, "1"),
    ],
]


@pytest.mark.parametrize("name", LEG_SETS)
@pytest.mark.parametrize("ids", [{"group_id": "G"}, {"order_id": "O"}, {}], ids=["group", "order", "matched"])
def test_a_leg_set_is_recognised(name: str, ids: dict[str, str]) -> None:
    """R1.2: by group id, by order id, and where the broker says neither."""
    trade = only(opened(LEG_SETS[name], **ids))
    assert trade.structure == name
    assert len(trade.legs) == len(LEG_SETS[name])


@pytest.mark.parametrize("legs", CUSTOM)
def test_any_other_leg_set_is_custom_in_a_group_and_single_legs_without_one(legs: list[Side]) -> None:
    """R1.2: what is no known spread is one trade only where the broker said so."""
    assert only(opened(legs, group_id="G")).structure == "custom"
    trades = booked([opened(legs, apart=0.5)]).trades()
    assert [trade.structure for trade in trades] == ["single"] * len(legs)


def test_legs_that_are_executed_too_far_apart_are_trades_of_their_own() -> None:
    """R1.2: six seconds are not a few."""
    legs = LEG_SETS["put_credit_vertical"]
    assert len(booked([opened(legs, apart=5)]).trades()) == 1
    assert len(booked([opened(legs, apart=6)]).trades()) == 2


def test_shares_bought_beside_a_condor_do_not_hide_it() -> None:
    """R1.2: the options are matched without them."""
    trades = booked([opened([*CONDOR, (SHARES, 7, "6000")], apart=0.5)]).trades()
    assert sorted(trade.structure for trade in trades) == ["iron_condor", "single"]


def test_orders_of_one_leg_each_are_matched_like_legs_without_an_order() -> None:
    """R1.2: Zerodha and Upstox have an order for each leg."""
    fills = [
        fill(f"E-{n}", "BUY" if units > 0 else "SELL", abs(units), price, at(n), leg, order_id=f"O-{n}")
        for n, (leg, units, price) in enumerate(CONDOR)
    ]
    assert only(fills).structure == "iron_condor"


def test_strategies_and_underlyings_are_kept_apart() -> None:
    """R1.1."""
    short, long = LEG_SETS["put_credit_vertical"]
    fills = opened([short], strategy="a") + opened([long], base=1, strategy="b")
    assert len(booked([fills]).trades()) == 2


def test_an_unequal_condor_binds_and_can_lose_its_wider_wing() -> None:
    """R1.2, domain 4b.4: 2x 7135/7185P 7500/7660C binds 32,000, not 10,000."""
    trade = only(opened(CONDOR, group_id="G", fee="1.30"))
    risk = trade.risk()
    assert (trade.quantity, trade.net_credit, trade.fees) == (2, 720, Decimal("5.2"))
    assert (risk.margin, risk.max_loss, risk.max_profit) == (32000, Decimal("31285.2"), Decimal("714.8"))
    assert risk.breakevens == (Decimal("7181.426"), Decimal("7503.574"))
    assert risk.return_on_risk == Decimal("0.022848")


def test_a_ten_wide_spread_of_fifty_can_lose_40000() -> None:
    """R1.2, domain 4b.5: credit 2.00, not 25,000."""
    legs: list[Side] = [(option(6000), -50, "4.50"), (option(5990), 50, "2.50")]
    risk = only(opened(legs, group_id="G")).risk()
    assert (risk.margin, risk.max_loss, risk.max_profit) == (50000, 40000, 10000)


def test_a_naked_call_has_no_bound_and_a_margin_only_with_the_price_of_the_underlying() -> None:
    trade = only(opened([(option(6100, "C"), -1, "4")]))
    risk = trade.risk()
    assert (risk.loss_unbounded, risk.max_loss, risk.margin) == (True, None, None)
    assert trade.risk(Decimal(6000)).margin == 100 * (4 + Decimal("0.15") * 6000 - 100)


def test_a_covered_call_can_lose_what_the_shares_cost_less_the_premium() -> None:
    risk = only(opened(LEG_SETS["covered_call"])).risk()
    assert (risk.max_loss, risk.max_profit, risk.breakevens) == (599600, 10400, (5996,))


def test_a_long_calendar_can_lose_its_debit_and_a_short_one_is_naked() -> None:
    """R1.2: what the later option is worth at the first expiry is not known, and not called profit."""
    legs = LEG_SETS["calendar"]
    risk = only(opened(legs)).risk()
    assert (risk.margin, risk.max_loss, risk.max_profit, risk.breakevens) == (0, 2100, None, ())
    calls: list[Side] = [(option(6000, "C"), 1, "9"), (option(6000, "C", LATER_EXPIRY), -1, "30")]
    short = only(opened(calls)).risk()
    assert (short.loss_unbounded, short.max_loss, short.margin) == (True, None, None)


def test_legs_that_settle_at_the_opening_and_at_the_close_are_no_vertical() -> None:
    """Issue 4.4, domain 2.2: settlement time is part of what nets; SPX of the third Friday ends before SPXW."""
    friday = date(2026, 11, 20)

    def put(strike: int, root: str) -> Instrument:
        return option(strike, expiry=friday, root=root).model_copy(update={"underlying": "SPXW"})

    legs: list[Side] = [(put(6000, "SPXW"), -1, "9"), (put(5990, "SPX"), 1, "7")]
    trade = only(opened(legs, group_id="G"))
    assert trade.structure == "diagonal"
    assert trade.risk().margin == 600000
    later: list[Side] = [(put(6000, "SPX"), -1, "9"), (put(5990, "SPXW"), 1, "7")]
    assert only(opened(later, group_id="G")).risk().margin == 1000, "the later leg outlives the short one"
    assert only(opened([(put(6000, "SPXW"), -1, "9"), (put(5990, "SPXW"), 1, "7")])).structure == (
        "put_credit_vertical"
    )


def test_what_a_future_can_lose_is_unknown() -> None:
    """Its price may fall below zero."""
    future = Instrument.model_validate({"symbol": "CLZ6", "kind": "future", "currency": "USD"})
    risk = only([fill(instrument=future)]).risk()
    assert (risk.margin, risk.max_loss, risk.max_profit, risk.return_on_risk) == (None, None, None, None)


def test_a_closed_trade_knows_its_prices_times_and_money() -> None:
    """R1.2 R7.1: entry and exit of every leg, realised, fees, time in trade."""
    enter = opened(CONDOR, group_id="G", apart=0)
    leave = opened(
        [(leg, -units, "1.05") for leg, units, _ in CONDOR], base=600, apart=0, order_id="O", fee="1"
    )
    trade = only([*enter, *leave])
    assert trade.status is Status.CLOSED
    assert (trade.entered_at, trade.exited_at, trade.time_in_trade(LATER)) == (
        at(0),
        at(600),
        timedelta(seconds=600),
    )
    assert [(leg.entry_price, leg.exit_price) for leg in trade.legs] == [
        (Decimal(price), Decimal("1.05")) for _, _, price in CONDOR
    ]
    assert (trade.realised, trade.fees, trade.net, trade.quantity) == (720, 4, 716, 2)
    assert trade.risk().max_loss == 31284


def test_a_stop_that_is_filled_far_below_its_price_loses_what_was_filled() -> None:
    """Domain case 6: long 10@100, stop 95, filled at 40: 600, not 50."""
    trade = only([fill("E-1", "BUY", 10, 100), fill("E-2", "SELL", 10, 40, at(9))])
    assert (trade.realised, trade.legs[0].exit_price) == (-600, 40)


def test_every_sale_of_a_short_seller_is_a_trade() -> None:
    """Domain case 7: sell, buy, sell, buy: two trades, no opening is dropped."""
    prices = [("SELL", "100.5"), ("BUY", "96"), ("SELL", "99"), ("BUY", "95.35")]
    fills = [fill(f"E-{n}", side, 10, price, at(n)) for n, (side, price) in enumerate(prices)]
    trades = booked([fills]).trades()
    assert [trade.realised for trade in trades] == [45, Decimal("36.5")]
    assert sum(trade.realised for trade in trades) == Decimal("81.5")


def test_a_fill_that_closes_two_trades_is_split_between_them() -> None:
    """R1.2: first in, first out over the trades that hold the instrument."""
    legs = LEG_SETS["put_credit_vertical"]
    fills = opened(legs, group_id="A") + opened(legs, base=60, group_id="B")
    back = fill("X", "BUY", 2, "1", at(120), legs[0][0], fee="2")
    one, two = booked([[*fills, back]]).trades()
    assert (one.realised, two.realised, one.fees, two.fees) == (200, 200, 1, 1)
    assert one.status is two.status is Status.OPEN


def test_a_closing_fill_with_a_group_closes_that_trade() -> None:
    """R1.2: the newer of two, although the account closes first in, first out."""
    leg = option(6000)
    fills = [
        fill("A", "SELL", 1, 3, at(0), leg, group_id="A"),
        fill("B", "SELL", 1, 5, at(1), leg, group_id="B"),
        fill("C", "BUY", 1, 1, at(2), leg, group_id="B"),
    ]
    one, two = booked([fills]).trades()
    assert (one.status, one.realised) == (Status.OPEN, 0)
    assert (two.status, two.realised) == (Status.CLOSED, 400)


def test_an_id_that_comes_back_joins_its_trade_within_a_day_and_begins_another_after_it() -> None:
    """R1.2: brokers use ids again."""
    leg = option(6000, expiry=LATER_EXPIRY)
    start = NOON - timedelta(days=3)

    def fills(gap: timedelta) -> list[Fill]:
        more = {"instrument": leg, "group_id": "G"}
        return [
            fill("A", "SELL", executed_at=start, **more),
            fill("B", "BUY", executed_at=start + timedelta(minutes=1), **more),
            fill("C", "SELL", executed_at=start + timedelta(minutes=1) + gap, **more),
        ]

    assert len(booked([fills(timedelta(days=1))]).trades()) == 1
    assert len(booked([fills(timedelta(days=1, seconds=1))]).trades()) == 2


def test_units_structure_and_opening_are_those_since_the_trade_was_last_flat() -> None:
    """R1.2, R4.1: a group that comes back the same day has not been open since the morning, nor with its sizes."""
    morning = opened(LEG_SETS["single"], group_id="G")
    morning = [f.model_copy(update={"quantity": Decimal(4)}) for f in morning]
    over = fill("X", "SELL", 4, 3, at(600), instrument=option(6000), group_id="G")
    noon = opened(LEG_SETS["put_credit_vertical"], base=3600, group_id="G", apart=0)
    noon = [f.model_copy(update={"quantity": Decimal(9), "fill_id": f"{f.fill_id}-noon"}) for f in noon]
    trade = only([*morning, over, *noon])
    assert len(trade.legs) == 3
    assert (trade.quantity, trade.structure.value, trade.opened_at) == (9, "put_credit_vertical", at(3600))
    assert trade.entered_at == morning[0].executed_at
    alone = only(noon)
    assert (trade.net_credit, trade.risk()) == (alone.net_credit, alone.risk())
    assert trade.risk().max_loss != only([*morning, over]).risk().max_loss
    closed = only([*morning, over])
    assert (closed.quantity, closed.opened_at) == (4, closed.entered_at)
    rolled = fill("R", "BUY", 9, 3, at(3700), instrument=option(6000), group_id="G")
    assert only([*morning, over, *noon, rolled]).opened_at == at(3600)  # its other leg is open


def test_the_id_of_a_group_s_trade_does_not_hang_on_which_leg_came_first() -> None:
    """R1.2: legs of one order arrive in any order; what watches the trade must not lose it."""
    fills = opened(CONDOR, group_id="G")
    book, log, ids = Book("demo"), Log(), set()
    for made in reversed(fills):
        book = book.with_fills([made], SESSION_OF, log, LATER)
        log.fills.append(made)
        ids |= {trade.trade_id for trade in book.trades()}
    assert len(ids) == 1
    assert log.asked == 0  # and no leg is late


@given(tagged_fills(), st.data())
def test_trades_do_not_depend_on_the_order_of_arrival(fills: list[Fill], data: st.DataObject) -> None:
    """R1.2 R8.6: ids, legs and numbers; every leg is of one trade."""
    order = data.draw(st.permutations(fills))
    book = booked(chopped(order, data.draw(st.lists(st.integers(1, 4), max_size=len(fills)))))
    trades = book.trades()
    assert trades == booked([fills]).trades()
    assert len({trade.trade_id for trade in trades}) == len(trades)
    assert sum(len(trade.legs) for trade in trades) == sum(len(legs) for legs in book.legs.values())


@given(tagged_fills(), st.data())
def test_a_duplicate_message_changes_no_trade(fills: list[Fill], data: st.DataObject) -> None:
    """R1.2: the recorder takes a fill once; within one message it may stand twice."""
    assert booked([[*fills, data.draw(st.sampled_from(fills))]]).trades() == booked([fills]).trades()


@given(tagged_fills())
def test_a_trade_that_was_closed_a_day_ago_leaves_the_book_and_an_open_one_stays(fills: list[Fill]) -> None:
    """Design 3: the book stays small."""
    book = booked([fills])
    later = book.pruned(LATER + timedelta(days=1))
    assert list(later.trades()) == book.open_trades()
    assert book.pruned(NOON + timedelta(hours=23)).trades() == book.trades()


def test_the_newest_closed_trades_crowd_out_the_oldest() -> None:
    """Design 3: of 700 round trips of one day the book keeps the last 300; open trades stay."""
    fills = [
        fill(f"E-{n}", "BUY" if n % 2 else "SELL", 1, 100 + n % 2, at(n - 3000), order_id=f"O-{n // 2}")
        for n in range(1400)
    ]
    held = fill("Z", "BUY", 1, 100, at(-4000), equity("QQQ"))
    book = booked([[held, *fills]])
    kept = book.pruned(LATER)
    assert list(kept.trades()) == [book.trades()[0], *book.trades()[-300:]]
    again = decode_book(encode_book(book)).pruned(LATER)
    assert again.trades() == kept.trades()
    assert kept.pruned(LATER) is kept


def test_a_bust_after_the_trade_has_left_the_book_brings_back_what_it_changes() -> None:
    """R8.6: the closed leg is open again."""
    enter, leave = fill("E-1", "SELL", 1, 5), fill("E-2", "BUY", 1, 1, at(60))
    log = Log()
    book = Book("demo").with_fills([enter, leave], SESSION_OF, log, LATER)
    log.fills = [enter, leave]
    late = NOON + timedelta(days=2)
    book = book.pruned(late)
    assert not book.trades()
    bust = fill("X", "BUY", 0, 0, late, kind="BUST", ref="E-2")
    find = {f.key: f for f in log.fills}.get
    [trade] = book.with_fills([bust], SESSION_OF, log, late, find).trades()
    assert (trade.status, trade.realised, trade.legs[0].quantity) == (Status.OPEN, 0, -1)


@st.composite
def days_of_trades(draw: st.DrawFn) -> list[tuple[int, list[Fill]]]:
    """Return what comes in on which day: a few ids that come back, in instruments that are often flat."""
    day, days = 0, []
    for number in range(draw(st.integers(1, 8))):
        day += draw(st.sampled_from([0, 1, 9]))
        fills = [
            fill(
                f"E-{number}-{k}",
                draw(st.sampled_from(["BUY", "SELL"])),
                1,
                draw(st.integers(1, 20)),
                NOON + timedelta(days=day, seconds=10 * number + k),
                draw(st.sampled_from([option(6000, expiry=LATER_EXPIRY), option(6100, expiry=LATER_EXPIRY)])),
                group_id=draw(st.sampled_from(["G", "G", None])),
            )
            for k in range(draw(st.integers(1, 2)))
        ]
        days.append((day, fills))
    return days


CALENDAR = opened([(option(7000), -1, "10"), (option(7000, expiry=LATER_EXPIRY), 1, "20")], group_id="G")
EXPIRED = fill("X", "BUY", 1, 0, NOON + timedelta(hours=4), option(7000), kind="EXPIRE")


@given(days_of_trades(), st.booleans())
@example([(0, CALENDAR), (1, [EXPIRED])], False)
def test_open_trades_are_those_of_a_book_that_forgets_nothing(
    days: list[tuple[int, list[Fill]]], whole: bool
) -> None:
    """I1, R1.1: through weeks of pruning, and after every one written and read again."""
    book, all_of_it, log = Book("demo"), Book("demo"), Log()
    for day, fills in days:
        now = LATER + timedelta(days=day)
        recall = Recall(lambda *_: list(log.fills))
        book = book.with_fills(fills, SESSION_OF, log, now, recall=recall).pruned(now)
        book = decode_book(encode_book(book), whole)
        all_of_it = all_of_it.with_fills(fills, SESSION_OF, log, now)
        log.fills += fills
        assert book.open_trades() == all_of_it.open_trades()
    again = decode_book(encode_book(book)).pruned(LATER + timedelta(days=days[-1][0] + 30))
    assert decode_book(encode_book(again), whole).open_trades() == all_of_it.open_trades()


@pytest.mark.parametrize("name", LEG_SETS)
def test_a_leg_set_of_parts_of_a_contract_has_the_name_of_a_whole_one(name: str) -> None:
    """R1.2: options on coins are traded in tenths."""
    whole = [(contract, Decimal(units)) for contract, units, _ in LEG_SETS[name]]
    assert structure_of([(contract, units / 8) for contract, units in whole]) == structure_of(whole) == name
