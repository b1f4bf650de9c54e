"""Accounts and their status: versions with an audit, and answers that say what is not known."""

from __future__ import annotations

import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.lease import LeaseRequest
from stopline.model.messages import History, Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.model.wire import validate
from stopline.ports import AlreadyExists, Conflict, Put, RowFault, Unavailable
from stopline.service.accounts.reader import account_path
from stopline.service.accounts.status import account_status
from stopline.service.documents.outbox import Unpublished
from stopline.service.history.rows import fill_row

from ..make import NOON, account, fill, trade
from .world import World


def test_an_account_reads_back_as_it_was_created(world: World) -> None:
    app, _ = world.instance()
    assert app.accounts.get("demo") == account()
    assert app.accounts.require("demo") == account()
    assert app.accounts.all() == [account()]


def test_a_name_that_is_taken_is_not_given_twice(world: World) -> None:
    """B48."""
    app, _ = world.instance()
    with pytest.raises(AlreadyExists):
        app.account_writer.create(account(capital="1"), "bob")
    assert app.accounts.require("demo").capital == 100_000


def test_an_account_without_capital_is_refused(world: World) -> None:
    """B73."""
    app, _ = world.instance()
    with pytest.raises(Rejected, match="BAD_CAPITAL"):
        app.account_writer.create(account("two", capital="0"), "ann")
    assert app.accounts.get("two") is None


def test_an_unknown_account_is_none_and_is_looked_for_again(world: World) -> None:
    """B48: an account that is created a second later is seen at once."""
    app, _ = world.instance()
    assert app.accounts.get("two") is None
    with pytest.raises(Rejected, match="UNKNOWN_ACCOUNT"):
        app.accounts.require("two")
    world.open_account(account("two"))
    assert app.accounts.get("two") is not None


def test_a_failed_read_is_not_an_unknown_account(world: World) -> None:
    """F13."""
    app, store = world.instance()
    store.down = True
    with pytest.raises(Unavailable):
        app.accounts.get("demo")


def test_a_changed_setting_is_a_version_with_an_audit_row_and_holds_after_thirty_seconds(
    world: World,
) -> None:
    """R2.11, R7.4."""
    app, _ = world.instance()
    app.accounts.get("demo")
    other, _ = world.instance()
    changed = other.account_writer.change(
        "demo", lambda a: a.model_copy(update={"note": "changed", "account": "stolen"}), "ann"
    )
    assert (changed.version, changed.note, changed.account) == (2, "changed", "demo")
    [row] = validate(History, world.bus.bodies("history")[-1]).rows
    assert (row.row["event"], row.row["actor"], row.row["scope"]) == (
        "account_changed",
        "ann",
        "account:demo",
    )
    assert app.accounts.require("demo").version == 1
    world.wait(30)
    assert app.accounts.require("demo").version == 2


def test_two_changes_at_once_do_not_overwrite_each_other(world: World) -> None:
    """F48."""
    app, store = world.instance()
    other, _ = world.instance()

    def meanwhile(_writes: object) -> None:
        other.account_writer.change("demo", lambda a: a.model_copy(update={"note": "theirs"}), "bob")

    store.faults = [meanwhile]
    with pytest.raises(Conflict):
        app.account_writer.change("demo", lambda a: a.model_copy(update={"note": "mine"}), "ann")
    assert other.account_writer.change("demo", lambda a: a, "bob").note == "theirs"


def test_a_change_of_an_account_that_does_not_exist_is_refused(world: World) -> None:
    app, _ = world.instance()
    with pytest.raises(Rejected, match="UNKNOWN_ACCOUNT"):
        app.account_writer.change("nobody", lambda a: a, "ann")


def test_the_audit_row_of_an_account_survives_a_failed_publish(world: World) -> None:
    """I4, R7.4."""
    app, _ = world.instance()
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.account_writer.create(account("two"), "ann")
    assert app.accounts.get("two") is not None
    assert [e.topic for e in world.outbox("accounts", "two")] == ["journal"]
    assert [e.topic for e in world.outbox("journals", "journal:two")] == ["history"]


def test_a_change_keeps_what_an_earlier_one_could_not_publish(world: World) -> None:
    """I4: a second change does not overwrite the first one's audit row."""
    app, _ = world.instance()
    world.bus.down = True
    for capital in ("1", "2"):
        with pytest.raises(Unpublished):
            app.account_writer.change("demo", lambda a, c=capital: a.model_copy(update={"note": c}), "ann")
    events = [row["row"]["event"] for e in world.outbox("accounts", "demo") for row in e.body["rows"]]
    assert events.count("account_changed") == 2


# --- status ---


def status(world: World) -> dict[str, object]:
    app, _ = world.instance()
    read = app.trading.read
    return account_status(
        account(),
        app.books.read("demo"),
        app.risk_states.read("demo"),
        read("global"),
        read("account:demo"),
        app.closer.read("demo"),
    )


def test_the_status_of_an_account_that_has_never_traded(world: World) -> None:
    """R1.9, I7: what nobody has worked out is null."""
    found = status(world)
    assert (found["trading_state"], found["epoch"], found["positions"], found["risk"]) == (
        "ACTIVE",
        0,
        [],
        None,
    )
    assert (found["book_revision"], found["fills"], found["closing"]) == (0, 0, None)


def test_the_status_of_a_position_has_its_mark_or_null(world: World) -> None:
    """R1.3, R1.9, I7."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100)], "m-1")
    [position] = status(world)["positions"]  # type: ignore[misc]
    assert (position["quantity"], position["average_price"], position["mark"]) == ("10", "100", None)
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(101.0)}, ()))
    found = status(world)
    [position] = found["positions"]  # type: ignore[misc]
    assert (position["mark"], position["value"], position["unrealised"]) == ("101", "1010", "10")
    assert found["risk"]["equity"] == "100010"  # type: ignore[index]


def test_the_status_of_an_account_that_is_being_closed(world: World) -> None:
    """R5.1, R1.9."""
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100)], "m-1")
    facts = {"request_id": "r-1", "scope": "global", "action": "kill", "actor": "ann", "reason": "x"}
    app.trading.set(ControlRequest.model_validate(facts))
    app.closer.advance("demo")
    found = status(world)
    assert (found["trading_state"], found["epoch"], found["closing"]) == ("HALTED", 1, "CLOSING")
    assert found["scopes"] == {"global": "HALTED", "account:demo": "ACTIVE"}


# --- history ---


class Refuses:
    """A history that takes every row but some."""

    def __init__(self, *event_ids: str) -> None:
        self.event_ids = event_ids
        self.rows: list[str] = []

    def append(self, rows: object, at: object) -> list[RowFault]:
        faults = []
        for row in rows:  # type: ignore[attr-defined]
            if row.event_id in self.event_ids:
                faults.append(RowFault(row.event_id, row.table, "too many digits"))
            else:
                self.rows.append(row.event_id)
        return faults


def test_a_row_that_the_history_refuses_is_quarantined_and_its_neighbours_are_kept(world: World) -> None:
    """F52, I3."""
    from stopline.service.history.keep_history import HistoryKeeper

    app, _ = world.instance()
    history = Refuses("paper:demo:E-2")
    keeper = HistoryKeeper(history, app.quarantine, world.clock)  # type: ignore[arg-type]
    message = History(rows=tuple(fill_row(fill(f"E-{n}"), NOON.date()) for n in range(4)))
    for _ in range(2):  # a redelivery keeps it once
        keeper.keep(message, "m-1")
    [data] = [d.data for d in world.shared.query("quarantine")]
    assert (data["reason"], data["item"]) == ("ROW_REFUSED", 2)
    assert "too many digits" in data["detail"]
    assert len(history.rows) == 6


def test_an_account_is_not_changed_by_being_read() -> None:
    assert Account.model_validate(account().model_dump(mode="json")) == account()


# --- settings that are damaged ---


def damage(world: World, name: str = "demo") -> None:
    world.shared.commit(
        [Put(account_path(name), {"account": '{"account": "demo"', "owner": "x", "version": 2})]
    )


def test_what_was_read_last_holds_for_a_day_where_settings_are_damaged(world: World) -> None:
    """F49, fail table: last known good for 24 hours, then nothing; who never read it has nothing."""
    app, _ = world.instance()
    good = app.accounts.require("demo")
    damage(world)
    world.wait(86_000)
    assert app.accounts.require("demo") == good
    world.wait(500)
    with pytest.raises(Unreadable, match="accounts/demo cannot be read"):
        app.accounts.require("demo")
    with pytest.raises(Unreadable):
        world.instance()[0].accounts.require("demo")


def test_damaged_settings_of_one_account_leave_the_others_watched(world: World) -> None:
    """F49, I7: the round gets to its end, and says whom it could not watch: that account gets no lease."""
    world.open_account(account("other"))
    for name in ("demo", "other"):
        world.instance()[0].recorder.record([fill(account=name)], name)
    damage(world)
    app, _ = world.instance()
    with pytest.raises(Transient, match="^demo: accounts/demo cannot be read"):
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.clock.now(), "s-1")
    assert world.document("risk", "other") is not None
    beat = world.document("heartbeats", "sweep")
    assert beat is not None
    assert "demo" in beat["unwatched"]
    request = LeaseRequest(adapter="a")
    assert app.leases.grant(app.accounts.require("other"), request).account == "other"
    with pytest.raises(Unreadable):
        app.accounts.require("demo")  # the function that leases are asked of answers 503
