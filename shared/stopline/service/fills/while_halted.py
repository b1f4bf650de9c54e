"""Fills that come while trading is halted and that none of Stopline's own closes explains: booked like any, and told.

Looked at by the sweep that fills cause and that names them, so that to book them costs nothing more. Each order is told once
for each halt, the first few by name and all others together: what still trades may be a program that sends hundreds. What
may be of a close whose order its broker has not named yet is looked at again when it has.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from stopline.ledger.book import Book
from stopline.ledger.leg_name import names_of
from stopline.model.closing_state import ClosingState, Sent
from stopline.model.control import Standing, TradingState
from stopline.model.decimals import decimal_text
from stopline.model.fill import Fill, FillKind
from stopline.model.ids import digest
from stopline.model.messages import Alert, ReportStatus, Severity, alert_effect
from stopline.model.scopes import GLOBAL, account_scope, strategy_scope, underlying_scope
from stopline.model.times import utc_text
from stopline.ports import Clock, Data, Store
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.fills.books import fill_path, read_fill

EXECUTED = frozenset({FillKind.TRADE, FillKind.LIQUIDATION})
NAMED = 5  # orders of a halt that are told one by one
MOST_DOUBTFUL = 100
NOT_OURS = "Stopline did not ask for it"
STOP_IT = "find out what still sends orders, and stop that at the broker."
PERHAPS = "It, or what came before it, is more than Stopline asked for"


@dataclass(frozen=True, slots=True)
class Strays:
    """Which alerts of an account's fills under halts are told: the halt of each, by its id, while that halt stands.
    `doubtful`: keys of the fills that may be of a close, or of another order.
    """

    account: str
    told: Mapping[str, str]
    doubtful: tuple[str, ...] = ()


class StraysCodec:
    """Strays as the fields of their document."""

    collection = "strays"

    def encode(self, state: Strays) -> Data:
        doubtful = orjson.dumps(state.doubtful).decode()
        return {
            "account": state.account,
            "state": orjson.dumps(dict(state.told)).decode(),
            "doubtful": doubtful,
        }

    def decode(self, data: Data) -> Strays:
        doubtful = tuple(orjson.loads(data.get("doubtful", "[]")))
        return Strays(data["account"], orjson.loads(data["state"]), doubtful)


class HaltedFills:
    """Tells of fills that come while trading is halted, once: `strays/{account}` says what is told."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        relay: Relay,
        standings: Callable[[str], Sequence[Standing]],
        closings: Callable[[str], ClosingState],
        books: Callable[[str], Book | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._documents = Aggregates(store, relay, clock, StraysCodec())
        self._standings = standings
        self._closings = closings
        self._books = books

    def look(self, account: str, keys: Sequence[str]) -> None:
        """Tell of those fills of an account, by their keys, that came under a halt, and of those that were doubtful. Raises
        Unavailable, Unpublished.
        """
        halts = {s.scope: since for s in self._standings(account) if (since := _halted_since(s)) is not None}
        if not halts:
            return
        before = self._documents.read(account)
        doubted = before.doubtful if before else ()
        if not keys and not doubted:
            return
        book = self._books(account) or Book(account)
        found, doubtful = self._stray(book, list(dict.fromkeys([*doubted, *keys])), doubted, halts)
        if not found and doubtful == doubted:
            return
        standing = {_halt(scope, since) for scope, since in halts.items()}

        def decide(state: Strays | None, attempt: int) -> Change[Strays] | None:
            told = {id_: halt for id_, halt in state.told.items() if halt in standing} if state else {}
            alerts = self._alerts(book, found, told)
            known = state.doubtful if state else ()
            meanwhile = [key for key in known if key not in doubted]  # by another instance
            left = tuple(dict.fromkeys([*meanwhile, *doubtful]))[-MOST_DOUBTFUL:]
            if not alerts and left == known:
                return None
            return Change(Strays(account, told, left), [alert_effect(alert) for alert in alerts])

        self._documents.change(account, decide)

    def _stray(
        self, book: Book, keys: Sequence[str], doubted: Collection[str], halts: Mapping[str, datetime]
    ) -> tuple[list[tuple[Fill, str, datetime, bool]], tuple[str, ...]]:
        """Return the fills that came under a halt and are of none of our commands, oldest first, each with its halt and
        whether it may be ours all the same; and the keys of those of which that is not known yet.
        """
        documents = self._store.get_all([fill_path(key) for key in keys])
        sent = list(self._closings(book.account).sent.values())
        found, doubtful = [], []
        for document in documents:
            if document is None:
                continue
            fill = read_fill(document)
            received = document.data.get("received_at") or fill.executed_at
            covering = [(halts[s], s) for s in _scopes(fill) if s in halts and received >= halts[s]]
            if not covering or fill.kind not in EXECUTED or _is_named(fill, sent):
                continue
            alike = _alike(fill, sent)
            unnamed = [
                one for one in alike if (fill.order_id is None or not one.order_ids) and not _is_refused(one)
            ]
            # A doubtful fill may seem to add because of a later one; of a close that is long over nothing becomes known.
            if unnamed and (fill.key in doubted or not _adds(fill, book)):
                if fill.order_id is not None and not all(one.is_final for one in unnamed):
                    doubtful.append(fill.key)
            elif alike or fill.key not in doubted:
                since, scope = min(covering)
                found.append((fill, scope, since, bool(unnamed)))
        found.sort(key=lambda one: (one[0].executed_at, one[0].key))
        return found, tuple(doubtful)

    def _alerts(
        self, book: Book, found: Iterable[tuple[Fill, str, datetime, bool]], told: dict[str, str]
    ) -> list[Alert]:
        """Return the alerts that are to be told, and note them as told."""
        now, alerts = self._clock.now(), []
        for fill, scope, since, perhaps in found:
            halt, order = _halt(scope, since), fill.order_id or fill.key
            id_ = digest("fill_while_halted", book.account, halt, order)
            named = id_ in told or list(told.values()).count(halt) < NAMED
            id_ = id_ if named else digest("fill_while_halted", book.account, halt)
            if id_ not in told:
                told[id_] = halt
                adds = _adds(fill, book)
                alerts.append(_alert(id_, fill, scope, since, adds, named=named, perhaps=perhaps, now=now))
        return alerts


def _halt(scope: str, since: datetime) -> str:
    return f"{scope} {utc_text(since)}"


def _halted_since(standing: Standing) -> datetime | None:
    """Return when a scope's halt began, or None."""
    since = [hold.since for hold in standing.holds.values() if hold.state is TradingState.HALTED]
    return min(since) if since and standing.state is TradingState.HALTED else None


def _scopes(fill: Fill) -> tuple[str, ...]:
    account = fill.account
    return (
        GLOBAL,
        account_scope(account),
        strategy_scope(account, fill.strategy),
        underlying_scope(account, fill.instrument.underlying or fill.instrument.symbol),
    )


def _is_named(fill: Fill, sent: Iterable[Sent]) -> bool:
    """Tell whether a fill names a close command, or a broker's order for it."""
    names = set(names_of(fill))
    return any(names & one.known_as for one in sent)


def _alike(fill: Fill, sent: Iterable[Sent]) -> list[Sent]:
    """Return the close commands in the contract and on the side of a fill. Where either has no order to name, it may be of
    one, if it has not taken the position beyond zero.
    """
    contract = fill.instrument.symbol, fill.side.value
    return [one for one in sent if any((leg.instrument.symbol, leg.side) == contract for leg in one.legs)]


def _is_refused(one: Sent) -> bool:
    """Tell whether nothing of a close was executed, nor will be."""
    return one.status is ReportStatus.REJECTED and not one.reported and not one.fills


def _adds(fill: Fill, book: Book) -> bool:
    """Tell whether what is held now is on the side of a fill."""
    return book.net_quantity(fill.instrument.symbol) * fill.signed_quantity > 0


def _alert(
    id_: str, fill: Fill, scope: str, since: datetime, adds: bool, named: bool, perhaps: bool, now: datetime
) -> Alert:
    order = f" of order {fill.order_id}" if fill.order_id else ""
    units = f"{fill.side.value} {decimal_text(fill.quantity)} {fill.instrument.symbol}"
    when = "" if fill.executed_at >= since else f", executed before at {utc_text(fill.executed_at)}"
    what = f"{units} at {decimal_text(fill.price)}{order} came while {scope} is halted{when}"
    if not named:
        what = (
            f"More orders than {NAMED} were filled while {scope} is halted: {units}{order} and what follows"
        )
    return Alert(
        alert_id=id_,
        account=fill.account,
        kind="fill_while_halted",
        object=scope,
        severity=Severity.CRITICAL if adds or not named else Severity.WARNING,
        summary=what[:500],
        action=f"It is booked. {PERHAPS if perhaps else NOT_OURS}: {STOP_IT}",
        cause=fill.key,
        raised_at=now,
    )
