"""The reduction plan: what frees most for its cost goes first, whole spreads only, and no more than the target needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.prices import Quote
from stopline.rules.reduction.plan import Measure, ReductionPlan, plan_reduction

from ..make import account, at, option, trade

SESSION_OF = account().sessions.session_of
PUT_6000, PUT_5990, PUT_5900 = (option(strike).symbol for strike in (6000, 5990, 5900))
QUOTES = {
    PUT_6000: Quote(10, 9.9, 10.1),
    PUT_5990: Quote(8, 7.9, 8.1),
    PUT_5900: Quote(2, 1.9, 2.1),
    "SPY": Quote(100, 99.99, 100.01),
}


def spread(number: int, units: int, short: int = 6000, long: int = 5990) -> list[Fill]:
    """Return a put credit spread of its own group."""
    group = f"G-{number}"
    return [
        trade(number, -units, 10, instrument=option(short), group_id=group),
        trade(number + 1, units, 8, instrument=option(long), group_id=group),
    ]


def plan(
    fills: Sequence[Fill],
    target: int | str,
    measure: Measure = Measure.MARGIN,
    quotes: dict[str, Quote] = QUOTES,
) -> ReductionPlan:
    book = Book("demo").with_fills(fills, SESSION_OF, lambda _p, _f: [], at(10**6))
    return plan_reduction(book.open_trades(), quotes, lambda _: Decimal(1), measure, Decimal(target))


def test_a_spread_binds_its_width_and_goes_down_to_what_the_target_allows() -> None:
    """R5.1, issue 7.4: ten 10-point spreads bind 10,000; for 4,500 six of them have to go, short legs first."""
    found = plan(spread(1, 10), 4500)
    [step] = found.steps
    assert (found.before, found.after, found.reached) == (10_000, 4000, True)
    assert (step.held, step.leave, step.freed) == (10, 4, 6000)
    assert [(leg.symbol, leg.side, leg.quantity) for leg in step.legs] == [
        (PUT_6000, "BUY", 6),
        (PUT_5990, "SELL", 6),
    ]
    assert step.cost == Decimal("0.1") * 100 * 6 * 2  # half of each 0.20 spread, both legs


def test_a_naked_index_call_binds_what_the_margin_limit_says_it_does() -> None:
    """R2.1, issue 7.4: 15 % of an index, not the 20 % of a share."""
    call = option(6100, "C")
    quotes = QUOTES | {call.symbol: Quote(4, 3.9, 4.1), "SPXW": Quote(6000, 5999, 6001)}
    assert plan([trade(1, -1, "5", instrument=call)], 0, quotes=quotes).before == 100 * (4 + 900 - 100)


def test_what_settles_at_the_opening_covers_nothing_that_settles_at_the_close() -> None:
    """Domain 2.2: SPX of the third Friday against SPXW of that day."""
    friday = date(2026, 11, 20)
    short = option(6000, expiry=friday)
    long = option(5990, expiry=friday, root="SPX").model_copy(update={"underlying": "SPXW"})
    quotes = {short.symbol: Quote(10, 9.9, 10.1), long.symbol: Quote(8, 7.9, 8.1)}
    fills = [trade(1, -1, 10, instrument=short), trade(2, 1, 8, instrument=long)]
    assert plan(fills, 0, Measure.EXPOSURE, quotes).before == 600_000


def test_calendars_bind_nothing_and_stay_where_limits_count_them_so() -> None:
    """Issue 7.4: a plan counts as the limits do, with the later option that covers the earlier one."""
    early, late = (option(6100, "C", date(2026, month, 18)) for month in (11, 12))
    quotes = QUOTES | {early.symbol: Quote(5, 4.9, 5.1), late.symbol: Quote(9, 8.9, 9.1)}
    quotes |= {"SPXW": Quote(6000, 5999, 6001)}
    calendar = [
        trade(101, -10, 5, instrument=early, group_id="C"),
        trade(102, 10, 9, instrument=late, group_id="C"),
    ]
    found = plan([*calendar, *spread(1, 10)], 9000, quotes=quotes)
    assert (found.before, found.after, found.reached) == (10_000, 9000, True)
    [step] = found.steps
    assert (step.held, step.leave) == (10, 9)


def test_what_frees_most_for_its_cost_goes_first() -> None:
    """The wide spread frees ten times as much for the same crossing."""
    found = plan([*spread(1, 1), *spread(11, 1, 6000, 5900)], 2000)
    assert [step.freed for step in found.steps] == [10_000]
    assert (found.before, found.after) == (11_000, 1000)


def test_a_target_that_holds_needs_nothing() -> None:
    assert plan(spread(1, 10), 10_000).steps == ()


def test_zero_closes_everything() -> None:
    found = plan([*spread(1, 3), trade(31, 50, 100)], 0)
    assert (found.after, found.reached, len(found.steps)) == (0, True, 2)


def condor(*sides: int) -> list[Fill]:
    """Return put spreads and call spreads of 10 points, each a trade of so many units: puts, calls, puts, ..."""
    fills: list[Fill] = []
    for at_, units in enumerate(sides):
        right, short, long = ("P", 6000, 5990) if at_ % 2 == 0 else ("C", 6100, 6110)
        number, group = 2 * at_ + 1, f"G-{at_}"
        fills += [
            trade(number, -units, 10, instrument=option(short, right), group_id=group),
            trade(number + 1, units, 8, instrument=option(long, right), group_id=group),
        ]
    return fills


CONDOR = QUOTES | {
    option(6100, "C").symbol: Quote(10, 9.9, 10.1),
    option(6110, "C").symbol: Quote(8, 7.9, 8.1),
}


@pytest.mark.parametrize("measure", [Measure.MARGIN, Measure.EXPOSURE])
@pytest.mark.parametrize("sides", [(5, 5), (5, 2, 1, 4), (3, 5, 2)])
def test_a_condor_of_several_trades_comes_down_though_no_trade_alone_frees_anything(
    sides: tuple[int, ...], measure: Measure
) -> None:
    """R5.1, issue 7.4: the wider side binds, so both have to come down; a breaker that reduces must not close nothing."""
    binds = 1000 * max(sum(sides[::2]), sum(sides[1::2]))
    for target in (0, 2000):
        found = plan(condor(*sides), target, measure, CONDOR)
        assert (found.before, found.after, found.reached) == (binds, target, True)
        assert sum(step.freed for step in found.steps) == binds - target
        if sides == (5, 5):
            assert [step.leave for step in found.steps] == [target / 1000] * 2


THREE = [
    [(5900, "P", -1), (5890, "P", 1)],  # loses 1,000 a unit below
    [(5990, "C", -1), (6000, "C", 2), (6010, "C", -1)],  # at 6,000
    [(6100, "C", -1), (6110, "C", 1)],  # and above
]


@pytest.mark.parametrize(("target", "leave"), [(0, 0), (1000, 1), (2500, 2)])
def test_three_trades_that_bind_only_together_come_down_together(target: int, leave: int) -> None:
    """Issue 7.4: each loses somewhere else, so closing any two of them frees nothing; a fourth, of little, stays."""
    legs = [(n, *leg) for n, some in enumerate(THREE) for leg in some]
    few = [(3, 5949, "C", -1), (3, 5950, "C", 2), (3, 5951, "C", -1)]
    fills = [
        trade(at_, 3 * units if n < 3 else units, 5, instrument=option(strike, right), group_id=f"G-{n}")
        for at_, (n, strike, right, units) in enumerate([*legs, *few])
    ]
    quotes = {fill.instrument.symbol: Quote(5, 4.9, 5.1) for fill in fills}
    found = plan(fills, target + 100, Measure.EXPOSURE, quotes)
    assert found.before is not None
    assert (found.reached, [step.leave for step in found.steps]) == (True, [leave] * 3)
    assert sum(step.freed for step in found.steps) == found.before - (found.after or 0)


def test_a_trade_without_a_price_is_named_and_the_target_is_not_called_reached() -> None:
    """I7: what cannot be valued is unknown, not small."""
    quotes = {symbol: quote for symbol, quote in QUOTES.items() if symbol != "SPY"}
    found = plan([*spread(1, 3), trade(31, 50, 100)], 0, quotes=quotes)
    assert [reason for _, reason in found.left_out] == ["no price of SPY"]
    assert (found.before, found.after, found.reached) == (None, None, False)
    assert len(found.steps) == 1


def test_one_missing_price_does_not_close_everything_else() -> None:
    """Domain 2.4: what is known is within the target, so nothing is closed for what is not known."""
    quotes = {symbol: quote for symbol, quote in QUOTES.items() if symbol != "SPY"}
    found = plan([*spread(1, 3), trade(31, 50, 100)], 3000, quotes=quotes)
    assert (found.steps, found.reached) == ((), False)


def test_heat_is_what_can_still_be_lost_from_the_marks() -> None:
    """A 10-point spread that is worth 2 points can lose 8 more."""
    assert plan(spread(1, 10), 0, Measure.HEAT).before == 8000
    assert plan([trade(1, -5, 100)], 0, Measure.HEAT).before is None


def test_exposure_nets_what_is_linear_and_counts_a_spread_once() -> None:
    found = plan(
        [*spread(1, 2), trade(31, 50, 100), trade(32, -20, 100, strategy="other")], 0, Measure.EXPOSURE
    )
    assert found.before == 2000 + 3000


@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([5990, 5900])), min_size=1, max_size=6),
    target=st.integers(0, 80_000),
    measure=st.sampled_from(list(Measure)),
)
def test_a_plan_does_what_it_says_and_no_more(
    sizes: list[tuple[int, int]], target: int, measure: Measure
) -> None:
    """Carrying the plan out leaves the measure that it promises; one unit less would miss the target."""
    fills = [f for n, (units, long) in enumerate(sizes) for f in spread(n * 10 + 1, units, 6000, long)]
    found = plan(fills, target, measure)
    assert found.reached
    assert found.before is not None
    assert found.after is not None
    assert found.before - sum(step.freed for step in found.steps) == found.after <= max(target, 0)
    done = [
        trade(
            900 + n * 10 + k,
            leg.quantity if leg.side == "BUY" else -leg.quantity,
            5,
            instrument=option(6000 if leg.symbol == PUT_6000 else 5990 if leg.symbol == PUT_5990 else 5900),
        )
        for n, step in enumerate(found.steps)
        for k, leg in enumerate(step.legs)
    ]
    assert plan([*fills, *done], 10**9, measure).before == found.after
    if found.steps:
        assert sum(step.freed for step in found.steps[:-1]) < found.before - target


def test_a_spread_that_has_lost_a_part_of_a_leg_is_closed_as_a_whole() -> None:
    """Issue 7.4: an orphan leg is what an emergency is about; it is not left for later."""
    sold = trade(9, -4, 8, instrument=option(5990), group_id="G-1")
    found = plan([*spread(1, 10), sold], 0)
    [step] = found.steps
    assert (step.held, step.leave, found.reached, found.left_out) == (1, 0, True, ())
    assert [(leg.side, leg.quantity) for leg in step.legs] == [("BUY", 10), ("SELL", 6)]
