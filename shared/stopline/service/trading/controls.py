"""The trading state: set it (persist first, then publish), and read which state holds for an account."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from stopline.model.control import (
    GLOBAL,
    HALT,
    TAKEN_UP,
    Control,
    ControlRequest,
    Effective,
    Standing,
    TradingState,
    effective,
    effective_for,
)
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.messages import Effect
from stopline.model.scopes import Scope, scope_account, scope_of
from stopline.model.wire import content_hash, validate
from stopline.ports import Clock, Create, Store, Where
from stopline.rules.trading.resuming import doubtful, is_second, people_needed, refusal
from stopline.rules.trading.state import (
    BAD_UNTIL,
    MOST_PARTS,
    TARGETS,
    Transition,
    as_known,
    as_meant,
    ask_to_resume,
    check,
    is_held,
    is_same,
    lapse,
    lapsed,
    release,
    remember,
    remembered,
    resume,
    tighten,
    with_room,
)
from stopline.service.accounts.reader import AccountReader
from stopline.service.audit.chain import Link, is_next_there, linked
from stopline.service.documents.aggregate import Aggregates, Change, Decide, Due
from stopline.service.documents.outbox import Unpublished
from stopline.service.trading.control_documents import ControlCodec, both, of_everything
from stopline.service.trading.state_alerts import asked_alert, state_alert, unclosed_alert
from stopline.service.trading.stop_ends import StopEnds
from stopline.service.trading.unheld import Unheld, tell_unheld

log = logging.getLogger("stopline")

LAPSES = 50  # in a commit
PEOPLE = 2  # who must agree to resume the whole, or what a drawdown stopped

Doubts = Callable[[Scope], Sequence[str]]
"""What speaks against resuming a scope now: stale prices, position breaks; one line each."""


class Done(NamedTuple):
    """Where a scope stands after a request, and the id that this was carried out under."""

    standing: Standing
    request_id: str


class TradingStates:
    """Sets and reads the trading state of scopes."""

    def __init__(
        self,
        store: Store,
        documents: Aggregates[Control],
        clock: Clock,
        accounts: AccountReader,
        doubts: Doubts,
        people: int = PEOPLE,
        unheld: Unheld = lambda scope: "",
    ) -> None:
        self._store = store
        self._documents = documents
        self._clock = clock
        self._accounts = accounts
        self._ends = StopEnds(accounts)
        self._doubts = doubts
        self._people = people
        self._unheld = unheld

    def read(self, scope: str) -> Control:
        """Return the control document of the whole or of an account; one that was never set is ACTIVE at epoch 0. What
        counts where the whole's is damaged: see control_documents.py.
        """
        if scope == GLOBAL:
            return of_everything(self._documents)
        return self._documents.read(scope) or Control(scope=scope)

    def standing(self, scope: str) -> Standing:
        """Return where any scope stands as stored."""
        return self.read(scope_of(scope).document).standing(scope)

    def for_account(self, account: str) -> tuple[TradingState, int, list[Control]]:
        """Return the state that holds for an account, its epoch, and the controls it comes from. Raises
        Unavailable.
        """
        held = both(self._documents, account)
        state, epoch = effective(*held)
        return state, epoch, list(held)

    def standings(self, account: str) -> list[Standing]:
        """Return where all stands that an account is under: the whole, itself and its parts. Raises Unavailable."""
        everywhere, own = both(self._documents, account)
        return [everywhere, own, *own.parts.values()]

    def for_order(self, account: str, strategy: str, underlying: str) -> Effective:
        """Return what holds for an order of a strategy in an underlying. Raises Unavailable."""
        return effective_for(*both(self._documents, account), account, strategy, underlying)

    def done(self, request: ControlRequest) -> Done:
        """Return what became of a request that was carried out."""
        control = self.read(scope_of(request.scope).document)
        asked = as_known(control, request) if request.action in TARGETS else request
        return Done(control.standing(request.scope), asked.request_id)

    def set(self, request: ControlRequest) -> Standing:
        """Carry out a request and return where its scope stands; see `carry`."""
        return self.carry(request).standing

    def carry(self, request: ControlRequest) -> Done:
        """Carry out a request once; the same again changes nothing and answers the same. What stops under an id that was
        used for something else is another request, of an id of its own: see `as_known`.

        The state is committed before anything is published; only what loosens waits where much could not be published, so
        that a stop always has room in the document. Raises Rejected for a request that cannot be (a refused
        resume is on record), Unpublished when the state stands and its messages are due, Unavailable when the outcome
        is unknown: ask again.
        """
        scope, wish, is_stop = check(request), request, request.action in TARGETS
        doubt = self._looked_at(scope, wish) if wish.action == "resume" else None
        refused: Rejected | None = None
        moved: Transition | None = None

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal refused, moved, request
            refused = moved = None
            before = control or Control(scope=scope.document)
            request = as_known(before, wish) if is_stop else wish
            hashed = content_hash(request.content())
            seen = before.seen.get(request.request_id)
            if seen is not None:
                if not is_same(seen, request):
                    refused = Rejected(
                        "CONFLICTING_REQUEST",
                        f"request {request.request_id} was made with other content: a new wish has a new request_id",
                    )
                return None
            now = self._clock.now()
            if request.action == "resume":
                refused = refusal(before.standing(request.scope), request, now) or doubt
                if refused is not None:
                    return self._change(before, Transition(before, "resume_refused", False), request, now)
            asked, request = request, as_meant(before, request)
            moved = remember(self._transition(before, request, scope, now), request, hashed, now)
            if request is not asked:
                moved = remember(moved, asked, hashed, now)
            if is_stop and is_held(before, moved, request) and self._documents.is_crowded(scope.document):
                return Change(moved.control)  # the room that is left is for what stops more
            return self._change(before, moved, request, now)

        try:
            control = self._stored(scope.document, decide, Due.AFTER if is_stop else Due.OUT)
        except Unpublished:  # of a refusal the row is due, which changes nothing about it
            if refused is not None:
                raise refused from None
            raise
        if refused is not None:
            raise refused
        if control is None:
            raise Rejected("NO_CONTROL", f"scope {request.scope} has no state")
        tell_unheld(self._documents, self._clock, self._unheld, request, moved)
        return Done(control.standing(request.scope), request.request_id)

    def _looked_at(self, scope: Scope, request: ControlRequest) -> Rejected | None:
        """Say why a resume is refused by what stands now and by what is in doubt, or None. Not under the document's lock: of
        the whole this reads every account, and a kill waits for none of that.
        """
        # What stops the scope meanwhile the decision sees: by the epoch, or by `lifts`. A break or an old price of these
        # seconds it does not, and never did, as their documents take no part in the commit. It is as one of a moment after
        # the resume: breakers and limits stop again for what they find, and each order is checked.
        control = self._documents.read(scope.document) or Control(scope=scope.document)
        early = refusal(control.standing(request.scope), request, self._clock.now())
        return early or doubtful(request, self._doubts(scope))

    def store_halt(self, request: ControlRequest, halt: str, asked_at: datetime) -> Standing:
        """Store a kill of the second path: people were told that it holds, so it is carried out, whatever its id was used
        for before. Only where the same kill has been carried out since it was asked for nothing is left to do. `halt`: what
        adapters know it by; once that is remembered, the state counts. Raises like `set`.
        """
        scope, wish = check(request), request
        moved: Transition | None = None

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal moved
            moved = None
            before = control or Control(scope=scope.document)
            if before.knows_halt(halt):
                return None
            request = as_known(before, wish)
            hashed = content_hash(request.content())
            now, seen = self._clock.now(), before.seen.get(request.request_id)
            if seen is not None and seen.at >= asked_at:
                return Change(remembered(before, HALT + halt, hashed, now))
            asked = request if seen is None else request.model_copy(update={"request_id": halt})
            moved = tighten(before, asked, now, self._ends.lock(asked, scope, asked_at))
            moved = remember(moved, asked, hashed, now)
            moved = replace(moved, control=remembered(moved.control, HALT + halt, hashed, now))
            return self._change(before, moved, asked, now)

        control = self._stored(scope.document, decide, Due.AFTER) or Control(scope=scope.document)
        tell_unheld(self._documents, self._clock, self._unheld, request, moved)
        return control.standing(request.scope)

    def carry_out(self, effect: Effect) -> Standing:
        """Carry out a change of state that a limit or breaker asked for (the relay's local topic `controls`). What ends
        it again follows from who asked: the reset matrix.
        """
        return self.set(validate(ControlRequest, effect.body))

    def lapse_due(self) -> dict[str, str]:
        """Lift everything that has come to its end, in any scope; return what could not be done, by account: one document's
        trouble must not keep the others from being watched. `global`: the whole's document is damaged, whether anything is
        due there or not; what else keeps it from being lifted is of none, the round's own fault. Raises Unavailable.
        """
        failed: dict[str, str] = {}
        where = [Where("due_at", "<=", self._clock.now())]
        try:
            self._documents.read(GLOBAL)
        except Unreadable as problem:
            failed[GLOBAL] = str(problem)
        for document in self._store.query(ControlCodec.collection, where, ["due_at"]):
            scope = str(document.data.get("scope"))
            if scope in failed:
                continue
            try:
                self.lapse(scope)
            except Transient as problem:
                failed[scope_account(scope)] = str(problem)
        return failed

    def stopped_accounts(self) -> list[str]:
        """Return the accounts that are not ACTIVE, or have such a part, whether they hold anything or not."""
        try:
            is_stopped = self.read(GLOBAL).state is not TradingState.ACTIVE
        except Unreadable:
            is_stopped = True
        if is_stopped:
            return self._accounts.names()
        found = [
            document
            for flag in ("is_stopped", "is_halted")  # the latter is what documents of before have
            for document in self._store.query(ControlCodec.collection, [Where(flag, "==", True)])
        ]
        return [name for name in (scope_account(str(d.data.get("scope"))) for d in found) if name]

    def lapse(self, document: str) -> None:
        """Lift what has come to its end in a control document, some in a commit."""
        left = 1

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal left
            now = self._clock.now()
            due = lapsed(control, now) if control else []
            left = len(due[LAPSES:])
            if control is None or not due:
                return None
            after, effects, creates = control, list[Effect](), list[Create]()
            for scope, key in due[:LAPSES]:
                moved, request = lapse(after, scope, key, now)
                change = self._change(after, moved, request, now)
                after = change.state
                effects += change.effects
                creates += change.creates
            return Change(after, effects, creates)

        while left:
            self._stored(document, decide, Due.OUT)

    def _stored(self, document: str, decide: Decide[Control], due: Due) -> Control | None:
        """Decide and commit. A document that has lost its place in the audit trail is taken up there first."""
        is_behind = False

        def guarded(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal is_behind
            before = control or Control(scope=document)
            is_behind = attempt > 0 and self._is_behind(before)
            return self._regrown(before, before.epoch) if is_behind else decide(control, attempt)

        try:
            state = self._documents.change(document, guarded, due)
        except Unpublished:
            if not is_behind:
                raise
        return self._documents.change(document, decide, due) if is_behind else state

    def _is_behind(self, known: Control) -> bool:
        """Tell whether the audit trail goes on after what was read, though nobody has written it since."""
        if not is_next_there(self._store, known.scope, known.chain_seq):
            return False
        stands = self._documents.read(known.scope) or Control(scope=known.scope)
        return stands.chain_seq == known.chain_seq

    def take_up(self, scope: str, seen: int) -> None:
        """Stop a document that was lost since the epoch `seen`, out of its audit trail, until two people resume; once: not
        one that was taken up since, and has its place in the trail. Raises Transient: as long as it is behind, no lease is
        granted.
        """

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            before = control or Control(scope=scope)
            taken = before.seen.get(TAKEN_UP)
            is_since = taken is not None and taken.epoch > seen
            is_done = is_since and not is_next_there(self._store, scope, before.chain_seq)
            return None if is_done else self._regrown(before, seen)

        self._documents.change(scope, decide, Due.AFTER)

    def _regrown(self, known: Control, seen: int) -> Change[Control]:
        from stopline.service.trading.regrow import regrown

        now = self._clock.now()

        def stop(before: Control, request: ControlRequest) -> Change[Control]:
            moved = self._transition(before, request, check(request), now)
            hashed = content_hash(request.content())
            return self._change(before, remember(moved, request, hashed, now), request, now)

        return regrown(self._store, known, seen, now, stop)

    def _change(
        self, before: Control, moved: Transition, request: ControlRequest, now: datetime
    ) -> Change[Control]:
        """Return the commit of a transition: the control with its audit row in the chain, and who is told."""
        old, new = before.standing(request.scope), moved.control.standing(request.scope)
        link = Link(
            scope=request.scope,
            event=moved.event,
            actor=request.actor,
            reason=request.reason,
            at=now,
            epoch=new.epoch,
            states=(old.state.value, new.state.value),
            detail=request.content(),
        )
        after, effect, create = linked(moved.control, link)
        alerts = []
        if moved.changed:
            others = self._beside(moved.control, request.scope) if new.state is TradingState.ACTIVE else ()
            alerts = [state_alert(new, moved.control.epoch, now, others)]
        elif request.action == "pause" and request.releases and new.state is TradingState.REDUCING:
            alerts = [unclosed_alert(new, request, now)]
        if moved.event == "resume_asked":
            alerts = [asked_alert(new, request, now)]
        return Change(after, [effect, *alerts], [create])

    def _beside(self, control: Control, scope: str) -> list[Standing]:
        from stopline.service.trading.still_stopped import beside  # a kill does without

        everywhere = None if control.scope == GLOBAL else self.read(GLOBAL)
        return beside(scope_of(scope), everywhere, control)

    def _transition(
        self, before: Control, request: ControlRequest, scope: Scope, now: datetime
    ) -> Transition:
        match request.action:
            case "release":
                return release(before, request, now)
            case "resume":
                standing = before.standing(request.scope)
                alone = not standing.holds or people_needed(standing, now, self._people) < PEOPLE
                if alone or is_second(standing, now):
                    return resume(before, request, now)
                return ask_to_resume(before, request, now)
        if request.until is not None and request.until <= now:
            raise Rejected("BAD_UNTIL", BAD_UNTIL)
        room = with_room(before, request.scope)
        if room is None:
            raise Rejected(
                "TOO_MANY_PARTS",
                f"{MOST_PARTS} strategies and underlyings of {scope.account} are stopped: stop account:{scope.account}",
            )
        return tighten(
            room, self._ends.of_rule(request, scope, now), now, self._ends.lock(request, scope, now)
        )
