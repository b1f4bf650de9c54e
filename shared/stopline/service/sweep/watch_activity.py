"""Watch accounts for unusual activity: one query a sweep for the fills of the last minutes, alerts, and the breaker."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from stopline.ledger.leg_name import names_of
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.decimals import decimal_text
from stopline.model.errors import Transient, Unreadable
from stopline.model.fill import Fill, FillKind
from stopline.model.ids import digest
from stopline.model.instrument import Kind
from stopline.model.messages import Alert, Figure, Severity, alert_effect
from stopline.model.settings.activity import Detector
from stopline.model.times import utc_text
from stopline.ports import Clock, Data, Store, Where
from stopline.risk.border import to_decimal
from stopline.rules.trading.breakers import ACTIVITY_BREAKER, Tripped, advance
from stopline.rules.watching.activity import (
    Execution,
    Finding,
    OrderSpan,
    Usual,
    findings,
    usual_after,
)
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.evaluation.risk_state import RiskState, decode_breakers, encode_breakers
from stopline.service.fills.books import FILLS, read_fill
from stopline.service.prices.mark_prices import Desk
from stopline.service.prices.marks import Mark
from stopline.service.trading.breaker_effects import Lifted, breaker_effects
from stopline.service.trading.order_spans import order_spans

WINDOW = timedelta(seconds=150)  # two rounds of the sweep and a half: no minute is missed
MOST = 5000  # fills of all accounts in one look: the newest
GROUPS = 50  # of which an account's usual size is known
log = logging.getLogger("stopline")


@dataclass(frozen=True, slots=True)
class Activity:
    """What is known of an account's activity: usual sizes, and what is unusual since when. `resumed_at`: when people were
    last seen to have lifted the breaker's stop; None: never.
    """

    account: str
    usual: Usual = field(default_factory=dict)
    standing: Mapping[str, datetime] = field(default_factory=dict)
    breakers: Mapping[str, Tripped] = field(default_factory=dict)
    revision: int = 0
    resumed_at: datetime | None = None


class ActivityCodec:
    """Activity as the fields of its document."""

    collection = "activity"

    def encode(self, state: Activity) -> Data:
        body = {
            "usual": {g: [[k, decimal_text(q)] for k, q in known] for g, known in state.usual.items()},
            "standing": {name: utc_text(since) for name, since in sorted(state.standing.items())},
            "breakers": encode_breakers(state.breakers),
            "revision": state.revision,
            "resumed_at": utc_text(state.resumed_at) if state.resumed_at else None,
        }
        return {
            "account": state.account,
            "is_unusual": bool(state.standing or state.breakers),  # to be looked at again
            "state": orjson.dumps(body).decode(),
        }

    def decode(self, data: Data) -> Activity:
        body = orjson.loads(data["state"])
        usual = {
            group: [(key, Decimal(text)) for key, text in known] for group, known in body["usual"].items()
        }
        standing = {n: datetime.fromisoformat(t).astimezone(UTC) for n, t in body["standing"].items()}
        breakers, resumed = decode_breakers(body["breakers"]), body.get("resumed_at")
        resumed_at = datetime.fromisoformat(resumed).astimezone(UTC) if resumed else None
        return Activity(data["account"], usual, standing, breakers, body["revision"], resumed_at)


class ActivityWatch:
    """Looks once a sweep. `activity/{account}` is written when sizes are learned, or something begins or ends."""

    def __init__(
        self,
        store: Store,
        relay: Relay,
        clock: Clock,
        risk: Aggregates[RiskState],
        lifted: Lifted,
        accounts: AccountReader,
        closings: Callable[[str], ClosingState],
    ) -> None:
        self._closings = closings
        self._accounts = accounts
        self._store = store
        self._documents = Aggregates(store, relay, clock, ActivityCodec())
        self._risk = risk
        self._lifted = lifted
        self._revisions: dict[str, int] = {}  # of the books when we last looked

    def check(self, desk: Desk, now: datetime, cause: str) -> dict[str, str]:
        """Look at every account; return what could not be done, by account: it is looked at again."""
        unusual = {d.path.id for d in self._documents.query([Where("is_unusual", "==", True)])}
        revisions = {name: book.revision for name, book in desk.books.items()}
        failed: dict[str, str] = {}
        traded = unusual or revisions != self._revisions
        executions = self._executions(desk, now, failed) if traded else {}
        orders = order_spans(self._store, now)
        accounts = dict(desk.accounts)
        for name in orders.keys() - accounts.keys() - desk.unreadable.keys():  # nothing was ever filled there
            try:
                found = self._accounts.get(name)
                accounts |= {name: found} if found else {}
            except Transient as problem:
                failed[name] = str(problem)
        for name, account in sorted(accounts.items()):
            sent = orders.get(name, [])
            try:
                seen = self._others(name, executions.get(name, []))
                risk = self._risk.peek(name)
                samples = risk.track.recent if risk else ()
                if (
                    seen
                    or name in unusual
                    or findings((), {}, samples, account.capital, account.activity, sent)
                ):
                    self._look(account, seen, samples, sent, now, cause)
            except Transient as problem:
                failed[name] = str(problem)
            except Exception as problem:
                log.exception("sweep: an account's activity cannot be judged", extra={"account": name})
                failed[name] = f"{type(problem).__name__}: {problem}"
        if not failed:
            self._revisions = revisions
        return failed

    def _look(
        self,
        account: Account,
        seen: Sequence[Execution],
        samples: Sequence[tuple[datetime, Decimal]],
        sent: Sequence[OrderSpan],
        now: datetime,
        cause: str,
    ) -> None:
        name, settings = account.account, account.activity

        def decide(activity: Activity | None, attempt: int) -> Change[Activity] | None:
            before = activity or Activity(name)
            usual = dict(list(usual_after(before.usual, seen).items())[-GROUPS:])
            mark, lifted = f"{cause}.{before.revision + 1}", self._lifted(name, before.breakers)
            resumed = now if lifted else before.resumed_at

            def found_since(start: datetime | None) -> dict[Detector, Finding]:
                executions = [e for e in seen if start is None or e.at > start]
                totals = [s for s in samples if start is None or s[0] > start]
                orders = [s for s in sent if start is None or s.start >= start]
                of = findings(executions, usual, totals, account.capital, settings, orders)
                return {f.detector: f for f in of}

            found = found_since(None)
            fresh = found_since(resumed) if resumed else found
            standing: dict[str, datetime] = {d: before.standing.get(d, now) for d in found}
            stops = Decimal(sum(detector in settings.pauses for detector in fresh))
            breakers, moves = advance(
                [ACTIVITY_BREAKER],
                account.trading,
                before.breakers,
                {"unusual": stops},
                now,
                name,
                mark,
                lifted,
            )
            after = Activity(name, usual, standing, breakers, before.revision + 1, resumed)
            if (after.usual, after.standing, after.breakers) == (
                before.usual,
                before.standing,
                before.breakers,
            ):
                return None
            begun = [f for detector, f in found.items() if detector not in before.standing]
            over = [detector for detector in before.standing if detector not in found]
            alerts = [_begun(name, f, f.detector in settings.pauses, mark, now) for f in begun]
            alerts += [_over(name, detector, mark, now) for detector in over]
            return Change(after, [*map(alert_effect, alerts), *breaker_effects(name, moves, mark, now)])

        self._documents.change(name, decide)

    def _others(self, name: str, ran: Sequence[tuple[Fill, Execution]]) -> list[Execution]:
        """Return those executions of an account that are of none of Stopline's own closes: these are nothing unusual."""
        sent = self._closings(name).sent.values() if ran else ()
        own = {known for one in sent for known in one.known_as}
        return [execution for fill, execution in ran if own.isdisjoint(names_of(fill))]

    def _executions(
        self, desk: Desk, now: datetime, failed: dict[str, str]
    ) -> dict[str, list[tuple[Fill, Execution]]]:
        """Return the trades of the last minutes by account, by time; note in `failed` whose fills cannot be read."""
        result: dict[str, list[tuple[Fill, Execution]]] = defaultdict(list)
        where = [Where("executed_at", ">=", now - WINDOW)]
        newest = self._store.query(FILLS, where, ["-executed_at"], limit=MOST)
        for document in reversed(newest):
            try:
                fill = read_fill(document)
            except Unreadable as problem:
                log.exception("sweep: a fill cannot be read", extra={"document": str(document.path)})
                account = document.data.get("account")
                if isinstance(account, str):
                    failed[account] = str(problem)
                continue
            owner = desk.accounts.get(fill.account)
            if owner is None or fill.kind is not FillKind.TRADE:
                continue
            contract = fill.instrument
            mark = _about(desk.marks.marks.get(contract.symbol), fill.executed_at, owner)
            execution = Execution(
                key=fill.key,
                order=f"{fill.broker} {fill.order_id}" if fill.order_id else fill.key,
                at=fill.executed_at,
                symbol=contract.symbol,
                group=f"{contract.kind.value}:{contract.underlying}",
                is_option=contract.kind is Kind.OPTION,
                side=fill.side.value,
                quantity=fill.quantity,
                price=fill.price,
                mark=mark,
            )
            result[fill.account].append((fill, execution))
        return result


def _about(mark: Mark | None, at: datetime, account: Account) -> Decimal | None:
    """Return the price that held about a moment; None where the feed has none of then."""
    if mark is None or abs(mark.as_of - at) > timedelta(seconds=account.price_max_age_s):
        return None
    return to_decimal(mark.quote.mark)


def _begun(account: str, found: Finding, stops: bool, cause: str, now: datetime) -> Alert:
    return Alert(
        alert_id=digest("unusual_activity", account, found.detector, cause),
        account=account,
        kind="unusual_activity",
        object=found.detector,
        severity=Severity.CRITICAL if stops else Severity.WARNING,
        summary=f"Unusual: {found.text}"[:500],
        action="Is it you? If not, stop the program or pull the kill switch.",
        figure=Figure(current=found.current, limit=found.limit, unit=found.unit),
        cause=cause,
        raised_at=now,
    )


def _over(account: str, detector: str, cause: str, now: datetime) -> Alert:
    return Alert(
        alert_id=digest("unusual_activity", account, detector, "over", cause),
        account=account,
        kind="unusual_activity",
        object=detector,
        severity=Severity.WARNING,
        summary=f"As usual again: {detector.replace('_', ' ')}",
        action="",
        cause=cause,
        raised_at=now,
        resolved=True,
    )
