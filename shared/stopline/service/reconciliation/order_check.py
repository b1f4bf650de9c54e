"""Compare orders with their fills: what a broker said of an order's quantity, and what is booked of it.

Looked at once an hour, where the book has grown: the fill log of two sessions is read, and of an order that does not add up
its whole instrument. It is confirmed by a second look. One that stands is read again in the round after a fill or statement
came. It ends when the fills add up, with what a person adjusted in the order's name, and when complete statements of all
brokers agree with the book: then what is held is right. It is of the session in which its order began: no other order with
that number ends it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.model.ids import digest
from stopline.model.messages import Alert, alert_effect
from stopline.model.times import utc_text
from stopline.ports import Clock
from stopline.rules.watching.break_alerts import (
    adjusted_alert,
    break_alert,
    gone_alert,
    is_of_order,
    more_alert,
)
from stopline.rules.watching.breaks import Break, Stage, Step, Turn, is_same
from stopline.rules.watching.finding import BreakKind, Finding
from stopline.rules.watching.order_sums import (
    QUIET,
    OrderSum,
    adjusted_in_no_name,
    order_sums,
    settled_by_statement,
)
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.fills.books import Arrival, FillLog
from stopline.service.reconciliation.break_rows import break_rows
from stopline.service.reconciliation.reconciliations import Reconciliation

MOST = 20_000  # fills of an account in two sessions; the statements of who has more must do
MOST_CLOSELY = 10_000  # of the instruments of its orders that do not add up: more would not fit into a round
MOST_STANDING = {  # breaks kept by name: of whom more orders do not add up, the broker counts otherwise, or a feed is off
    BreakKind.ORDER: 200,
    BreakKind.ORDER_START: 10,
}
MOST_TOLD = 50  # one by one; each of the others blocks its instrument too, and those without a name block all
START_SESSIONS = 5  # so long what was filled before an order's first fill here is of interest
MOST_SETTLED = 200


OpenAlerts = Callable[[str], Mapping[str, datetime]]
"""Given an account, return what its open alerts of the kind `position_break` are about, and since when. Raises Transient."""


class OrderCheck:
    """Takes passes over the orders of accounts. A pass that comes twice changes nothing the second time."""

    def __init__(
        self,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        documents: Aggregates[Reconciliation],
        log: FillLog,
        alerts: OpenAlerts,
    ) -> None:
        self._alerts = alerts
        self._clock = clock
        self._accounts = accounts
        self._books = books
        self._documents = documents
        self._log = log

    def check(self, name: str, standing_only: bool = False) -> None:
        """Look at the orders of an account: at all of the last two sessions, or at those that do not add up."""
        account, before, now = self._accounts.get(name), self._documents.read(name), self._clock.now()
        standing = [item for item in before.breaks.values() if item.finding.order] if before else []
        if account is None or (standing_only and not standing):
            return
        book = self._books.read(name)
        if book is None:
            return
        is_new = not standing_only and (before is None or before.orders_at != book.fills)
        unchecked = dict(before.unchecked) if before and not is_new else {}
        found = self._recent(account, now, unchecked) if is_new else []
        young = any(now - one.came < QUIET for one in found)
        doubtful = [one for one in found if one.kind and now - one.came >= QUIET]
        mark = _mark(book, before) if before else ""
        again = standing if before and before.looked_at != mark else []
        looked, by_hand = self._closely(account, doubtful, standing, bool(again), unchecked)
        named = {one.finding.name for one in looked}
        looked += [_as_it_stands(item) for item in standing if item.finding.name not in named]
        seen = (-1 if young else book.fills) if is_new else None
        alerted = {} if standing_only else self._alerted(name)

        def decide(state: Reconciliation | None, attempt: int) -> Change[Reconciliation] | None:
            return _checked(account, state, looked, by_hand, unchecked, mark, seen, alerted, now)

        self._documents.change(name, decide)

    def _alerted(self, name: str) -> dict[str, datetime]:
        """Return the orders of which people have heard that they do not add up, and not that it is over."""
        try:
            return {about: since for about, since in self._alerts(name).items() if is_of_order(about)}
        except Transient:  # the next look closes what is to be closed
            return {}

    def _recent(self, account: Account, now: datetime, unchecked: dict[str, str]) -> list[OrderSum]:
        sessions = account.sessions
        since = sessions.open_of(sessions.previous_session(sessions.session_of(now))) - timedelta(hours=12)
        came = self._log.since(account.account, since, MOST + 1)
        if len(came) > MOST:
            unchecked["orders"] = f"not checked: the account has more than {MOST} fills in two sessions"
            return []
        return self._sums(account, came)

    def _sums(self, account: Account, came: Sequence[Arrival]) -> list[OrderSum]:
        first, session_of = self._log.first(account.account), account.sessions.session_of
        at = {fill.key: moment for fill, moment in came}
        began = session_of(first.executed_at) if first else None
        return order_sums([fill for fill, _ in came], session_of, at, began)

    def _closely(
        self,
        account: Account,
        doubtful: Sequence[OrderSum],
        standing: Sequence[Break],
        again: bool,
        unchecked: dict[str, str],
    ) -> tuple[list[OrderSum], dict[str, list[Arrival]]]:
        """Return orders, those of breaks under the names of these, by all fills of their instruments, and the adjustments of
        these in no order's name. Instruments with more fills than may be read go into `unchecked`.
        """
        looked: list[OrderSum] = []
        by_hand: dict[str, list[Arrival]] = {}
        left = MOST_CLOSELY
        symbols = {one.symbol for one in doubtful} | {item.finding.symbol for item in standing if again}
        for symbol in sorted(symbols):
            came = self._log.of_symbol(account.account, symbol, left + 1)
            if len(came) > left:
                unchecked[symbol] = f"orders not checked: there are more than {MOST_CLOSELY} fills to read"
                continue
            left -= len(came)
            unchecked.pop(symbol, None)
            looked += _asked(self._sums(account, came), doubtful, standing, account)
            at = {fill.key: moment for fill, moment in came}
            by_hand[symbol] = [
                (one, at.get(one.key, one.executed_at))
                for one in adjusted_in_no_name(fill for fill, _ in came)
            ]
        return looked, by_hand


def _asked(
    sums: Iterable[OrderSum], doubtful: Iterable[OrderSum], standing: Iterable[Break], account: Account
) -> list[OrderSum]:
    """Return those of an instrument's orders that are doubtful or of which breaks stand. These keep their names."""
    numbers: dict[tuple[str, str, str], list[OrderSum]] = {}
    for one in sums:  # of a number the oldest first
        numbers.setdefault((one.broker, one.order, one.symbol), []).append(one)
    found: dict[tuple[str, str, str, date | None], OrderSum] = {}
    for few in doubtful:
        for one in numbers.get((few.broker, few.order, few.symbol), ()):
            if _begins(one) <= (few.until or date.max) and _begins(few) <= (one.until or date.max):
                found[one.broker, one.order, one.symbol, one.session] = one
    named = []
    for item in standing:
        about = item.finding
        day = about.session or account.sessions.session_of(_heard(item))  # none: of an older version
        alike = [
            one
            for one in numbers.get((about.brokers[0], about.order, about.symbol), ())
            if _begins(one) <= day
        ]
        if alike and (about.session is None or day <= (alike[-1].until or date.max)):
            one = alike[-1]
            found.pop((one.broker, one.order, one.symbol, one.session), None)
            named.append(replace(one, session=about.session))
    return [*found.values(), *named]


def _begins(one: OrderSum) -> date:
    return one.session or date.min


def _mark(book: Book, state: Reconciliation) -> str:
    """Return what the end of a break of an order depends on."""
    complete = (
        utc_text(told.complete_at) if told.complete_at else "" for _, told in sorted(state.reported.items())
    )
    held = (name for name, item in state.breaks.items() if not item.finding.order)
    return digest(
        "orders", str(book.fills), *complete, "breaks", *sorted(held), "waits", *sorted(state.waits)
    )


def _as_it_stands(item: Break) -> OrderSum:
    """Return an order that was not read again by what its break says of it."""
    found = item.finding
    last, day = _heard(item), found.session
    ours, theirs = found.ours or ZERO, found.theirs or ZERO
    return OrderSum(
        found.brokers[0], found.order, found.symbol, ours, theirs, last, last, day, day, found.kind
    )


def _heard(item: Break) -> datetime:
    """Return when the order of a break was heard of last, by its evidence."""
    return datetime.fromisoformat(item.evidence.rpartition("@")[2])


def _is_over(item: Break, account: Account, now: datetime) -> bool:
    """Tell whether a break only says what was filled before an order's first fill here, and has said it for long enough."""
    if item.finding.kind is not BreakKind.ORDER_START:
        return False
    sessions = account.sessions
    session = sessions.session_of(now)
    for _ in range(START_SESSIONS):
        session = sessions.previous_session(session)
    return sessions.session_of(item.since) <= session


def _checked(
    account: Account,
    before: Reconciliation | None,
    looked: Iterable[OrderSum],
    by_hand: Mapping[str, Sequence[Arrival]],
    unchecked: Mapping[str, str],
    looked_at: str,
    seen: int | None,
    alerted: Mapping[str, datetime],
    now: datetime,
) -> Change[Reconciliation] | None:
    old = before or Reconciliation(account.account, now)
    breaks, settled, steps = dict(old.breaks), list(old.settled), list[Step]()
    quiet = timedelta(seconds=account.reconcile.quiet_s)
    complete = [told.complete_at if (told := old.reported.get(b)) else None for b in account.brokers]
    positions = [name for name, item in old.breaks.items() if not item.finding.order]
    doubled: list[tuple[Finding, Fill]] = []
    standing = Counter(item.finding.kind for item in old.breaks.values() if item.finding.order)
    by_itself = sum(item.told for item in old.breaks.values() if item.finding.kind is BreakKind.ORDER)
    no_room = Counter[BreakKind]()
    for one in looked:
        kind = one.kind or BreakKind.ORDER
        finding = replace(one.finding, kind=kind)
        known, mark = breaks.get(finding.name), f"{finding.name}={EXACT.subtract(one.told, one.booked)}"
        right = one.kind and (
            settled_by_statement(one, positions, old.waits, complete, quiet)
            or (known is not None and one.kind is BreakKind.ORDER_START and _is_over(known, account, now))
        )
        if one.kind is None or right:
            if right and mark not in settled:
                settled.append(mark)
            if known is not None:
                turn = Turn.CLEARED if known.stage is Stage.CONFIRMED else Turn.DROPPED
                steps.append(Step(turn, replace(breaks.pop(finding.name), finding=finding)))
                since = [fill for fill, at in by_hand.get(one.symbol, ()) if at >= known.since]
                doubled += [(finding, fill) for fill in since if one.kind is None]
        elif known is None and mark not in settled:
            if standing[kind] >= MOST_STANDING[kind]:
                no_room[kind] += 1
                continue
            standing[kind] += 1
            heard = kind is not BreakKind.ORDER or by_itself < MOST_TOLD
            by_itself += heard and kind is BreakKind.ORDER
            breaks[finding.name] = Break(finding, Stage.SUSPECTED, now, _evidence(one), told=heard)
            steps.append(Step(Turn.SUSPECTED, breaks[finding.name]))
        elif known is not None and known.stage is Stage.SUSPECTED:
            known = replace(known, finding=finding, evidence=_evidence(one))
            if now - known.since >= quiet and now - one.came >= QUIET:
                known = replace(known, stage=Stage.CONFIRMED)
                steps.append(Step(Turn.CONFIRMED, known))
            breaks[finding.name] = known
        elif known is not None:
            breaks[finding.name] = replace(known, finding=finding)
            if not is_same(known.finding, finding):  # an order that goes on lacks what it lacked
                steps.append(Step(Turn.CHANGED, breaks[finding.name]))
    orders = [item for item in breaks.values() if item.finding.kind is BreakKind.ORDER]
    # which instruments it was is forgotten: it stands until none is in doubt
    beyond = max(no_room[BreakKind.ORDER], old.beyond if orders else 0)
    unnamed = no_room[BreakKind.ORDER_START] + beyond + sum(not item.told for item in orders)
    if unnamed and (seen is not None or "orders" in unchecked):
        unchecked = {**unchecked, "orders": f"{unnamed} more orders than are told do not add up"}
    stands = any(item.finding.order for item in breaks.values())
    waits = old.recheck_at if positions or old.waits else None
    state = replace(
        old,
        as_of=now if steps else old.as_of,
        revision=old.revision + 1,
        breaks=dict(sorted(breaks.items())),
        settled=tuple(settled[-MOST_SETTLED:]),
        orders_at=old.orders_at if seen is None else seen,
        looked_at=looked_at if stands else "",
        unchecked=dict(unchecked),
        beyond=beyond,
        recheck_at=(old.recheck_at or now + quiet) if stands else waits,
    )
    names = {name for item in breaks.values() for name in item.finding.names}
    gone = sorted(alerted.keys() - names)
    if not steps and not gone and replace(state, as_of=old.as_of, revision=old.revision) == old:
        return None
    cause = digest(
        "orders", account.account, str(state.revision), *(step.item.finding.name for step in steps)
    )
    alerts = _alerts(old, state, steps, cause, now)
    alerts += [adjusted_alert(finding, fill, cause, now) for finding, fill in doubled]
    alerts += [gone_alert(account.account, about, alerted[about], cause, now) for about in gone]
    return Change(state, [*map(alert_effect, alerts), *break_rows(account.account, steps, cause, now)])


def _alerts(
    old: Reconciliation, state: Reconciliation, steps: Iterable[Step], cause: str, now: datetime
) -> list[Alert]:
    alerts = [alert for step in steps if (alert := break_alert(state.account, step, cause, now))]
    if (state.untold > 0, state.blocks_every) != (old.untold > 0, old.blocks_every):
        alerts.append(more_alert(state.account, state.untold, state.blocks_every, cause, now))
    return alerts


def _evidence(one: OrderSum) -> str:
    return f"{one.broker}/{one.order}@{utc_text(one.came)}"
