"""Levels: account > underlying > strategy > trade, each with its own figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from hypothesis import given

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.rules.limits.figures import Valued, add, exposure
from stopline.rules.limits.hierarchy import Level, Marks, hierarchy
from stopline.rules.limits.net_greeks import NetGreeks

from ..ledger.test_book import booked
from ..ledger.test_trade_leg import tagged_fills
from ..make import at, equity, fill, option

D = Decimal
SHORT, LONG = option(6000), option(5990)
FILLS = [
    fill("A-1", "SELL", 2, "3", at(0), SHORT, group_id="A", strategy="condors", fee="1"),
    fill("A-2", "BUY", 2, "2", at(0), LONG, group_id="A", strategy="condors", fee="1"),
    fill("B-1", "SELL", 1, "4", at(60), SHORT, group_id="B", strategy="condors"),
    fill("B-2", "BUY", 1, "2", at(60), LONG, group_id="B", strategy="condors"),
    fill("C-1", "BUY", 3, "2.5", at(90), LONG, strategy="hedges"),
    fill("S-1", "BUY", 100, "50", at(91), equity("SPY"), strategy="hedges"),
    fill("S-2", "SELL", 40, "51", at(92), equity("SPY"), strategy="hedges", fee="0.5"),
]
PRICES = {
    f"condors:{SHORT.symbol}": D("3.5"),
    f"condors:{LONG.symbol}": D("2.5"),
    f"hedges:{LONG.symbol}": D("2.5"),
    "hedges:SPY": D(52),
}
ONE = NetGreeks(*(D(3),) * 6)


def levels(book: Book, prices: Mapping[str, Decimal] = PRICES, **more: object) -> Level:
    marks = Marks(
        prices.get,
        dict.fromkeys(prices, ONE).get,
        lambda currency: D(1) if currency == "USD" else None,
        {"SPXW": D(6100)}.get,
    )
    return hierarchy("demo", book.trades(), marks._replace(**more))


def part(level: Level, *path: str) -> Level:
    for name in path:
        level = next(one for one in level.parts if one.name == name)
    return level


def test_every_level_has_its_own_figures() -> None:
    """R1.1: account > underlying > strategy > trade."""
    whole = levels(booked([FILLS]))
    assert [one.name for one in whole.parts] == ["SPXW", "SPY"]
    spx, condors = part(whole, "SPXW"), part(whole, "SPXW", "condors")
    assert [one.name for one in spx.parts] == ["condors", "hedges"]
    one, two = condors.parts
    assert (one.unrealised, one.fees, one.net) == (0, 2, -2)
    assert (two.unrealised, two.net) == (100, 100)
    assert (condors.net, condors.trades, condors.open_trades) == (98, 2, 2)
    shares = part(whole, "SPY", "hedges")
    assert (shares.realised, shares.unrealised, shares.fees, shares.net) == (40, 120, D("0.5"), D("159.5"))
    assert whole.net == D("257.5")


def test_margin_and_exposure_are_netted_at_each_level() -> None:
    """R1.1: the hedge of another strategy covers at the underlying, not at the strategy."""
    whole = levels(booked([FILLS]))
    assert [one.margin for one in part(whole, "SPXW", "condors").parts] == [2000, 1000]
    assert part(whole, "SPXW", "condors").margin == 3000
    assert part(whole, "SPXW", "hedges").margin == 0
    assert part(whole, "SPXW").margin == 3000  # 3 short 6000 against 6 long 5990: the gap is at 5990
    assert part(whole, "SPXW", "hedges").exposure == 750
    assert part(whole, "SPXW").exposure == 3350  # the gap, and 350 paid net for all legs
    assert (part(whole, "SPY").exposure, part(whole, "SPY").margin) == (3120, 0)
    assert (whole.exposure, whole.margin) == (6470, 3000)


def test_concentration_is_the_part_of_the_account_s_exposure() -> None:
    """R1.1."""
    whole = levels(booked([FILLS]))
    assert whole.concentration == 100
    assert part(whole, "SPY").concentration == D("48.2226")


def test_greeks_go_to_trades_by_their_part_of_the_position() -> None:
    """R2.10: 2 of 3 and 1 of 3 units of each leg."""
    whole = levels(booked([FILLS]))
    one, two = part(whole, "SPXW", "condors").parts
    assert (one.greeks.delta, two.greeks.delta) == (4, 2)
    assert part(whole, "SPXW", "condors").greeks.units == 6
    assert (whole.greeks.delta, whole.greeks.units) == (12, None)  # units of two underlyings are no sum


def test_a_missing_mark_is_unknown_at_its_levels_and_only_there() -> None:
    """R1.1: UNKNOWN spreads upwards."""
    prices = {key: price for key, price in PRICES.items() if key != f"hedges:{LONG.symbol}"}
    whole = levels(booked([FILLS]), prices)
    assert (whole.unrealised, whole.net, part(whole, "SPXW").net) == (None, None, None)
    assert part(whole, "SPXW", "condors").net == 98
    assert part(whole, "SPXW", "hedges").greeks.delta is None
    assert part(whole, "SPXW").margin == 3000  # of defined risk no price is needed


def test_a_missing_rate_is_unknown() -> None:
    """R1.5."""
    euro = fill("E-1", "BUY", 1, "50", at(0), equity("SAP", currency="EUR"))
    whole = levels(booked([[euro]]), {"default:SAP": D(51)})
    assert (part(whole, "SAP").unrealised, whole.exposure, whole.concentration) == (None, None, None)


def test_shares_cover_the_calls_on_them() -> None:
    """R1.1, domain 2.2: a covered call binds nothing more; the same call alone is naked."""
    call = option(55, "C", root="SPY")
    written = fill("C", "SELL", 1, "1", at(0), call)
    prices = {f"default:{call.symbol}": D(1), "default:SPY": D(52)}
    shares = fill("S", "BUY", 100, "50", at(0), equity("SPY"))
    spot = {"spot_of": {"SPY": D(52)}.get}
    assert levels(booked([[written, shares]]), prices, **spot).margin == 0
    assert levels(booked([[written]]), prices, **spot).margin == 100 * (1 + D("10.4") - 3)
    assert levels(booked([[written]]), prices, spot_of={}.get).margin is None


def test_an_account_without_trades_has_nothing_at_risk() -> None:
    whole = levels(Book("demo"))
    assert (whole.net, whole.margin, whole.exposure, whole.parts) == (0, 0, 0, ())


def test_a_later_expiry_covers_an_earlier_one_and_not_the_other_way_round() -> None:
    """Domain 2.2: a long calendar binds nothing more than its debit, a short one is naked: as in a trade."""
    near, far = (option(6000, expiry=day) for day in (date(2026, 11, 18), date(2026, 12, 16)))
    prices = {f"default:{near.symbol}": D(9), f"default:{far.symbol}": D(30)}
    for short, long, margin in ((near, far, D(0)), (far, near, 100 * (30 + D("0.15") * 6100 - 100))):
        book = booked([[fill("A", "SELL", 1, "9", at(0), short), fill("B", "BUY", 1, "30", at(0), long)]])
        assert levels(book, prices).margin == margin


def test_what_settles_at_the_close_is_not_covered_by_what_settles_at_the_opening() -> None:
    """Issue 4.4, domain 2.2: a long SPX put of the third Friday ends hours before the short SPXW one."""
    friday = date(2026, 11, 20)
    morning, evening = (
        option(6000, expiry=friday, root=root).model_copy(update={"underlying": "SPXW"})
        for root in ("SPX", "SPXW")
    )
    prices = {f"default:{morning.symbol}": D(9), f"default:{evening.symbol}": D(9)}
    naked = 100 * (9 + D("0.15") * 6100 - 100)
    for short, long, margin in ((morning, evening, 0), (evening, morning, naked)):
        book = booked([[fill("A", "SELL", 1, "9", at(0), short), fill("B", "BUY", 1, "9", at(0), long)]])
        assert levels(book, prices).margin == margin
    weekly = option(6000, expiry=date(2026, 11, 19), root="SPX").model_copy(update={"underlying": "SPXW"})
    same = option(5990, expiry=date(2026, 11, 19))
    prices = {f"default:{weekly.symbol}": D(9), f"default:{same.symbol}": D(7)}
    book = booked([[fill("A", "SELL", 1, "9", at(0), weekly), fill("B", "BUY", 1, "7", at(0), same)]])
    assert levels(book, prices).margin == 1000


@given(tagged_fills())
def test_what_the_trades_make_adds_up_at_every_level(fills: list[Fill]) -> None:
    """R1.1: P&L and fees are sums of the parts; exposure is the account's of its positions."""
    book = booked([fills])
    prices = {key: D(7) for key in book.positions}
    whole = levels(book, prices, rate=lambda _: D(1))

    def check(level: Level) -> None:
        if level.parts:
            assert add(one.net for one in level.parts) == level.net
            assert add(one.fees for one in level.parts) == level.fees
            assert sum(one.trades for one in level.parts) == level.trades
        for one in level.parts:
            check(one)

    check(whole)
    valued: dict[str, list[Valued]] = {}
    for position in book.open_positions():
        value = position.quantity * position.instrument.worth(D(7))
        valued.setdefault(position.instrument.underlying, []).append(
            Valued(position, D(7), value, value - position.cost)
        )
    if _same_lots(book):
        assert whole.exposure == add(exposure(some, lambda _: D(1)) for some in valued.values())


def _same_lots(book: Book) -> bool:
    """Tell whether trades closed the lots that the positions closed."""
    return all(sum(leg.cost for leg in book.legs[key]) == p.cost for key, p in book.positions.items())


def test_fees_and_payments_in_a_third_currency_count_at_every_level() -> None:
    """R1.1: a fee of 1 BNB and a dividend of 20 euro; without a rate the level, and what is above it, is UNKNOWN."""
    fills = [
        fill("C-1", "BUY", 1, "50", at(0), equity("SPY"), fee="1", fee_currency="BNB"),
        fill("C-2", "SELL", 0, "0", at(1), equity("SPY"), kind="DIVIDEND", fee="-20", fee_currency="EUR"),
        fill("D-1", "BUY", 1, "50", at(0), equity("QQQ"), fee="2"),
    ]
    prices = {"default:SPY": D(52), "default:QQQ": D(50)}
    rates = {"USD": D(1), "BNB": D(600), "EUR": D("1.2")}
    whole = levels(booked([fills]), prices, rate=rates.get)
    assert (whole.fees, whole.net) == (600 - 24 + 2, 2 - 578)
    (of_it,) = part(whole, "SPY", "default").parts
    assert (of_it.fees, of_it.net) == (576, 2 - 576)
    blind = levels(booked([fills]), prices)
    assert (blind.fees, blind.net, part(blind, "SPY", "default").net) == (None, None, None)
    assert part(blind, "QQQ").net == -2
