"""The trading state on any path: two instances, calls that fail before and after their effect, requests that come again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Rejected, StoplineError
from stopline.model.lease import LeaseRequest
from stopline.model.wire import validate
from stopline.ports import Conflict, Put
from stopline.rules.trading.resuming import MINIMUM_HOLD
from stopline.runtime.app import App
from stopline.service.sweep.heartbeat import HEARTBEAT

from ..make import account
from .world import FaultyStore, World

ACTIVE = TradingState.ACTIVE
OWN, PART = "account:demo", "strategy:demo:core"
SCOPES = st.sampled_from([OWN, OWN, PART])
WHO = st.integers(0, 1)
FAULTS = st.sampled_from(["none", "none", "none", "lost", "applied", "conflict"])


class Words(RuleBasedStateMachine):
    """People stop and resume an account and a strategy of it, and an adapter asks for leases."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.account = self.world.open_account(account())
        self.apps = [self.started(), self.started()]
        self.requests: list[ControlRequest] = []
        self.answered: set[str] = set()
        self.must_stop: set[str] = set()  # scopes that a word stopped, and none has resumed since
        self.may_stop: set[str] = set()  # the same, and those of which nobody can tell
        self.epochs = dict.fromkeys((OWN, PART), 0)

    def started(self) -> tuple[App, FaultyStore]:
        app, store = self.world.instance()
        app.trading._doubts = lambda scope: []
        return app, store

    @rule(who=WHO, scope=SCOPES, action=st.sampled_from(["kill", "pause"]), fault=FAULTS)
    def stop(self, who: int, scope: str, action: str, fault: str) -> None:
        self.ask(who, self.written(scope, action), fault)

    @precondition(lambda self: self.requests)
    @rule(who=WHO, which=st.integers(0, 9), fault=FAULTS)
    def repeat(self, who: int, which: int, fault: str) -> None:
        """F38: the same request again; one that was answered changes nothing, however late it is."""
        request = self.requests[which % len(self.requests)]
        before, was_answered = self.world.document("controls", OWN), request.request_id in self.answered
        self.ask(who, request, fault, is_fresh=False)
        assert not was_answered or self.world.document("controls", OWN) == before

    @rule(who=WHO, scope=SCOPES, behind=st.integers(0, 1), waits=st.booleans(), fault=FAULTS)
    def resume(self, who: int, scope: str, behind: int, waits: bool, fault: str) -> None:
        """F39, F45: only who has seen the last stop lifts it, and not within its minute."""
        if waits:
            self.world.wait(MINIMUM_HOLD.total_seconds())
        seen = max(0, self.epochs[scope] - behind)
        request = self.written(scope, "resume", expected_epoch=seen, confirm=f"RESUME {scope}")
        is_stale = seen < self.epochs[scope] and self.standing(scope) is not ACTIVE
        self.ask(who, request, fault)
        if is_stale:
            assert self.standing(scope) is not ACTIVE, "a resume of before the stop"

    @rule(who=WHO)
    def die(self, who: int) -> None:
        self.apps[who] = self.started()

    @rule(who=WHO)
    def lease(self, who: int) -> None:
        """F42, I6: a lease says what holds now, for a minute."""
        app, store = self.apps[who]
        now = self.world.clock.now()
        store.store.commit([Put(HEARTBEAT, {"at": now, "kind": "risk"})])
        lease = app.leases.grant(self.account, validate(LeaseRequest, {"adapter": "x"}))
        assert lease.expires_at - now <= timedelta(seconds=60)
        assert lease.epoch >= self.epochs[OWN]
        if OWN in self.must_stop:
            assert lease.state is not ACTIVE
        if PART in self.must_stop:
            assert [p.scope for p in lease.parts if p.state is not ACTIVE] == [PART]

    def written(self, scope: str, action: str, **more: Any) -> ControlRequest:
        facts = {"request_id": f"r-{len(self.requests)}", "scope": scope, "action": action}
        request = validate(ControlRequest, {**facts, "actor": "ann", "reason": "test", **more})
        self.requests.append(request)
        return request

    def ask(self, who: int, request: ControlRequest, fault: str, is_fresh: bool = True) -> None:
        app, store = self.apps[who]
        faults: dict[str, Any] = {
            "lost": [store.lost],
            "applied": [store.applied_but_lost],
            "conflict": [store.raises(Conflict("busy"))] * 2,
        }
        store.faults = list(faults.get(fault, []))
        scope, stops = request.scope, request.action != "resume"
        if stops and request.request_id not in self.answered:
            self.may_stop.add(scope)
        try:
            app.trading.set(request)
        except Rejected:
            assert not stops, "a stop is never refused"
        except StoplineError:  # the outcome may be either
            if not stops:
                self.must_stop.discard(scope)
        else:
            self.answered.add(request.request_id)
            if not stops:
                self.must_stop.discard(scope)
            elif is_fresh:
                self.must_stop.add(scope)
            if is_fresh and not stops:
                self.may_stop.discard(scope)
        store.faults = []

    def standing(self, scope: str) -> TradingState:
        return self.started()[0].trading.standing(scope).state

    @invariant()
    def what_is_stopped_stays_so_and_epochs_grow(self) -> None:
        """I6."""
        fresh, _ = self.started()
        for scope in self.epochs:
            standing = fresh.trading.standing(scope)
            assert standing.epoch >= self.epochs[scope]
            self.epochs[scope] = standing.epoch
            assert standing.state is not ACTIVE or scope not in self.must_stop
            assert standing.state is ACTIVE or scope in self.may_stop


TestWords = Words.TestCase
TestWords.settings = settings(max_examples=settings().max_examples // 8, stateful_step_count=12)
