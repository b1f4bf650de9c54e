"""Commands that are out: which are over, what is still alive of a position, and when the next may go."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from stopline.model.closing_state import Asked, ClosingState, OrderId, Over, Sent, SentLeg, Tries
from stopline.model.decimals import EXACT, ZERO
from stopline.model.messages import ExecutionReport, ReportStatus
from stopline.model.scopes import Scope, scope_of
from stopline.model.settings.closing import ClosingSettings
from stopline.model.text import cut
from stopline.rules.closing.turns import next_turns

GRACE = timedelta(seconds=5)  # how long after the end of a command its last fills may take to get here
MOST_LEGS = 120  # of commands that are out: with their orders and rows, and those just over, 0.6 of a MiB
MOST_IDS = 16  # numbers of brokers for one command: an order for each leg, or one that was changed
ERROR, ERROR_BYTES = 100, 200  # characters, and bytes, of what a broker said that are kept with a command
KEPT = timedelta(minutes=15)  # a command that is over stays known, for fills that come later still
MOST_OVER = 240  # names that are known longer: a broker's list counts until a newer one comes
LAGS = timedelta(seconds=60)  # how long a broker may list an order of which it has said that it is over
DEFAULTS = ClosingSettings()


def backoff(count: int, settings: ClosingSettings = DEFAULTS) -> timedelta:
    """Return how long after a command the next one may go, when `count` have failed: `retry_s`, doubled with each up to
    `retry_max_s`.
    """
    return timedelta(seconds=min(settings.retry_s * 2 ** min(count - 1, 12), settings.retry_max_s))


def with_report(sent: Sent, report: ExecutionReport) -> Sent:
    """Return a command with a report. After a final one only another final one with more executed units counts, and what
    its broker calls the order: another broker may have it too.
    """
    sent = sent.model_copy(update={"order_ids": _with_id(sent.order_ids, report)})
    more = report.filled is not None and (sent.reported is None or report.filled > sent.reported)
    if sent.is_final and not (report.status in (ReportStatus.FILLED, ReportStatus.CANCELLED) and more):
        return sent
    filled = sent.units if report.status is ReportStatus.FILLED and report.filled is None else report.filled
    return sent.model_copy(
        update={
            "status": report.status,
            "error": cut(report.reason[:ERROR], ERROR_BYTES) or sent.error,
            "broker": report.broker,
            "reported": max(filled, sent.reported or ZERO) if filled is not None else sent.reported,
            "reported_at": report.reported_at,
        }
    )


def _with_id(known: tuple[OrderId, ...], report: ExecutionReport) -> tuple[OrderId, ...]:
    new = (report.broker, report.order_id) if report.order_id else None
    return known if new is None or new in known else (*known, new)[-MOST_IDS:]


def alive(sent: Iterable[Sent]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return how many units commands may still execute, as far as is known: of positions, and of parts of them."""
    of_positions: dict[str, Decimal] = {}
    of_parts: dict[str, Decimal] = {}
    with localcontext(EXACT):
        for one in (one for one in sent if one.ended_at is None):
            for leg in one.legs:
                left = _left(one, leg)
                of_positions[leg.key] = of_positions.get(leg.key, ZERO) + left
                of_parts[leg.part] = of_parts.get(leg.part, ZERO) + left
    return of_positions, of_parts


def _left(sent: Sent, leg: SentLeg) -> Decimal:
    most = leg.quantity
    if sent.is_final:  # the broker does nothing more: what it executed may still be on its way
        most = sent.told(leg)
    return max(most - leg.filled, ZERO)


def ended(state: ClosingState, now: datetime, epoch: int) -> ClosingState:
    """Return the state with the commands that are over now marked so, their tries counted, and old ones dropped, under the
    account's `epoch` of now.
    """
    sent: dict[str, Sent] = {}
    tries = dict(state.tries)
    for id_, one in state.sent.items():
        if one.ended_at is None and _is_over(one, now):
            one = one.model_copy(update={"ended_at": now})
            for leg in one.legs:
                if one.is_filled:
                    tries.pop(leg.part, None)
                else:
                    tries[leg.part] = _tried(one, now, epoch)
        if one.ended_at is None or now < one.ended_at + KEPT:
            sent[id_] = one
    sent = _fitting(sent, now)
    dropped = [one for id_, one in state.sent.items() if id_ not in sent]
    asked, over = _with_done(state, dropped), _with_names(state, dropped)
    return state.model_copy(update={"sent": sent, "over": over, "tries": tries, "asked": asked})


def _tried(sent: Sent, now: datetime, epoch: int) -> Tries:
    """Return the try that a command was which has not executed all. One that our own cancel took along before its time was
    none; the next one waits for nothing.
    """
    due = sent.next_at or sent.issued_at + backoff(sent.round)
    at = _taken_at(sent, epoch)
    if at is None:
        return Tries(count=sent.round, next_at=due, error=sent.error[:ERROR])
    count = sent.round if at >= due else sent.round - 1
    return Tries(count=count, next_at=now, error=sent.error[:ERROR])


def _taken_at(sent: Sent, epoch: int) -> datetime | None:
    """Return when our own cancel ended a command, None: it did not. Its broker may say so before we look: then the cancel is
    of a later epoch than the command.
    """
    if sent.status is ReportStatus.REJECTED:
        return None
    is_told = sent.status is ReportStatus.CANCELLED and sent.epoch < epoch
    return sent.cancelled_at or (sent.reported_at if is_told else None)


def legs_out(sent: Iterable[Sent]) -> int:
    """Return how many legs commands have that are not over."""
    return sum(len(one.legs) for one in sent if one.ended_at is None)


def _fitting(sent: Mapping[str, Sent], now: datetime) -> dict[str, Sent]:
    """Return the commands that are out or just over, and of those that were over and logged before the newest for which
    there is room: what comes late for others the end of the day restates.
    """
    kept, legs = dict(sent), sum(len(one.legs) for one in sent.values())
    before = [
        (one.ended_at, id_) for id_, one in sent.items() if one.ended_at is not None and one.ended_at < now
    ]
    for _, id_ in sorted(before):
        if legs <= MOST_LEGS:
            break
        legs -= len(kept.pop(id_).legs)
    return kept


def own_names(state: ClosingState, broker: str, at: datetime) -> set[str]:
    """Return the names of the orders of our commands that a broker may list, asked at a moment. One that ran out before is
    no more ours to count; of one that the broker says is over its list may be behind. What another broker calls it is no
    name here.
    """
    known = [
        one.names(id_, broker)
        for id_, one in state.sent.items()
        if one.ended_at is None or at <= _listed_until(one, one.ended_at)
    ]
    known += [one.names(id_, broker) for id_, one in state.over.items() if at <= one.until]
    return {name for names in known for name in names}


def _listed_until(sent: Sent, ended_at: datetime) -> datetime:
    return ended_at + LAGS if sent.is_filled or sent.is_final else ended_at


def _with_names(state: ClosingState, dropped: Iterable[Sent]) -> dict[str, Over]:
    """Keep the names of commands that are forgotten, the newest of them."""
    over = dict(state.over)
    for one in dropped:
        if one.ended_at is not None:
            until = _listed_until(one, one.ended_at)
            over[one.command_id] = Over(until=until, order_ids=one.order_ids)
    return dict(sorted(over.items(), key=lambda item: item[1].until)[-MOST_OVER:])


def _with_done(state: ClosingState, dropped: Iterable[Sent]) -> dict[str, Asked]:
    """Keep with the requests of a trade what commands that are forgotten have executed for it."""
    asked = dict(state.asked)
    for leg in (leg for sent in dropped for leg in sent.legs if leg.trade_id and leg.filled):
        for id_, one in asked.items():
            if one.request.trade_id == leg.trade_id:
                done = one.done.get(leg.key, ZERO) + leg.filled
                asked[id_] = one.model_copy(update={"done": {**one.done, leg.key: done}})
    return asked


def _is_over(sent: Sent, now: datetime) -> bool:
    if sent.is_filled or now >= alive_until(sent):
        return True
    settled = sent.is_final and not any(_left(sent, leg) for leg in sent.legs)
    if not settled or sent.reported_at is None:
        return False
    # cancelled without a word on what was executed before: the fills get a moment to come
    silent = sent.status is not ReportStatus.REJECTED and sent.reported is None
    return not silent or now >= sent.reported_at + GRACE


def alive_until(sent: Sent) -> datetime:
    """Return until when a command counts as alive: it has run out, or a halt has cancelled it, and a grace is over."""
    return min(sent.expires_at, sent.cancelled_at or sent.expires_at) + GRACE


def cancelled(sent: Mapping[str, Sent], scopes: Mapping[str, int], now: datetime) -> dict[str, Sent]:
    """Return commands with those marked that the cancels of scopes are for, each of its account's epoch: what went under an
    earlier one. A halt of a part ends what is out for that part, and for nothing beside it.
    """
    found = {}
    for id_, one in sent.items():
        before = [scope_of(scope) for scope, epoch in scopes.items() if one.epoch < epoch]
        found[id_] = _cancelled(one, now) if _is_within(one, before) else one
    return found


@dataclass(frozen=True, slots=True)
class JustCancelled:
    """What was cancelled a moment ago, at `at`, when the last of it was out. `first`: scopes, each with the epoch of
    its cancel. `again`: scopes that were cancelled again under the epoch of before, when commands of the names `out` were.
    """

    at: datetime
    first: Mapping[str, int]
    again: Collection[str]
    out: Collection[str]

    @property
    def scopes(self) -> set[str]:
        return {*self.first, *self.again}

    def marked(self, sent: Mapping[str, Sent]) -> dict[str, Sent]:
        """Return commands with those marked that this has taken along: none that went after it."""
        again = [scope_of(scope) for scope in self.again]
        return {
            id_: _cancelled(one, self.at) if id_ in self.out and _is_within(one, again) else one
            for id_, one in cancelled(sent, self.first, self.at).items()
        }


def _is_within(sent: Sent, halted: Iterable[Scope]) -> bool:
    return any(
        all(scope.covers(sent.strategy, leg.instrument.underlying) for leg in sent.legs) for scope in halted
    )


def _cancelled(sent: Sent, now: datetime) -> Sent:
    if sent.cancelled_at is not None:
        return sent
    return sent.model_copy(update={"cancelled_at": max(now, sent.issued_at)})


def next_due(state: ClosingState) -> datetime | None:
    """Return when something is to be done again without any news; None while nothing is being closed."""
    moments = [alive_until(one) for one in state.sent.values() if one.ended_at is None]
    moments += [*(tries.next_at for tries in state.tries.values()), *next_turns(state.asked)]
    return min(moments, default=None)
