"""What the trading state of an account truly was at each epoch, from the commits themselves, and what follows from it."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from emulators.simulator.adapter import Sent
from emulators.simulator.control_gauge import HOLD, GaugeTruth
from emulators.simulator.demand import demand
from emulators.simulator.versions import ADDED
from stopline.model.control import HALT, account_scope
from stopline.model.messages import Command
from stopline.model.scopes import GLOBAL, strategy_scope, underlying_scope
from stopline.ports import Create, Delete, Write

RANK = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}
A_MINUTE = timedelta(seconds=60)
WATCHED = timedelta(minutes=3)  # without a sweep for so long no lease is granted
ALONE = {"kill", "pause"}  # events of the audit that nobody has to agree to

States = dict[str, str]
"""By scope; one that is not there is ACTIVE."""

Owed = list[tuple[Decimal, datetime | None]]
"""Sizes that a scope may not exceed, each until a time, or until a person lifts it."""


class ControlTruth:
    """Follows the commits of the control documents of one account and the whole."""

    def __init__(self, account: str, slack: timedelta) -> None:
        self._account = account
        self._slack = slack  # clocks of instances differ by so much
        self.own = account_scope(account)
        self.documents: dict[str, dict[str, Any]] = {}
        self.states: States = {}
        self.epoch = 0
        self.at_epoch: dict[int, States] = {0: {}}
        self.since: dict[str, datetime] = {}  # when a scope ceased to be ACTIVE
        self.tightened: dict[str, int] = {}  # the epoch at which a scope last became stricter
        self.beat_at: datetime | None = None
        self.events: list[tuple[str, str, str]] = []  # (request id, event, scope), as committed
        self.written: dict[str, set[str]] = {}  # by resume: the requests whose holds it was written against
        self.halts: dict[str, tuple[str, int]] = {}  # (scope, events when it was asked for), by id
        self.begun: dict[str, int] = {}  # events when each halt was first asked for, told or not
        self.owed: dict[str, Owed] = {}
        self.gauge = GaugeTruth()

    # --- commits ---

    def on_commit(self, writes: Sequence[Write], now: datetime) -> None:
        """Check one commit and take it in."""
        rows = [
            orjson.loads(w.data["row"])
            for w in writes
            if isinstance(w, Create) and w.path.collection == "audit"
        ]
        for write in writes:
            if isinstance(write, Delete):
                continue
            if write.path.collection == "controls" and "state" in write.data:
                self._control(orjson.loads(write.data["state"]), rows, now)
            elif write.path.collection == "heartbeats":
                self.beat_at = now
            elif write.path.collection == "health" and "value" in write.data:
                self.gauge.on_commit(write.data)

    def _control(self, new: dict[str, Any], rows: list[dict[str, Any]], now: datetime) -> None:
        name = new["scope"]
        old = self.documents.get(name) or {"epoch": 0, "chain_seq": 0, "chain_hash": "", "seen": {}}
        demand(ADDED in new or ADDED not in old, "I1 no older version over a newer one", name)
        self._chain(old, new, rows)
        self.events += [(orjson.loads(r["detail"])["request_id"], r["event"], r["scope"]) for r in rows]
        before, after = _standings(old), _standings(new)
        demand(new["epoch"] >= old["epoch"], "I6 an epoch only grows", (old["epoch"], new["epoch"]))
        for scope, standing in after.items():
            self._holds(scope, before.get(scope, {}), standing, rows, now, old["seen"])
            self._sizes(scope, before.get(scope, {}), standing, rows, now)
        self.documents[name] = new
        self._remember(now)

    def _chain(self, old: dict[str, Any], new: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """I8: each commit goes on where the last one ended, and nothing changes without a row."""
        sequence = [(row["seq"], row["previous_hash"]) for row in rows]
        at, hashed = old["chain_seq"], old["chain_hash"]
        for row in rows:
            at += 1
            demand((row["seq"], row["previous_hash"]) == (at, hashed), "I8 the chain goes on", sequence)
            hashed = row["hash"]
        demand((new["chain_seq"], new["chain_hash"]) == (at, hashed), "I8 the chain ends here", sequence)
        if _states(new) != _states(old):
            demand(rows, "I8 no change without a row", new["scope"])

    def _holds(
        self,
        scope: str,
        old: dict[str, Any],
        new: dict[str, Any],
        rows: list[dict[str, Any]],
        now: datetime,
        stored: Collection[str],
    ) -> None:
        """I6: what holds a scope is lifted by who may, and not before its time."""
        hold, before = new["holds"].get(HOLD), old.get("holds", {}).get(HOLD)
        if hold and hold["flatten"] and not (before and before["flatten"]):
            self.gauge.on_killed(hold["request_id"])
        elif hold and not hold["flatten"] and not (before and before["request_id"] == hold["request_id"]):
            self.gauge.on_paused(hold["request_id"])
        gone = {key: hold for key, hold in old.get("holds", {}).items() if key not in new["holds"]}
        if not gone:
            return
        events = {row["event"].removesuffix("_repeated"): row for row in rows if row["scope"] == scope}
        loosened = events.keys() - ALONE
        demand(loosened, "I6 what stops is lifted by a word", (scope, sorted(events)))
        late = now + self._slack
        for key, hold in gone.items():
            if key == "half_open":
                continue
            if hold["locked_until"] is not None and "release" not in loosened:
                demand(_time(hold["locked_until"]) <= late, "I6 a lock runs", (scope, hold))
            if "lapse" in loosened:
                demand(
                    hold["until"] and _time(hold["until"]) <= late, "I6 its time is not over", (scope, hold)
                )
            elif "release" in loosened:
                demand(key == events["release"]["actor"], "I6 each lifts its own", (scope, key))
                if key == HOLD:
                    self.gauge.on_release(hold["request_id"])
            else:
                seen = self.written.get(orjson.loads(events["resume"]["detail"])["request_id"])
                demand(
                    seen is None or hold["request_id"] in seen,
                    "I6 a resume lifts what its writer has seen",
                    (scope, hold["request_id"], seen),
                )
                held = late - _time(hold["since"])
                demand(held >= A_MINUTE, "I6 a minimum hold runs", (scope, hold["since"], str(now)))
        if HOLD in gone and "release" not in loosened:
            self.gauge.on_lifted(stored)
        if "resume" in loosened and (
            scope == GLOBAL or any(h["people"] > 1 and not h["until"] for h in gone.values())
        ):
            asked: dict[str, Any] = old.get("pending") or {}
            demand(asked, "I6 two people resume", (scope, events["resume"]["actor"]))
            demand(asked["actor"] != events["resume"]["actor"], "I6 two different people resume", asked)
            demand(
                late - _time(asked["at"]) <= timedelta(minutes=10) + 2 * self._slack,
                "I6 within 10 minutes",
                asked,
            )

    def _sizes(
        self,
        scope: str,
        old: dict[str, Any],
        new: dict[str, Any],
        rows: list[dict[str, Any]],
        now: datetime,
    ) -> None:
        """I6: a size that is small stays so for its time, or until a resume that lifts nothing else."""
        gone = [hold for key, hold in old.get("holds", {}).items() if key not in new["holds"]]
        owed = self.owed.get(scope, [])
        if not (gone or owed):
            return
        events = {row["event"].removesuffix("_repeated") for row in rows if row["scope"] == scope}
        if "resume" in events and old.get("holds", {}).keys() == {"half_open"}:
            owed = []
        owed = [(size, until) for size, until in owed if until is None or until > now + self._slack]
        for hold in gone:
            size = Decimal(hold["reopen"])
            if size == 1 or "release" in events:
                continue
            until = None
            if hold["until"] and "lapse" in events:
                # from when it was decided: an instance may be slow to store it, and the stop held meanwhile
                half_open = new["holds"].get("half_open", {"since": hold["until"]})
                began = max(_time(hold["until"]), min(_time(half_open["since"]), now))
                until = began + (_time(hold["until"]) - _time(hold["since"])) - self._slack
            owed = [*owed, (size, until)]
        self.owed[scope] = owed
        most = min((size for size, _ in owed), default=Decimal(1))
        demand(Decimal(new["size"]) <= most, "I6 a small size stays small", (scope, new["size"], owed))

    def _remember(self, now: datetime) -> None:
        """Note the state under the epoch that commands carry: one epoch, one state."""
        self.epoch = sum(document["epoch"] for document in self.documents.values())
        states = {scope: state for d in self.documents.values() for scope, state in _states(d).items()}
        known = self.at_epoch.setdefault(self.epoch, states)
        demand(known == states, "I6 one epoch, one state", (self.epoch, known, states))
        for scope in self.states.keys() | states.keys():
            was, is_ = self.states.get(scope, "ACTIVE"), states.get(scope, "ACTIVE")
            if RANK[is_] > RANK[was]:
                self.tightened[scope] = self.epoch
            if is_ == "ACTIVE":
                self.since.pop(scope, None)
            else:
                self.since.setdefault(scope, now)
        self.states = states

    # --- what the adapter does ---

    def covering(self, strategy: str, underlying: str) -> list[str]:
        """Return the scopes that an order is in."""
        account = self._account
        return [GLOBAL, self.own, strategy_scope(account, strategy), underlying_scope(account, underlying)]

    def on_order(self, sent: Sent) -> None:
        """I6: an order that adds risk goes out under the epoch that the adapter knows, in which it was allowed, and never
        a minute after its scope was stopped.
        """
        ticket, scopes = sent.ticket, self.covering(sent.ticket.strategy, sent.ticket.instrument.underlying)
        demand(ticket.epoch >= sent.heard, "I6 an order of an epoch that is over", (ticket, sent.heard))
        allowed = self.at_epoch.get(ticket.epoch)
        demand(allowed is not None, "I6 an epoch that never was", ticket)
        assert allowed is not None
        stopped = {scope: allowed[scope] for scope in scopes if scope in allowed}
        demand(not stopped, "I6 an order against the state of its own epoch", (ticket, stopped))
        for scope in scopes:
            since = self.since.get(scope)
            if since is not None:
                demand(sent.at - since < A_MINUTE, "I6 a minute after the kill", (ticket, scope, str(since)))
        demand(
            sent.at - sent.asked_at < A_MINUTE,
            "I6 a lease of more than a minute",
            (ticket, str(sent.asked_at)),
        )
        demand(
            self.beat_at is not None and sent.at - self.beat_at < WATCHED + self._slack,
            "I6 I7 nobody watches",
            (ticket, str(self.beat_at)),
        )
        for id_, scope in sent.halted.items():
            if scope in scopes:
                demand(self.is_stored(scope, id_), "I6 a halt that is not stored yet", (ticket, scope))

    def on_command(self, command: Command, heard: int) -> None:
        """I6: what is carried out is not of an epoch that is over."""
        demand(command.epoch >= heard, "I6 a command of an epoch that is over", (command.command_id, heard))
        demand(command.epoch <= self.epoch, "I6 a command of an epoch that never was", command.command_id)
        demand(command.reduce_only, "I6 no command adds risk", command.command_id)

    def seen(self, scope: str) -> tuple[int, list[str]]:
        """Return what a person sees of a scope now: its epoch, and the requests of its holds."""
        standings = _standings(self.documents.get(self._document(scope), {}))
        standing = standings.get(scope, {"epoch": 0, "holds": {}})
        return standing["epoch"], [hold["request_id"] for hold in standing["holds"].values()]

    def asked(self, halt: str, scope: str) -> None:
        """Note that a kill is asked for which is the halt `halt` where it cannot be stored: what was stored before is no
        answer to it, unless the scope is halted still. Asked for again it is the same halt, however the first time ended.
        """
        begun = -1 if self.states.get(scope) == "HALTED" else len(self.events)
        self.begun[halt] = min(begun, self.begun.get(halt, begun))

    def told(self, halt: str, scope: str) -> None:
        """Note a halt that people and adapters were told of."""
        self.halts[halt] = scope, self.begun[halt]

    def is_stored(self, scope: str, halt: str) -> bool:
        """Tell whether the kill of a halt has been stored since it was asked for."""
        if halt not in self.halts:  # who told it died before the answer
            return self.remembers(scope, HALT + halt)
        since = self.halts[halt][1]
        return since < 0 or any(e.startswith("kill") and s == scope for _, e, s in self.events[since:])

    def remembers(self, scope: str, request_id: str) -> bool:
        """Tell whether a request is known to have been carried out."""
        return request_id in self.documents.get(self._document(scope), {"seen": {}})["seen"]

    def _document(self, scope: str) -> str:
        return GLOBAL if scope == GLOBAL else self.own


def _standings(control: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if "scope" not in control:
        return {}
    return {control["scope"]: control, **control["parts"]}


def _states(control: dict[str, Any]) -> States:
    found = {scope: standing["state"] for scope, standing in _standings(control).items()}
    return {scope: state for scope, state in found.items() if state != "ACTIVE"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
