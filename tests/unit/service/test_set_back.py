"""A database that was restored to ten minutes ago must let nobody trade as if nothing had been said since (F54, I6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.adapters.memory import MemoryStore
from stopline.cli.main import main
from stopline.client import Client
from stopline.ledger.encoding import decode_book
from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Rejected
from stopline.model.ids import document_id
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.model.times import utc_text
from stopline.ports import Create, Delete, Path, Put, Unavailable
from stopline.runtime.app import App
from stopline.runtime.embedded import Embedded
from stopline.service.audit.chain import exported_faults, stored_faults
from stopline.service.trading.regrow import again, stops_of

from ..make import NOON, account, raw_fill

HOME, COPY = "p/(default)", "p/restored"


def copied(store: MemoryStore) -> MemoryStore:
    made = MemoryStore()
    for collection, documents in store._documents.items():
        for id_, (data, _) in documents.items():
            made.commit([Create(Path(collection, id_), dict(data))])
    return made


class Desk:
    """A Stopline whose database can be set back: `backup` at ten to, `restore` to that."""

    def __init__(self) -> None:
        self.stopline = Embedded(NOON)
        self.of(HOME, self.stopline.store)
        self.app.account_writer.create(account(), "ann")
        self.sweep()

    def of(self, database: str, store: MemoryStore) -> None:
        ports = replace(self.stopline.app.ports, store=store, database=database)
        self.stopline.app = App(ports)
        self.stopline.store = store

    @property
    def app(self) -> App:
        return self.stopline.app

    def backup(self) -> None:
        self.kept = copied(self.stopline.store)
        self.since = utc_text(self.stopline.clock.now())
        self.wait(60)

    def restore(self, database: str = COPY) -> None:
        self.wait(60)
        self.of(database, copied(self.kept))

    def wait(self, seconds: float) -> None:
        self.stopline.clock.set(self.stopline.clock.now() + timedelta(seconds=seconds))

    def sweep(self) -> None:
        self.app.sweeper.run(Sweep(kind=SweepKind.RISK), self.stopline.clock.now(), "m")
        self.stopline.run()

    def ask(self, action: str, scope: str = "account:demo", **more: Any) -> None:
        facts = {
            "scope": scope,
            "action": action,
            "actor": "ann",
            "reason": "enough",
            "flatten": False,
            **more,
        }
        self.app.trading.set(ControlRequest.model_validate({"request_id": f"{action}-{scope[-4:]}", **facts}))
        self.stopline.run()

    def fill(self, fill_id: str, side: str = "BUY") -> None:
        now = utc_text(self.stopline.clock.now())
        self.stopline.publish("fills", raw_fill(fill_id, side, executed_at=now), {"account": "demo"})
        self.stopline.run()

    def adapter(self) -> Client:
        def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
            try:
                asked = LeaseRequest.model_validate(body)
                granted = self.app.leases.grant(self.app.accounts.require("demo"), asked)
            except Rejected as refused:
                return 423, {"title": refused.reason, "detail": refused.detail}
            return 200, granted.model_dump(mode="json")

        return Client("demo", "a-1", post, self.stopline.clock)

    def restored(self, *more: str) -> Result:
        given = ["restored", "--since", self.since, "--reason", "backup of noon", *more]
        return CliRunner().invoke(main, given, obj=lambda: self.app)

    def state(self, scope: str) -> TradingState:
        return self.app.trading.standing(scope).state


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_copy_gives_no_lease_and_its_first_sweep_stops_everything_for_two_people(desk: Desk) -> None:
    """F54: nobody needs to think of it. A halt of after the backup is never followed by an order that adds risk."""
    adapter = desk.adapter()
    desk.backup()
    desk.sweep()
    desk.ask("kill")
    assert adapter.renew()
    halted = adapter.epoch
    desk.restore()
    assert desk.state("account:demo") is TradingState.ACTIVE, "the backup has forgotten the halt"
    fresh = desk.adapter()
    assert not fresh.renew()  # between the restore and the sweep
    assert "copy" in fresh.fault
    desk.sweep()
    for one in (adapter, fresh):
        assert one.renew(), one.fault
        assert one.lease is not None
        assert one.lease.state is TradingState.REDUCING
        assert one.epoch > halted, "commands of the new epoch are obeyed, those of before are not"
    desk.wait(60)
    desk.sweep()
    assert desk.app.trading.read("global").epoch == desk.app.trading.standing("global").epoch
    told = [s.alert.summary for s in desk.stopline.channels["email"].sent]
    assert sum("copy of p/(default)" in text for text in told) == 1
    hold = desk.app.trading.read("global").holds["person"]
    assert hold.people == 2


def test_a_database_of_the_same_name_is_stopped_by_the_command_and_distrusted_by_adapters(desk: Desk) -> None:
    """F54: whoever writes over it in place says so; an adapter that has seen a higher epoch takes no lease before."""
    adapter = desk.adapter()
    desk.backup()
    desk.ask("kill")
    assert adapter.renew()
    desk.restore(HOME)
    assert not adapter.renew()
    assert "holds" in adapter.fault
    assert desk.restored().exit_code == 0
    assert adapter.renew()
    assert adapter.lease is not None
    assert adapter.lease.state is TradingState.HALTED


def test_what_was_stopped_and_not_resumed_is_stopped_again_by_whom_it_was(desk: Desk) -> None:
    """F54, I6: also where the same is said twice, and not what people have lifted since."""
    desk.backup()
    desk.ask("kill", actor="bob")
    desk.ask("pause", "strategy:demo:a", until=utc_text(desk.stopline.clock.now() + timedelta(hours=1)))
    desk.ask("pause", "strategy:demo:b", until=utc_text(desk.stopline.clock.now() + timedelta(seconds=30)))
    desk.restore()
    desk.sweep()
    for _ in range(2):
        result = desk.restored("--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.output)
        assert said["stopped"] == ["account:demo", "strategy:demo:a"]
        standing = desk.app.trading.standing("account:demo")
        assert (standing.state, standing.actor, standing.flatten) == (TradingState.HALTED, "bob", False)
        assert desk.state("strategy:demo:a") is TradingState.REDUCING
        assert desk.state("strategy:demo:b") is TradingState.ACTIVE, "its time was over"
    assert len(desk.app.trading.read("account:demo").seen) == 2


def test_what_the_database_has_forgotten_is_listed(desk: Desk) -> None:
    """F54: changes, and alerts that people were told; not what it knows still."""
    desk.ask("pause", "strategy:demo:a")
    desk.backup()
    desk.ask("kill")
    desk.restore()
    result = desk.restored("--json")
    found = [(row["what"], row["of"]) for row in json.loads(result.output)["forgotten"]]
    assert ("kill to HALTED", "account:demo") in found
    assert ("alert trading_state", "demo") in found
    assert not [what for what, of in found if of == "strategy:demo:a"]


def test_without_bigquery_everything_is_stopped_and_the_command_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F54, F52: what was stopped since is then not known, and people are told that."""
    desk.backup()
    desk.ask("kill")
    desk.restore(HOME)

    def down(*asked: object) -> None:
        raise Unavailable("BigQuery is down")

    monkeypatch.setattr(desk.stopline.history, "read", down)
    result = desk.restored()
    assert result.exit_code == 1
    assert "not known" in str(result.output)
    assert desk.state("global") is TradingState.REDUCING


@pytest.mark.parametrize("reason", ["", " ", "x" * 501])
def test_nothing_is_held_after_a_restore_without_a_reason(desk: Desk, reason: str) -> None:
    """F54, I8: it goes on record."""
    desk.backup()
    desk.restore(HOME)
    refused = desk.restored("--reason", reason)
    assert (refused.exit_code, "reason" in refused.output) == (2, True)
    assert desk.state("global") is TradingState.ACTIVE


def test_fills_come_again_and_the_book_is_what_it_was(desk: Desk) -> None:
    """F54, I1: the messages since the backup are delivered again, and some that it has booked."""
    desk.fill("E-0")
    desk.backup()
    desk.fill("E-1")
    before = desk.stopline.store.get(Path("books", document_id("demo")))
    desk.restore()
    desk.sweep()
    for fill_id in ("E-0", "E-1", "E-1"):
        moment = NOON if fill_id == "E-0" else NOON + timedelta(seconds=60)
        desk.stopline.publish("fills", raw_fill(fill_id, executed_at=moment), {"account": "demo"})
    desk.stopline.run()
    after = desk.stopline.store.get(Path("books", document_id("demo")))
    assert before is not None
    assert after is not None
    was, now = (decode_book(document.data["state"]) for document in (before, after))
    assert now.revision > was.revision, "what comes is of later revisions than all that was forgotten"
    assert now.at_revision(0) == was.at_revision(0)


def test_rows_of_after_a_restore_hide_none_of_before_and_are_the_later_ones(desk: Desk) -> None:
    """F54, R8.5: the same fills come again in one commit, and a bust follows. No id says two things, and the highest
    revision is what the book says, of a position as of a trade.
    """
    bodies = []
    for number, side in enumerate(("BUY", "BUY", "BUY", "SELL", "SELL", "SELL")):
        if number == 1:
            desk.backup()
        now = utc_text(desk.stopline.clock.now())
        bodies.append(raw_fill(f"E-{number}", side, price=100 + number, executed_at=now))
        desk.stopline.publish("fills", bodies[-1], {"account": "demo"})
        prices = {"type": "stopline.prices.v1", "as_of": now, "symbols": ["SPY"], "last": [str(100 + number)]}
        desk.stopline.publish("prices", prices, {})
        desk.stopline.run()
        desk.wait(60)
        desk.sweep()
    desk.restore()
    desk.sweep()
    desk.stopline.publish("fills", {"type": "stopline.fills.v1", "fills": bodies[::-1]}, {"account": "demo"})
    desk.stopline.run()
    desk.sweep()
    bust = raw_fill("B-1", kind="BUST", ref="E-5", executed_at=utc_text(desk.stopline.clock.now()))
    desk.stopline.publish("fills", bust, {"account": "demo"})
    desk.stopline.run()
    verifier = desk.app.sweep.history_verifier
    assert verifier is not None
    now = desk.stopline.clock.now()
    found = verifier.compare(NOON - timedelta(hours=1), now + timedelta(seconds=1), now)
    assert {table: ids for table, ids in found.conflicts.items() if ids} == {}
    book = desk.app.books.read("demo")
    assert book is not None
    last = max(desk.stopline.history.latest("positions"), key=lambda row: row["book_revision"])
    assert (last["quantity"], last["realised"], book.positions["default:SPY"].realised) == ("10", "60", 60)
    trade = max(desk.stopline.history.latest("trades"), key=lambda row: row["book_revision"])
    assert (trade["status"], trade["book_revision"]) == ("OPEN", book.revision), (
        "the bust has opened it again"
    )


def test_both_ends_of_the_audit_trail_stay_and_are_named(desk: Desk) -> None:
    """F54, I8: a row that comes after the restore has an id of its own, and hides none that was forgotten."""
    desk.backup()
    desk.ask("kill")
    desk.restore()
    desk.ask("pause", reason="another")
    rows = [r for r in desk.stopline.history.latest("audit") if r["chain"] == "account:demo"]
    assert sorted((r["seq"], r["event"]) for r in rows) == [(1, "kill"), (1, "pause")]
    _, faults = exported_faults(desk.stopline.store, desk.stopline.history.latest("audit"))
    assert "account:demo: row 1 is not the store's" in faults


@pytest.mark.parametrize(
    ("events", "left"),
    [
        (["kill"], ["kill"]),
        (["kill", "resume"], []),
        (["kill", "resume", "pause"], ["pause"]),
        (["kill", "kill_repeated"], ["kill", "kill"]),
        (["pause", "lapse"], []),
        (["pause", "release_repeated"], ["pause"]),  # it may have lifted nothing
        (["kill", "resume_refused", "resume_asked"], ["kill"]),
    ],
)
def test_what_stands_after_a_row_of_events(events: list[str], left: list[str]) -> None:
    """F54: what is doubtful stands."""
    rows = []
    for seq, event in enumerate(events, 1):
        action = event.removesuffix("_repeated")
        detail = {
            "request_id": f"r-{seq}",
            "scope": "global",
            "action": action,
            "actor": "ann",
            "reason": "x",
        }
        row = {"chain": "global", "scope": "global", "actor": "ann", "seq": seq, "event": event}
        rows.append({**row, "detail": json.dumps(detail)})
    assert [request.action for request in stops_of(rows[::-1])] == left


def test_a_breakers_kill_is_taken_up_as_the_kill_that_it_was() -> None:
    """F54, R5.3: whoever resumed after the restore had not seen it, so that it names no pause that they lifted."""
    killed = ControlRequest(
        request_id="b-2",
        scope="account:demo",
        action="kill",
        actor="breaker:emergency_drawdown",
        reason="30 %",
        releases="b-1",
    )
    row = {"chain": "account:demo", "seq": 2, "scope": killed.scope, "actor": killed.actor, "event": "kill"}
    [taken_up] = again([{**row, "detail": killed.model_dump_json()}], NOON)
    assert (taken_up.action, taken_up.releases) == ("kill", None)


def test_an_import_over_the_same_database_forgets_no_stop() -> None:
    """F54, I6: it writes over what the backup has and deletes nothing, so that the audit's rows of since are all there."""
    desk = Desk()
    desk.ask("pause")
    desk.backup()
    desk.ask("kill", request_id="k-1")
    desk.ask("kill", "strategy:demo:core", request_id="k-2")
    for collection, documents in desk.kept._documents.items():
        written = [Put(Path(collection, id_), dict(data)) for id_, (data, _) in documents.items()]
        desk.stopline.store.commit(written)
    desk.of(HOME, desk.stopline.store)
    assert desk.state("account:demo") is TradingState.REDUCING
    for _ in range(2):
        done = desk.restored("--json")
        assert done.exit_code == 0, done.output
        desk.stopline.run()
    assert [row["of"] for row in json.loads(done.output)["forgotten"] if "kill" in row["what"]] == []
    assert desk.state("account:demo") is TradingState.HALTED
    assert desk.state("strategy:demo:core") is TradingState.HALTED
    assert desk.state("global") is TradingState.REDUCING
    assert stored_faults(desk.stopline.store)[1] == []


def test_however_many_accounts_were_killed_all_are_killed_again(desk: Desk) -> None:
    """F54, I6: of 130 only the last hundred were, without a word."""
    names = [f"a{number:03d}" for number in range(101)]
    for name in names:
        desk.app.account_writer.create(account(account=name), "ann")
    desk.backup()
    for name in names:
        request = {
            "request_id": f"k-{name}",
            "scope": f"account:{name}",
            "action": "kill",
            "actor": "ann",
            "reason": "x",
        }
        desk.app.trading.set(ControlRequest.model_validate(request))
    desk.stopline.run()
    desk.restore()
    result = desk.restored()
    assert result.exit_code == 0, result.output
    assert [name for name in names if desk.state(f"account:{name}") is not TradingState.HALTED] == []


def test_people_hear_of_a_lost_state_at_once_though_they_know_that_it_was_killed(desk: Desk) -> None:
    """F54, R4.1: not as one word more about the kill of a minute ago."""
    desk.ask("kill")
    desk.sweep()
    desk.wait(60)
    desk.stopline.store.commit([Delete(desk.app.controls.path("account:demo"))])
    desk.of(HOME, desk.stopline.store)
    desk.sweep()
    *_, told = desk.stopline.channels["email"].sent
    assert told.alert.kind == "state_lost"
    where = "taken up out of its audit trail, rows up to 1"
    start = f"The trading state of account demo was deleted or put back as it was: {where}. Now HALTED."
    assert told.alert.summary.startswith(start)


def test_a_row_that_cannot_be_read_keeps_nothing_from_being_stopped_again(desk: Desk) -> None:
    """F54: it counts as lacking, and the history has it."""
    desk.app.account_writer.create(account(account="other"), "ann")
    desk.backup()
    desk.ask("kill", "account:other")
    desk.ask("kill")
    store = desk.stopline.store
    [row] = [d for d in store.query("audit") if d.data.get("chain") == "account:other"]
    store.commit([Put(row.path, {**row.data, "row": "{"})])
    store.commit([Delete(desk.app.controls.path("account:demo"))])
    result = desk.restored()
    assert result.exit_code == 0, result.output
    assert desk.state("account:demo") is TradingState.HALTED
    assert desk.state("account:other") is TradingState.HALTED
