"""Reconciliation over the ports: two passes, what is blocked and told, and what clears it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from stopline.adapters.schemas import record
from stopline.brokers import parse
from stopline.ledger.encoding import encode_book
from stopline.model.account import Account
from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Rejected, Transient
from stopline.model.messages import History, HistoryRow, Sweep, SweepKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Path, Unavailable, Update, Write
from stopline.rules.watching.breaks import Stage
from stopline.rules.watching.finding import BreakKind
from stopline.runtime.app import App
from stopline.service.reconciliation.reconciliations import (
    Reconciliation,
    ReconciliationCodec,
    blocked_symbols,
    describe,
)

from ..make import NOON, account, at, fill, trade
from .test_history_rows import columns
from .valuing import prices
from .world import World


class Desk:
    """One instance that takes statements and sweeps."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app: App
        self.app, self.store = world.instance()

    def statement(self, units: str | None, **more: Any) -> bool:
        """Take a statement as of now, with some SPY, and the sweep that it causes."""
        now = self.world.clock.now()
        held = [] if units is None else [{"symbol": "SPY", "quantity": units}]
        facts = {"statement_id": f"S-{now:%H%M%S}", "broker": "paper", "account": "demo"}
        body = {**facts, "as_of": utc_text(now), "positions": held, **more}
        is_new = self.app.statement_recorder.record(validate(Statement, body))
        self.compare()
        return is_new

    def sweep(self, after: float = 0, kind: SweepKind = SweepKind.RISK, account: str | None = None) -> None:
        now = self.world.wait(after)
        self.app.sweeper.run(Sweep(kind=kind, account=account), now.replace(second=0, microsecond=0), "m-1")

    def compare(self, after: float = 0, account: str = "demo") -> None:
        """The sweep that a statement causes."""
        self.sweep(after, SweepKind.RECONCILE, account)

    @property
    def state(self) -> Reconciliation:
        found = self.app.reconciliations.read("demo")
        assert found is not None
        return found

    def alerts(self, kind: str = "position_break") -> list[dict[str, Any]]:
        return [body for body in self.world.bus.bodies("alerts") if body.get("kind") == kind]


@pytest.fixture
def desk(world: World) -> Desk:
    made = Desk(world)
    made.app.recorder.record([trade(-600, 90, 100)], "m-1")
    world.bus.messages.clear()
    return made


def test_a_difference_from_the_broker_stops_what_adds_risk_until_two_readings_without_one(desk: Desk) -> None:
    """R5.3, contradictory data; issue 6: nobody resumes over an open break."""
    scope = "account:demo"

    def state() -> TradingState:
        return desk.app.trading.standing(scope).state

    def resume(id_: str) -> str:
        seen = desk.app.trading.standing(scope)
        facts = {
            "request_id": id_,
            "scope": scope,
            "action": "resume",
            "actor": "ann",
            "reason": "reviewed",
            "confirm": f"RESUME {scope}",
            "expected_epoch": seen.epoch,
            "lifts": [hold.request_id for hold in seen.holds.values()],
        }
        try:
            return desk.app.trading.set(validate(ControlRequest, facts)).state.value
        except Rejected as refused:
            return f"{refused.reason}: {refused.detail}"

    prices(desk.app, desk.world.clock.now(), SPY=100.0)
    desk.statement("100")
    desk.sweep(31)  # it is compared
    prices(desk.app, desk.world.clock.now(), SPY=100.0)
    desk.sweep(31)  # and read
    assert state() is TradingState.REDUCING
    assert "breaker:contradictory_data" in desk.app.trading.standing(scope).holds
    desk.world.wait(61)
    prices(desk.app, desk.world.clock.now(), SPY=100.0)
    refused = resume("r-1")
    assert refused.startswith("NOT_READY")
    assert "SPY: we hold 90, the broker 100" in refused
    assert state() is TradingState.REDUCING
    for _ in range(2):  # two statements agree with the book, then two readings find nothing
        desk.statement("90")
        desk.sweep(31)
        assert "breaker:contradictory_data" in desk.app.trading.standing(scope).holds
    desk.sweep(31)
    assert "breaker:contradictory_data" not in desk.app.trading.standing(scope).holds


def test_a_statement_has_its_account_compared(desk: Desk) -> None:
    """R1.8."""
    assert desk.statement("90")
    assert desk.world.bus.bodies("sweeps") == [
        Sweep(kind=SweepKind.RECONCILE, account="demo").model_dump(mode="json")
    ]
    desk.compare(30)
    assert desk.state.breaks == {}
    assert desk.state.waits == {}
    assert desk.alerts() == []


def test_the_first_pass_suspects_and_blocks_and_the_second_confirms_and_tells(desk: Desk) -> None:
    """F55, R1.8, domain 2.8: two detections in a row, then an alert."""
    desk.statement("100")
    assert desk.state.waits == {"SPY": "fills may be on their way"}
    desk.sweep(31)
    item = desk.state.breaks["SPY"]
    assert (item.finding.kind, item.stage) == (BreakKind.QUANTITY, Stage.SUSPECTED)
    assert blocked_symbols(desk.app.reconciliations, "demo") == {"SPY": "we hold 90, the broker 100"}
    assert desk.alerts() == []
    desk.sweep(31)
    assert desk.state.breaks["SPY"].stage is Stage.CONFIRMED
    [alert] = desk.alerts()
    assert alert["severity"] == "critical"
    assert alert["summary"] == "SPY: we hold 90, the broker 100"
    assert alert["object"] == "SPY"
    desk.sweep(31)
    assert len(desk.alerts()) == 1, "the same break is told once"


def test_a_fill_that_was_late_ends_a_suspicion_without_a_word(desk: Desk) -> None:
    desk.statement("100")
    desk.sweep(31)
    desk.app.recorder.record([trade(-100, 10, 101)], "m-2")
    desk.sweep(31)
    assert desk.state.breaks == {}
    assert desk.alerts() == []


def confirmed(desk: Desk, units: str | None = "100") -> None:
    desk.statement(units)
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.breaks["SPY"].stage is Stage.CONFIRMED


def test_a_fill_that_explains_a_confirmed_break_clears_it_at_once(desk: Desk) -> None:
    confirmed(desk)
    desk.app.recorder.record(
        [fill("adjust-R-1", quantity=10, price=101, executed_at=at(-60), kind="ADJUST")], "m"
    )
    desk.sweep(31)
    assert desk.state.breaks == {}
    assert [a["resolved"] for a in desk.alerts()] == [False, True]


def test_a_broker_that_changed_its_mind_must_say_so_twice(desk: Desk) -> None:
    """Domain 2.4: an empty list out of a failed call must not clear a halt; two clean passes do."""
    confirmed(desk)
    desk.statement("90")
    desk.compare(31)
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.blocked, "the same statement again is no second witness"
    desk.statement("90")
    desk.compare(31)
    assert desk.state.blocked == {}
    assert desk.alerts()[-1]["resolved"]


def test_the_statements_of_a_broker_that_has_no_part_in_a_break_do_not_clear_it() -> None:
    """Domain 2.4, R1.8: of two brokers the one that was wrong must say it twice."""
    world = World()
    world.open_account(account(brokers=["paper", "other"]))
    desk = Desk(world)
    desk.app.recorder.record([trade(-600, 90, 100)], "m-1")
    desk.statement(None, broker="other")
    confirmed(desk)
    for units, broker in (("90", "paper"), (None, "other"), (None, "other")):
        desk.statement(units, broker=broker)
        desk.compare(31)
        assert desk.state.blocked, broker
        codec = ReconciliationCodec()
        assert codec.decode(codec.encode(desk.state)) == desk.state
    desk.statement("90")
    desk.compare(31)
    assert desk.state.blocked == {}


def test_a_break_that_comes_back_in_between_starts_over(desk: Desk) -> None:
    confirmed(desk)
    for units in ("90", "100", "90"):
        desk.statement(units)
        desk.compare(31)
    assert desk.state.blocked
    assert len(desk.alerts()) == 1


def test_another_difference_is_told_again(desk: Desk) -> None:
    confirmed(desk)
    desk.statement("-5")
    desk.compare(31)
    assert [a["summary"] for a in desk.alerts()] == [
        "SPY: we hold 90, the broker 100",
        "SPY: we hold 90, the broker -5: the other side",
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"complete": False, "problem": "HTTP 503"}, "the statement of broker paper does not tell all"),
        ({"unread": ["bond X"]}, "the statement of broker paper does not tell all"),
    ],
)
def test_a_failed_or_partial_read_is_never_flat(desk: Desk, more: dict[str, Any], why: str) -> None:
    """Domain 4b case 16: neither flat nor cleared."""
    desk.statement(None, **more)
    desk.sweep(31)
    desk.sweep(31)
    assert desk.state.waits["SPY"] == why
    assert "SPY" not in desk.state.breaks
    assert describe(desk.state)["reported"]["paper"]["complete_at"] is None


def test_a_failed_read_does_not_clear_what_stands(desk: Desk) -> None:
    """Domain 4b case 16."""
    confirmed(desk)
    for _ in range(3):
        desk.statement(None, complete=False, problem="timeout")
        desk.sweep(31)
    assert desk.state.breaks["SPY"].stage is Stage.CONFIRMED


def test_nothing_at_the_broker_is_a_break_when_it_says_so_twice(desk: Desk) -> None:
    confirmed(desk, None)
    assert desk.state.breaks["SPY"].finding.kind is BreakKind.MISSING_AT_BROKER


def test_equity_and_margin_of_the_broker_are_kept_as_they_were_told(desk: Desk) -> None:
    """Domain 2.2: model margin, the broker's margin and max loss are three numbers."""
    desk.statement("90", currency="USD", equity="100123.45", margin="5000")
    desk.compare(31)
    told = describe(desk.state)["reported"]["paper"]
    assert (told["equity"], told["margin"], told["currency"]) == ("100123.45", "5000", "USD")


def test_an_older_statement_changes_nothing(desk: Desk) -> None:
    desk.world.wait(60)
    assert desk.statement("90")
    assert not desk.statement("1", statement_id="old", as_of=utc_text(NOON))
    assert not desk.statement("1", statement_id="twin")
    kept = desk.app.statements.read("demo.paper")
    assert kept is not None
    assert kept.positions[0].quantity == 90


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"broker": "other"}, "UNKNOWN_BROKER"),
        ({"account": "nobody"}, "UNKNOWN_ACCOUNT"),
        ({"as_of": utc_text(at(61))}, "IN_THE_FUTURE"),
    ],
)
def test_a_statement_of_nobody_is_refused(desk: Desk, more: dict[str, Any], reason: str) -> None:
    """B34, B48."""
    with pytest.raises(Rejected) as refused:
        desk.statement("1", **more)
    assert refused.value.reason == reason


# --- overdue ------------------------------------------------------------------------------------------------


@pytest.fixture
def strict() -> Desk:
    world = World()
    world.open_account(expecting(30))
    made = Desk(world)
    made.app.recorder.record([trade(-600, 90, 100)], "m-1")
    return made


def expecting(minutes: int) -> Account:
    return account(reconcile={"expect_every_min": minutes})


def test_a_statement_that_does_not_come_is_told_once_and_its_coming_too(strict: Desk) -> None:
    strict.sweep()
    [alert] = strict.alerts("statement_overdue")
    assert alert["severity"] == "warning"
    assert "paper" in alert["summary"]
    strict.sweep(60)
    assert len(strict.alerts("statement_overdue")) == 1
    strict.statement("90")
    strict.compare(31)
    assert [a["resolved"] for a in strict.alerts("statement_overdue")] == [False, True]


def test_a_read_that_fails_is_overdue_and_says_why(strict: Desk) -> None:
    strict.statement("90")
    strict.sweep(31)
    assert strict.alerts("statement_overdue") == []
    strict.world.wait(29 * 60)
    strict.statement(None, complete=False, problem="HTTP 503 of the broker")
    strict.sweep(61)
    [alert] = strict.alerts("statement_overdue")
    assert "HTTP 503 of the broker" in alert["summary"]


def test_nothing_is_overdue_while_the_market_is_closed_or_has_just_opened() -> None:
    world = World()
    world.open_account(expecting(30))
    desk = Desk(world)
    desk.app.recorder.record([trade(-600, 90, 100)], "m-1")
    opening = account().sessions.open_of(NOON.date())
    for moment in (opening.replace(hour=5), opening, opening.replace(minute=opening.minute + 29)):
        world.clock.set(moment)
        desk.sweep()
    assert desk.alerts("statement_overdue") == []
    world.clock.set(opening)
    desk.sweep(30 * 60)
    assert len(desk.alerts("statement_overdue")) == 1


# --- the daily check -----------------------------------------------------------------------------------------


def spoil(world: World, what: str) -> None:
    """Change a book behind the back of its only writer."""
    book = world.book()
    assert book is not None
    position = next(iter(book.positions.values())).copy()
    position.units = position.quantity + 1
    wrong = (
        replace(book, positions={position.key: position}) if what == "quantity" else replace(book, fills=9)
    )
    document = world.shared.get(Path("books", "demo"))
    assert document is not None
    world.shared.commit([Update(document.path, {"state": encode_book(wrong)}, document.version)])


def test_a_book_that_is_its_fills_is_checked_once_a_session(desk: Desk) -> None:
    """R1.8, the daily reconciliation."""
    desk.sweep(kind=SweepKind.RECONCILE)
    assert (desk.state.checked_session, desk.state.ledger) == (NOON.date().replace(day=17), ())
    reads = desk.store.reads
    desk.sweep(3600, kind=SweepKind.RECONCILE)
    assert desk.store.reads - reads <= reads, "it is not folded again within the session"
    desk.world.clock.set(at(24 * 3600))
    desk.sweep(kind=SweepKind.RECONCILE)
    assert desk.state.checked_session == NOON.date()
    assert desk.alerts("ledger_mismatch") == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("quantity", "default:SPY: quantity is 91, its fills make 90"),
        ("fills", "the book counts 9 fills, the log has 1"),
    ],
)
def test_a_book_that_is_not_its_fills_is_told(desk: Desk, what: str, text: str) -> None:
    """R1.8: the position log and the book must say the same."""
    spoil(desk.world, what)
    other = Desk(desk.world)
    other.sweep(kind=SweepKind.RECONCILE)
    [alert] = other.alerts("ledger_mismatch")
    assert text in alert["summary"]
    assert alert["severity"] == "critical"
    other.sweep(3600, kind=SweepKind.RECONCILE)
    assert len(other.alerts("ledger_mismatch")) == 1


def test_statements_that_cannot_be_compared_keep_no_book_from_being_checked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1.8: one account's trouble stopped the check of every ledger."""

    def unreadable(name: str) -> None:
        raise Unavailable(f"statements of {name}")

    monkeypatch.setattr(desk.app.reconciler, "compare", unreadable)
    with pytest.raises(Transient, match="statements of demo"):
        desk.sweep(kind=SweepKind.RECONCILE)
    assert desk.state.checked_session == NOON.date().replace(day=17)


def test_an_amendment_without_its_fill_is_told_after_an_hour_once(desk: Desk) -> None:
    """Domain 3.8: a bust of an unknown fill is kept, with an alert when its fill does not come."""
    desk.app.recorder.record([fill("B-1", kind="BUST", ref="E-404")], "m-2")
    desk.sweep(3599, kind=SweepKind.RECONCILE)
    assert desk.alerts("amendment_unmatched") == []
    desk.sweep(1, kind=SweepKind.RECONCILE)
    desk.sweep(3600, kind=SweepKind.RECONCILE)
    [alert] = desk.alerts("amendment_unmatched")
    assert alert["summary"] == "BUST B-1 is about fill E-404, which has not come"


def test_an_amendment_that_may_mean_any_day_says_so(desk: Desk) -> None:
    told = {"kind": "BUST", "ref": "SPY:20261118:1", "ref_day": "assumed"}
    desk.app.recorder.record([fill("SPY:20261118:7", **told)], "m-2")
    desk.sweep(3600, kind=SweepKind.RECONCILE)
    [alert] = desk.alerts("amendment_unmatched")
    assert "SPY:20261118:1, or that number on a day before" in alert["summary"]


def test_trouble_with_one_account_does_not_keep_the_others_from_being_compared(desk: Desk) -> None:
    desk.world.open_account(account("other"))
    desk.app.recorder.record([trade(-600, 5, 100, account="other")], "m-2")
    desk.statement("100")
    desk.statement("100", account="other", statement_id="S-other")
    desk.compare(account="other")

    def fault(writes: Sequence[Write]) -> None:
        if writes[-1].path == Path("reconciliations", "demo"):
            raise Unavailable("deadline exceeded")

    desk.store.faults = [fault] * 20
    with pytest.raises(Transient, match="demo: deadline exceeded"):
        desk.sweep(31)
    assert blocked_symbols(desk.app.reconciliations, "other") == {"SPY": "we hold 5, the broker 100"}


def test_an_account_that_breaks_the_comparison_is_named_and_the_others_are_watched(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R2.10: whatever is raised for one account, the round gets to its end, and only that account counts as unwatched."""
    desk.world.open_account(account("other"))
    desk.app.recorder.record([trade(-600, 5, 100, account="other")], "m-2")
    desk.statement("100")
    desk.statement("100", account="other", statement_id="S-other")
    desk.compare(account="other")
    compare = desk.app.reconciler.compare

    def broken(name: str) -> Reconciliation | None:
        if name == "demo":
            raise ValueError("summary must be at most 500 characters")
        return compare(name)

    monkeypatch.setattr(desk.app.reconciler, "compare", broken)
    for kind in (SweepKind.RISK, SweepKind.RECONCILE):
        with caplog.at_level("ERROR"), pytest.raises(Transient, match="demo: ValueError: summary must be"):
            desk.sweep(31, kind)
    assert blocked_symbols(desk.app.reconciliations, "other") == {"SPY": "we hold 5, the broker 100"}
    beat = desk.world.document("heartbeats", "sweep")
    assert beat is not None
    assert list(orjson.loads(beat["unwatched"])) == ["demo"]
    assert [record.__dict__["account"] for record in caplog.records] == ["demo", "demo"]


def test_a_line_that_could_not_be_read_may_be_as_long_as_one_can_be(desk: Desk) -> None:
    """R1.8: with what is said of it, it was longer than a summary may be, and no account was compared any more."""
    desk.statement("90", unread=["x" * 500])
    desk.sweep(31)
    desk.sweep(31)
    [alert] = desk.alerts()
    assert alert["summary"] == "x" * 500
    assert alert["severity"] == "warning"


def test_a_coin_bought_at_alpaca_is_held_less_the_fee_that_was_taken_of_it() -> None:
    """Issue 4.1, R1.8: the fee is a row of the day and names no execution; the broker's list agrees with the book."""
    world = World()
    world.open_account(account(brokers=["alpaca"]))
    desk, now = Desk(world), utc_text(world.clock.now())
    bought = {
        "activity_type": "FILL", "id": "1::a", "type": "fill", "order_id": "o", "symbol": "ETHUSD", "side": "buy",
        "qty": "1", "price": "1884.5", "transaction_time": now, "cum_qty": "1", "leaves_qty": "0",
    }  # fmt: skip
    fee = {
        "activity_type": "CFEE", "id": "1::c", "date": "2026-11-17", "net_amount": "0", "symbol": "ETHUSD",
        "qty": "-0.0025", "price": "1884.5", "status": "executed",
    }  # fmt: skip
    attributes = {"broker": "alpaca", "account": "demo", "kind": "crypto"}
    fills = [item.fill for item in parse({"activities": [bought, fee]}, attributes) if item.fill]
    desk.app.recorder.record(fills, "m-1")
    for number in range(3):
        desk.world.wait(400)
        held = [{"symbol": "ETH-USD", "quantity": "0.9975"}]
        desk.statement(None, statement_id=f"S-{number}", broker="alpaca", positions=held)
        desk.sweep(200)
    assert desk.state.breaks == {}
    desk.sweep(kind=SweepKind.RECONCILE)
    assert desk.state.ledger == ()


# --- what is kept ---------------------------------------------------------------------------------------------


def test_every_change_is_a_row_and_what_people_decide_by_is_in_the_audit_trail(desk: Desk) -> None:
    """R1.8, R7.4."""
    confirmed(desk)
    desk.app.recorder.record([trade(-100, 10, 101)], "m-2")
    desk.sweep(31)
    rows: list[HistoryRow] = [
        row for body in desk.world.bus.bodies("history") for row in validate(History, body).rows
    ]
    kept = [row for row in rows if row.table == "reconciliations"]
    assert [row.row["status"] for row in kept] == ["suspected", "confirmed", "cleared"]
    for row in kept:
        taken = record(row, NOON)
        assert isinstance(taken, dict)
        assert set(row.row) - {"detail"} == set(columns("reconciliations")) - {
            "event_id",
            "content_hash",
            "ingested_at",
            "detail",
        }
    events = [row.row["event"] for row in rows if row.table == "audit"]
    events = [event for event in events if event.startswith("break")]
    assert events == ["break_confirmed", "break_cleared"]


def test_a_document_comes_back_as_it_was(desk: Desk) -> None:
    desk.statement("100", currency="USD", equity="1", unread=["bond X"])
    desk.sweep(31)
    desk.sweep(31)
    state, codec = desk.state, ReconciliationCodec()
    assert codec.decode(codec.encode(state)) == state
    assert {*state.breaks} == {"SPY", "bond X"}


def test_a_break_of_an_older_version_is_of_all_brokers_that_have_reported(desk: Desk) -> None:
    confirmed(desk)
    data = dict(ReconciliationCodec().encode(desk.state))
    body = orjson.loads(data["state"])
    del body["breaks"][0]["brokers"]
    body["reported"]["other"] = body["reported"]["paper"]
    data["state"] = orjson.dumps(body).decode()
    assert ReconciliationCodec().decode(data).breaks["SPY"].finding.brokers == ("paper", "other")


def test_a_pass_that_comes_twice_changes_nothing(desk: Desk) -> None:
    confirmed(desk)
    revision, sent = desk.state.revision, len(desk.world.bus.messages)
    desk.compare()
    desk.sweep()
    assert desk.state.revision == revision
    assert [m.topic for m in desk.world.bus.messages[sent:] if m.topic != "history"] == []
