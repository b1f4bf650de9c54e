"""What a trade can lose: the legs that were open together, at the worst moment that lasted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stopline.ledger import cover
from stopline.ledger.cover import Move, Parts, covering, moved, moves
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.payoff import Leg, payoff
from stopline.ledger.trade import Trade
from stopline.ledger.trade_leg import MOST_STEPS
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.settings.risk import MarginRates
from stopline.rules.orders.open_risk import Valued, open_risks

from ..make import at, fill, option
from .test_book import booked

X, Y, Z = option(7000), option(6950), option(6990)
Deal = tuple[Instrument, int, str, float]
ENTRY: list[Deal] = [(X, -1, "10", 0), (Y, 1, "7", 0)]


def deals(told: Sequence[Deal]) -> list[Fill]:
    """Return fills of one group: instrument, signed units, price, second."""
    return [
        fill(f"E-{n:03}", "BUY" if units > 0 else "SELL", abs(units), price, at(when), what, group_id="G")
        for n, (what, units, price, when) in enumerate(told)
    ]


def only(told: Sequence[Deal]) -> Trade:
    """Return the trade of some fills, as it is read again out of its document."""
    book = booked([deals(told)])
    [trade] = decode_book(encode_book(book)).trades()
    assert trade == book.trades()[0]
    return trade


def loss(told: Sequence[Deal]) -> Decimal | None:
    return only(told).risk().max_loss


def test_adjusted_contracts_cover_to_the_last_unit() -> None:
    """Two calls of 100 are covered by one and a third of 150, which no decimal is: nothing stays naked by a rounding."""
    near, far = (Leg("C", Decimal(100), Decimal(q), Decimal(m)) for q, m in ((-2, 100), (2, 150)))
    parts: Parts = ((near,), (far,))
    for move in covering(parts):
        parts = moved(parts, move)
    assert payoff(parts[0]).slope >= 0
    assert sum(leg.quantity for part in parts for leg in part if leg.multiplier == 150) == 2


def plainly_covered(parts: Parts) -> list[Move]:
    """Return the moves of a search that knows nothing: after each one it tries all pairs of parts again."""
    made: list[Move] = []

    def stand(some: Parts) -> tuple[Decimal, Decimal]:
        shapes = [payoff(part) for part in some]
        return sum((min(s.slope, Decimal(0)) for s in shapes), Decimal(0)), sum(
            (s.worst for s in shapes), Decimal(0)
        )

    def helpful() -> Move | None:
        for early, late in combinations(range(len(parts)), 2):
            for move in moves(parts, early, late):
                if stand(moved(parts, move)) > stand(parts):
                    return move
        return None

    while (move := helpful()) is not None:
        parts = moved(parts, move)
        made.append(move)
    return made


def call(strike: int, units: int, multiplier: int = 100) -> Leg:
    return Leg("C", Decimal(strike), Decimal(units), Decimal(multiplier))


@settings(max_examples=60)
@example(
    [[call(90, -3)], [call(90, -3, 150), call(90, 2)], [call(95, 1, 150)]]
)  # the last one frees one of before
@given(
    st.lists(
        st.lists(
            st.builds(
                Leg,
                st.sampled_from("CP"),
                st.sampled_from([Decimal(90), Decimal(95), Decimal(110)]),
                st.sampled_from([Decimal(q) for q in (-3, -1, 1, 2)]),
                st.sampled_from([Decimal(100), Decimal(100), Decimal(150)]),
            ),
            min_size=1,
            max_size=4,
        ),
        min_size=2,
        max_size=4,
    )
)
def test_what_did_not_help_is_not_tried_again_and_nothing_is_missed(parts: list[list[Leg]]) -> None:
    """R1.2: the moves are those of a search that tries all of them again after each one."""
    book = tuple(tuple(part) for part in parts)
    assert list(covering(book)) == plainly_covered(book)


def test_a_large_book_is_covered_without_trying_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A move changes two parts: only pairs with one of these are looked at again. 40 expiries of 25 legs took 7 s."""
    looks: list[tuple[int, int]] = []

    def counted(parts: Parts, early: int, late: int) -> Iterator[Move]:
        looks.append((early, late))
        return moves(parts, early, late)

    monkeypatch.setattr(cover, "moves", counted)
    sold, bought = (
        tuple(Leg("C", Decimal(100 + strike), Decimal(q), Decimal(100)) for strike in range(3))
        for q in (-1, 1)
    )
    made = covering((*[sold] * 8, *[bought] * 8))
    assert len(made) == 24
    pairs = 16 * 15 // 2
    assert len(looks) <= pairs + len(made) * 2 * 16


@pytest.mark.parametrize(
    "roll",
    [
        [(X, 1, "12", 3600), (Z, -1, "11", 3601)],
        [(Z, -1, "11", 3600), (X, 1, "12", 3601)],
        [(X, 1, "12", 3600), (Z, -1, "11", 3600)],
        [(X, 1, "12", 3600), (Z, -1, "11", 7200)],
    ],
)
def test_a_roll_risks_what_its_legs_did_together_and_not_all_of_them_at_once(roll: list[Deal]) -> None:
    """R1.2: 50 wide for 3, then 40 wide for 4 with 200 lost: never 702,600."""
    trade = only([*ENTRY, *roll])
    risk = trade.risk()
    assert (risk.max_loss, risk.max_profit, risk.margin, risk.breakevens) == (4700, 300, 5000, (6997,))
    closed = only([*ENTRY, *roll, (Z, 1, "1", 9000), (Y, -1, "0", 9001)])
    assert closed.risk() == risk


def test_half_of_a_spread_may_be_rolled() -> None:
    half = [(X, -10, "10", 0), (Y, 10, "7", 0), (X, 5, "12", 3600), (Z, -5, "11", 3601)]
    assert loss(half) == 47_000
    assert loss([*half, (Y, -10, "1", 7200), (X, 5, "0", 7201), (Z, 5, "0", 7201)]) == 47_000


def test_what_was_lost_before_a_roll_is_part_of_what_the_trade_can_lose() -> None:
    """Of 30 lost on the first short leg and 50 - 4 wide that are left at risk."""
    assert loss([*ENTRY, (X, 1, "40", 3600), (X, -1, "11", 3700)]) == 5000 - 400 + 3000


def test_a_short_leg_that_is_left_naked_is_a_risk_once_it_lasts() -> None:
    kept = [*ENTRY, (Y, -1, "6", 3600)]
    assert loss(kept) == 700_000 - 1000 + 100, "it is the present"
    assert loss([*kept, (X, 1, "9", 3659)]) == 4700
    assert loss([*kept, (X, 1, "9", 3660)]) == 699_100


def test_legs_that_come_within_a_minute_are_one_entry_and_a_naked_hour_before_them_counts() -> None:
    short, long = ENTRY
    assert loss([short]) == 699_000
    assert loss([short, (*long[:3], 59)]) == 4700
    assert loss([short, (*long[:3], 60)]) == 699_000
    more = [*ENTRY, (X, -1, "10", 3600), (Y, 1, "7", 3610)]
    assert loss(more) == 9400


def test_a_trade_of_some_seconds_or_of_one_instant_has_a_risk_too() -> None:
    leave: list[Deal] = [(X, 1, "9", 20), (Y, -1, "6", 20)]
    assert loss([*ENTRY, *leave]) == 4700
    assert loss([(X, -1, "10", 0), (X, 1, "9", 0)]) == 699_000


def test_a_book_of_an_older_version_counts_a_leg_at_its_largest_until_it_was_closed() -> None:
    """It knows no steps."""
    state = orjson.loads(encode_book(booked([deals([*ENTRY, (X, -1, "8", 60), (X, 2, "12", 3600)])])))
    for legs in state["legs"].values():
        for item in legs:
            item.pop("steps", None)
    [trade] = decode_book(orjson.dumps(state).decode()).trades()
    assert trade.risk().max_loss == 2 * 700_000 - 695_000 - 1800 + 700


def test_a_leg_of_many_changes_is_never_thought_smaller_than_it_was() -> None:
    many = [(X, -1 if n % 3 else 2, "5", 60.0 * n) for n in range(1, 4 * MOST_STEPS)]
    assert (loss([(X, -100, "5", 0), *many]) or 0) >= 100 * 699_500
    [leg] = only([(X, -100, "5", 0), *many]).legs
    assert len(leg.steps) == MOST_STEPS


# --- an independent account of the same ---


def worst_by_hand(told: Sequence[Deal]) -> Fraction:
    """Return the most that could be lost, moment by moment, first in first out, in fractions."""
    lots: dict[Instrument, list[tuple[int, Fraction]]] = {}
    made, moments = Fraction(0), []
    for when in sorted({deal[3] for deal in told}):
        for what, units, price, _ in (deal for deal in told if deal[3] == when):
            queue, left = lots.setdefault(what, []), units
            while left and queue and (queue[0][0] > 0) != (left > 0):
                size, paid = queue.pop(0)
                closed = size if abs(size) <= abs(left) else -left
                made += 100 * closed * (Fraction(price) - paid)
                left += closed
                if size != closed:
                    queue.insert(0, (size - closed, paid))
            if left:
                if not any(lots.values()):
                    made, moments = Fraction(0), []  # what counts is since it was last flat, or turned round
                queue.append((left, Fraction(price)))
        now = {what: sum(size for size, _ in some) for what, some in lots.items()}
        value = min(
            sum(
                size * (max(int(what.strike or 0) - price, 0) - paid)
                for what, some in lots.items()
                for size, paid in some
            )
            for price in (0, *(int(what.strike or 0) for what in lots))
        )
        moments.append((when, now, -(100 * value + made)))
    ends = [moment[0] for moment in moments[1:]]
    kept = [moment for moment, end in zip(moments, ends, strict=False) if end - moment[0] >= 60] + moments[
        -1:
    ]
    found = [moment[2] for moment in kept if any(moment[1].values())]
    if not found:
        tops = [(b[0] - a[0], -n, a[2]) for n, (a, b) in enumerate(pairwise(moments)) if shrank(a[1], b[1])]
        found = [max(tops)[2]]
    return max(*found, Fraction(0))


def shrank(before: dict[Instrument, int], after: dict[Instrument, int]) -> bool:
    """Tell whether a leg became smaller, or turned round."""
    return any(abs(after[what]) < abs(units) or after[what] * units < 0 for what, units in before.items())


@st.composite
def stories(draw: st.DrawFn) -> list[Deal]:
    """Draw puts that are bought and sold."""
    told: list[Deal] = [(Y, 9, "7", 0)]
    when = 0
    for _ in range(draw(st.integers(1, 7))):
        when += draw(st.sampled_from([1, 30, 60, 4000]))
        units = draw(st.integers(-3, 3).filter(bool))
        told.append((draw(st.sampled_from([X, Y, Z])), units, str(draw(st.integers(1, 20))), when))
    return told


@settings(max_examples=100)
@example([(Y, 9, "7", 0), (Y, -1, "1", 1), (Y, -3, "1", 2), (Y, -3, "1", 3), (Y, -3, "1", 4)])
@given(stories())
def test_the_max_loss_is_that_of_the_worst_moment(told: list[Deal]) -> None:
    """R1.2: beside a moment by moment account in fractions."""
    by_hand = worst_by_hand(told)
    found = [trade.risk().max_loss for trade in booked([deals(told)]).trades()]
    assert None not in found
    if len(found) == 1:
        assert abs(Fraction(found[0] or 0) - by_hand) < Fraction(1, 10**6)


# --- two expiries ---

FIRST, SECOND = date(2026, 11, 18), date(2026, 12, 16)
Legs = list[tuple[Instrument, int]]


def two_prices(legs: Legs, prices: Sequence[int]) -> int:
    """Return the most that legs lose, before premiums, over the price at the first expiry and the one at the second: what is
    bought for later brings what it brings at either, what is sold for later costs what it costs at the second.
    """

    def pays(what: Instrument, price: int) -> int:
        strike = int(what.strike or 0)
        return 100 * max(price - strike if what.right == "C" else strike - price, 0)

    def total(first: int, second: int) -> int:
        return sum(
            units
            * (
                pays(what, first)
                if what.expiry == FIRST
                else max(pays(what, first), pays(what, second))
                if units > 0
                else pays(what, second)
            )
            for what, units in legs
        )

    return -min(total(first, second) for first in prices for second in prices)


def free(legs: Legs) -> list[Deal]:
    return [(what, units, "0", 0) for what, units in legs]


NEAR_AND_FAR: Legs = [
    (option(100, "P", FIRST), -1),
    (option(90, "P", FIRST), 1),
    (option(110, "C", SECOND), -1),
    (option(120, "C", SECOND), 1),
]


def test_spreads_of_two_expiries_can_both_lose_and_the_account_says_the_same() -> None:
    """R1.2: the price may be 80 at the first expiry and 130 at the second."""
    trade = only(free(NEAR_AND_FAR))
    assert two_prices(NEAR_AND_FAR, range(70, 140, 5)) == 2000
    assert (trade.risk().max_loss, trade.risk().margin) == (2000, 2000)
    held = [
        Valued(p, Decimal(0), Decimal(0), Decimal(0))
        for p in booked([deals(free(NEAR_AND_FAR))]).positions.values()
    ]
    [account] = open_risks(held, lambda _: Decimal(1), MarginRates(), {}).values()
    assert (account.max_loss, account.margin) == (2000, 2000)


@pytest.mark.parametrize(
    ("legs", "most"),
    [
        ([(option(100, "P", FIRST), -1), (option(100, "P", SECOND), 1)], 0),
        ([(option(100, "C", FIRST), -1), (option(95, "C", SECOND), 1)], 0),
        ([(option(100, "P", FIRST), -1), (option(90, "P", SECOND), 1)], 1000),
        ([(option(k, r, FIRST), -1) for k, r in ((90, "P"), (110, "C"))]
         + [(option(k, r, SECOND), 1) for k, r in ((90, "P"), (110, "C"))], 0),
        ([(option(90, "P", FIRST), -1), (option(100, "P", SECOND), 1), (option(90, "P", SECOND), 1),
          (option(100, "P", SECOND), -1)], 0),
        ([(option(100, "P", FIRST), -1), (option(100, "P", SECOND), 2), (option(110, "P", SECOND), -1)], 1000),
        ([(option(100, "P", FIRST), 1), (option(100, "P", SECOND), -1)], 10_000),
        ([(option(100, "C", FIRST), 1), (option(100, "C", SECOND), -1)], None),
        ([(option(100, "C", FIRST), -1), (option(100, "C", SECOND), 1), (option(110, "C", SECOND), -1)], None),
    ],
)  # fmt: skip
def test_a_later_option_covers_a_short_one_of_the_same_right_once(legs: Legs, most: int | None) -> None:
    """R1.2: what covers one that ends first does not cover one that ends with it."""
    assert loss(free(legs)) == most


STRIKES = [90, 95, 100, 110]


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([option(k, r, e) for k in STRIKES for r in "CP" for e in (FIRST, SECOND)]),
            st.sampled_from([-2, -1, 1, 2]),
        ),
        min_size=2,
        max_size=6,
        unique_by=lambda leg: leg[0].symbol,
    )
)
def test_no_two_prices_lose_more_than_the_max_loss(legs: Legs) -> None:
    """R1.2: beside all pairs of prices, those far outside the strikes too."""
    risk = only(free(legs)).risk()
    worst = two_prices(legs, [0, *STRIKES, 100_000])
    assert risk.loss_unbounded or (risk.max_loss or 0) >= worst
    assert risk.loss_unbounded == (risk.max_loss is None)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([option(k, r, e, "SPY") for k in STRIKES for r in "CP" for e in (FIRST, SECOND)]),
            st.sampled_from([-2, -1, 1, 2]),
        ),
        min_size=2,
        max_size=6,
        unique_by=lambda leg: leg[0].symbol,
    )
)
def test_an_account_that_holds_one_trade_is_at_the_same_risk_as_the_trade(legs: Legs) -> None:
    """R1.2, R2.1: one rule of what covers what, whoever asks."""
    book, spot = booked([deals(free(legs))]), Decimal(100)
    [trade] = book.trades()
    held = [Valued(p, Decimal(0), Decimal(0), Decimal(0)) for p in book.positions.values()]
    [account] = open_risks(held, lambda _: Decimal(1), MarginRates(), {"SPY": spot}).values()
    risk = trade.risk(spot)
    assert account.margin == risk.margin
    assert risk.loss_unbounded or account.max_loss == risk.max_loss
