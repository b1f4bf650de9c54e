"""Comparing a book with statements: what kind of break it is, and when there is none to speak of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.fill import Fill
from stopline.model.messages import Severity
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.rules.watching.break_alerts import break_alert
from stopline.rules.watching.breaks import Break, Stage, Step, Turn, blocked, take_pass
from stopline.rules.watching.compare import compare
from stopline.rules.watching.finding import BreakKind, Finding, words

from ..make import NOON, account, at, equity, option, trade

QUIET = timedelta(seconds=30)
PUT = option()


def book_of(*fills: Fill) -> Book:
    return Book("demo").with_fills(fills, account().sessions.session_of, lambda *_: (), NOON)


def statement(*held: dict[str, Any], broker: str = "paper", **more: Any) -> Statement:
    facts = {"statement_id": "S-1", "broker": broker, "account": "demo", "as_of": utc_text(NOON)}
    return Statement.model_validate({**facts, "positions": held, **more})


def holding(quantity: str, symbol: str = "SPY", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "quantity": quantity, **more}


def found(book: Book, *told: Statement, of: Account | None = None, after: float = 60) -> dict[str, Finding]:
    statements = {s.broker: s for s in told}
    return {f.symbol: f for f in compare(of or account(), book, statements, at(after))}


LONG = book_of(trade(-600, 90, 100))
KINDS = {
    "the broker has none": ([], BreakKind.MISSING_AT_BROKER),
    "a quantity of 0 is none": ([holding("0")], BreakKind.MISSING_AT_BROKER),
    "more": ([holding("100")], BreakKind.QUANTITY),
    "the other side": ([holding("-90")], BreakKind.SIGN),
    "two for one at half the price": ([holding("180", average_price="50")], BreakKind.CORPORATE_ACTION),
    "one for ten": ([holding("9", average_price="1000")], BreakKind.CORPORATE_ACTION),
    "three for two": ([holding("135", average_price="66.67")], BreakKind.CORPORATE_ACTION),
    "twice as many at the same price": ([holding("180", average_price="100")], BreakKind.QUANTITY),
    "twice as many at a price not told": ([holding("180")], BreakKind.QUANTITY),
    "another currency": ([holding("90", currency="EUR")], BreakKind.UNKNOWN_INSTRUMENT),
    "another size": ([holding("90", multiplier="100")], BreakKind.CORPORATE_ACTION),
    "another price": ([holding("90", average_price="101.01")], BreakKind.COST),
    "the price within a percent": ([holding("90", average_price="101")], None),
    "the same": ([holding("90", currency="USD", multiplier="1")], None),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_break_has_its_kind(case: str) -> None:
    """R1.8, domain 2.8."""
    held, kind = KINDS[case]
    assert found(LONG, statement(*held))["SPY"].kind is kind


def test_what_only_the_broker_has_is_missing_here() -> None:
    """An assignment comes in the morning as a position without an event."""
    read = found(LONG, statement(holding("90"), holding("-1", "QQQ")))
    assert read["QQQ"].kind is BreakKind.MISSING_HERE
    assert words(read["QQQ"]) == "the broker holds -1, we none"


def test_strategies_are_added_up() -> None:
    both = book_of(
        trade(-600, 90, 100), trade(-500, -40, 100, strategy="short"), trade(-400, 10, 100, strategy="third")
    )
    assert found(both, statement(holding("60")))["SPY"].kind is None


def test_brokers_are_added_up_and_all_of_them_are_needed() -> None:
    """R1.5: what one of two brokers does not tell is not flat."""
    both = account(brokers=["paper", "other"])
    one, two = statement(holding("50")), statement(holding("40"), broker="other")
    assert found(LONG, one, of=both)["SPY"].waits == "no statement of broker other"
    assert found(LONG, one, two, of=both)["SPY"].kind is None


def test_without_a_statement_there_is_nothing_to_say() -> None:
    assert compare(account(), LONG, {}, NOON) == []


def test_a_line_that_cannot_be_read_is_a_break_and_calls_nothing_flat() -> None:
    read = found(LONG, statement(unread=["bond X"]))
    assert read["bond X"].kind is BreakKind.UNKNOWN_INSTRUMENT
    assert (read["SPY"].kind, read["SPY"].waits) == (None, "the statement of broker paper does not tell all")


def test_a_partial_statement_is_compared_in_what_it_tells() -> None:
    told = statement(holding("100"), complete=False, problem="page 2 of 3 failed")
    read = found(book_of(trade(-600, 90, 100), trade(-601, 1, 5, instrument=PUT)), told)
    assert read["SPY"].kind is BreakKind.QUANTITY
    assert read[PUT.symbol].kind is None
    assert read[PUT.symbol].waits


@pytest.mark.parametrize(
    ("fill_at", "looked_at", "waits"),
    [
        (-31, 31, ""),
        (-29, 60, "a fill is as new as the statement of broker paper"),
        (5, 60, "a fill is as new as the statement of broker paper"),
        (-600, 29, "fills may be on their way"),
    ],
)
def test_an_instrument_is_compared_when_it_is_quiet(fill_at: float, looked_at: float, waits: str) -> None:
    """Domain 2.8: a quiet period longer than the broker's latency, on both sides of the statement."""
    book = book_of(trade(1, 90, 100, executed_at=at(fill_at)))
    read = found(book, statement(holding("80")), after=looked_at)["SPY"]
    assert read.waits == waits
    assert read.kind is (None if waits else BreakKind.QUANTITY)
    same = found(book, statement(holding("90")), after=looked_at)["SPY"]
    assert (same.kind, same.waits) == (None, ""), "that both agree needs no quiet"


def test_a_fill_elsewhere_does_not_hold_up_an_instrument() -> None:
    busy = book_of(trade(-600, 90, 100), trade(-1, 5, 50, instrument=equity("QQQ")))
    read = found(busy, statement(holding("80"), holding("4", "QQQ")))
    assert read["SPY"].kind is BreakKind.QUANTITY
    assert read["QQQ"].waits


@pytest.mark.parametrize("price", ["1.5", "90", None])
def test_costs_are_compared_only_where_the_account_wants_it(price: str | None) -> None:
    off = account(reconcile={"cost_tolerance_pct": None})
    told = statement(holding("90", average_price=price))
    assert found(LONG, told, of=off)["SPY"].kind is None


def test_the_price_of_an_option_is_that_of_one_unit() -> None:
    sold = book_of(trade(-600, -2, "1.25", instrument=PUT))
    read = found(sold, statement(holding("-2", PUT.symbol, average_price="1.25")))[PUT.symbol]
    assert (read.kind, read.our_price) == (None, Decimal("1.25"))


# --- passes ------------------------------------------------------------------------------------------------------

OUTCOMES = st.sampled_from([None, BreakKind.QUANTITY, BreakKind.SIGN, "waits"])


def finding(outcome: BreakKind | str | None, ours: int = 90) -> Finding:
    if outcome == "waits":
        return Finding("SPY", waits="fills may be on their way")
    theirs = {None: ours, BreakKind.QUANTITY: ours + 10, BreakKind.SIGN: -ours}[outcome]  # type: ignore[index]
    return Finding("SPY", outcome, Decimal(ours), Decimal(theirs))  # type: ignore[arg-type]


@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 60), st.booleans()), max_size=12))
def test_no_break_is_confirmed_by_one_look_or_cleared_by_one_answer(
    looks: list[tuple[BreakKind | str | None, int, bool]],
) -> None:
    """Domain 2.4, 2.8: two detections confirm; two clean statements clear what no fill explains."""
    breaks: dict[str, Break] = {}
    now, number = NOON, 0
    seen: list[tuple[bool | None, int]] = []  # of each look: broken or not, None: not compared; its statement
    for outcome, seconds, is_new in looks:
        now, number = now + timedelta(seconds=seconds), number + is_new
        before = breaks.get("SPY")
        breaks, steps = take_pass(breaks, [finding(outcome)], {"paper": f"S-{number}"}, QUIET, now)
        seen.append((None if outcome == "waits" else outcome is not None, number))
        looked = [look for look in seen if look[0] is not None]
        for step in steps:
            if step.turn is Turn.CONFIRMED:
                assert [broken for broken, _ in looked[-2:]] == [True, True]
            if step.turn is Turn.CLEARED:
                clean = {n for broken, n in looked[-_run(looked) :] if not broken}
                assert len(clean) >= 2
        if outcome == "waits":
            assert breaks.get("SPY") == before
        if outcome not in (None, "waits"):
            assert "SPY" in blocked(breaks), "an open question blocks from the first look"


def _run(looked: list[tuple[bool | None, int]]) -> int:
    """Return how many clean looks stand at the end."""
    count = 0
    for broken, _ in reversed(looked):
        if broken:
            break
        count += 1
    return count


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["paper", "other"]), st.sampled_from(["0", "40", "50", "90"]), st.integers(0, 20)
        ),
        max_size=12,
    )
)
def test_of_two_brokers_the_one_that_was_wrong_must_say_it_twice(looks: list[tuple[str, str, int]]) -> None:
    """Domain 2.4, 2.8: what a broker says that has no part in it confirms and clears nothing."""
    both, now, breaks = account(brokers=["paper", "other"]), NOON, {}
    said = [
        {"paper": (0, "50"), "other": (0, "40")}
    ]  # of each look: the number of a broker's statement, and its units

    def renewed(since: int, brokers: Iterable[str]) -> bool:
        return all(said[-1][broker][0] > said[since][broker][0] for broker in brokers)

    for broker, units, seconds in looks:
        now += timedelta(seconds=seconds)
        said.append({**said[-1], broker: (len(said), units)})
        told = {b: statement(holding(n), broker=b) for b, (_, n) in said[-1].items()}
        findings = compare(both, LONG, told, at(60))
        breaks, steps = take_pass(
            breaks, findings, {b: f"S-{number}" for b, (number, _) in said[-1].items()}, QUIET, now
        )
        bad = [sum(int(n) for _, n in look.values()) != 90 for look in said]
        turn = max(
            (n for n in range(1, len(bad)) if bad[n] != bad[n - 1]), default=0
        )  # the first look of its run
        wrong = [b for b in said[0] if said[turn][b][1] != said[max(turn - 1, 0)][b][1]]
        for step in steps:
            if step.turn is Turn.CONFIRMED:
                assert renewed(turn, wrong) or now - step.item.since >= QUIET
            if step.turn is Turn.CLEARED:
                assert renewed(turn, wrong)
        if turn and renewed(turn, said[0]):
            assert "SPY" in breaks if bad[-1] else "SPY" not in breaks
            assert not bad[-1] or breaks["SPY"].stage is Stage.CONFIRMED


def test_a_statement_whose_name_begins_like_another_ones_is_another_one() -> None:
    """S-1 stands in S-10, and is not that statement."""
    breaks, _ = take_pass({}, [finding(BreakKind.QUANTITY)], {"paper": "S-10"}, QUIET, NOON)
    _, steps = take_pass(breaks, [finding(BreakKind.QUANTITY)], {"paper": "S-1"}, QUIET, at(1))
    assert [step.turn for step in steps] == [Turn.CONFIRMED]


def test_the_same_statement_confirms_only_after_the_quiet_period() -> None:
    """Fills that were on their way had the time to come."""
    breaks, _ = take_pass({}, [finding(BreakKind.QUANTITY)], {"paper": "S-1"}, QUIET, NOON)
    for seconds, turns in ((29, []), (30, [Turn.CONFIRMED])):
        after, steps = take_pass(breaks, [finding(BreakKind.QUANTITY)], {"paper": "S-1"}, QUIET, at(seconds))
        assert [step.turn for step in steps] == turns
        assert after["SPY"].blocks


def test_fills_that_both_sides_have_are_no_news() -> None:
    breaks = {"SPY": Break(finding(BreakKind.QUANTITY), Stage.CONFIRMED, NOON, "S-1")}
    after, steps = take_pass(breaks, [finding(BreakKind.QUANTITY, ours=50)], {"paper": "S-2"}, QUIET, at(60))
    assert steps == []
    assert after["SPY"].finding.ours == 50


def test_another_cost_blocks_nothing_and_warns() -> None:
    found_ = Finding("SPY", BreakKind.COST, Decimal(90), Decimal(90), Decimal(100), Decimal(105))
    item = Break(found_, Stage.CONFIRMED, NOON, "S-1")
    assert blocked({"SPY": item}) == {}
    alert = break_alert("demo", Step(Turn.CONFIRMED, item), "cause", NOON)
    assert alert is not None
    assert alert.severity is Severity.WARNING
    assert alert.summary == "SPY: our average price is 100, the broker's 105"


@pytest.mark.parametrize("turn", [Turn.SUSPECTED, Turn.DROPPED])
def test_nobody_is_told_of_a_suspicion(turn: Turn) -> None:
    item = Break(finding(BreakKind.QUANTITY), Stage.SUSPECTED, NOON, "S-1")
    assert break_alert("demo", Step(turn, item), "cause", NOON) is None


@pytest.mark.parametrize(
    ("ours", "theirs"), [(-2, None), (0, "-2"), (-2, "-1")], ids=["here only", "there only", "fewer there"]
)
def test_an_option_that_has_expired_and_one_side_still_has_is_a_break_of_its_own(
    ours: int, theirs: str | None
) -> None:
    """Issue 4.7, domain 2.8: expired/assigned is a class; before its end it is what it was."""
    book = book_of(trade(-600, ours, 3, instrument=PUT)) if ours else Book("demo")
    told = statement(*([holding(theirs, PUT.symbol)] if theirs else []))
    before = found(book, told)[PUT.symbol]
    assert before.kind in (BreakKind.MISSING_AT_BROKER, BreakKind.MISSING_HERE, BreakKind.QUANTITY)
    after = found(book, told, after=5 * 3600)[PUT.symbol]
    assert after.kind is BreakKind.EXPIRED
    assert words(after).startswith("it has expired, and we hold ")


def test_an_expired_option_that_both_sides_still_have_and_a_share_are_none() -> None:
    book = book_of(trade(-600, -2, 3, instrument=PUT), trade(-599, 5, 100))
    told = statement(holding("-2", PUT.symbol), holding("4"))
    findings = found(book, told, after=5 * 3600)
    assert findings[PUT.symbol].kind is None
    assert findings["SPY"].kind is BreakKind.QUANTITY
