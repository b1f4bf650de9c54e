"""What adapters say of their brokers with each request for a lease: kept with their leases until a sweep has heard it.

An adapter speaks every 20 s, a sweep listens once a minute. The lease's document, which only the api writes, holds its last
word and those before it that are worse; up to which word a sweep has heard is in the sweep's own document.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from stopline.model.lease import LeaseRequest
from stopline.model.settings.trading import TradingSettings
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Data, Document, Store, Where
from stopline.rules.trading.breakers import HEALTH_BREAKERS, is_bad
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.trading.order_spans import holder_of
from stopline.service.trading.unheard import LEASES

KEPT = timedelta(
    minutes=5
)  # nothing is granted 3 minutes after the last sweep; what is older says nothing of now
MOST = 50  # earlier words of one adapter: from there on the two oldest are one
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger("stopline")
Facts = Mapping[str, Decimal | None]


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an adapter, as it counts. `at`: when, and later than that of any word before it, whatever the instances'
    clocks say. `latency_ms`: no more than the word before it told, because one slow answer is no slow broker; None: unknown.
    """

    at: datetime
    is_ok: bool
    errors: int
    latency_ms: int | None

    def covers(self, other: "Word") -> bool:
        """Tell whether this word is as bad as another one in every regard."""
        return (
            self.is_ok <= other.is_ok
            and self.errors >= other.errors
            and (other.latency_ms is None or (self.latency_ms or 0) >= other.latency_ms)
        )


@dataclass(frozen=True, slots=True)
class Adapter:
    """What one adapter has said in the last minutes, oldest first. `is_leased`: its last word stands."""

    name: str
    is_leased: bool
    words: tuple[Word, ...]

    def since(self, heard: datetime | None) -> tuple[Word, ...]:
        """Return what was said after a moment; if nothing was, the word that stands, if that is what was heard last."""
        new = tuple(word for word in self.words if heard is None or word.at > heard)
        stands = self.is_leased and self.words[-1].at == heard
        return new or self.words[-1:] if stands or new else ()


def is_bad_word(word: Word, settings: TradingSettings) -> bool:
    """Tell whether an adapter says of its broker what a breaker of the account would trip for."""
    said = worst([[word]])
    return any(is_bad(breaker, settings, said) for breaker in HEALTH_BREAKERS)


def word_of(before: Document | None, request: LeaseRequest, now: datetime) -> Word:
    """Return what a request says, as it counts after the words in its lease's document."""
    known = _words(before, now) if before else []
    at = max(now, known[-1].at + timedelta(microseconds=1)) if known else now
    last = _told_ms(before) if before and known else None
    slow_ms = None if request.latency_ms is None or last is None else min(request.latency_ms, last)
    return Word(at, request.broker_ok, request.errors, slow_ms)


def with_word(before: Document | None, request: LeaseRequest, now: datetime) -> Data:
    """Return the fields of a lease that hold the word of a request and what counts of those before it."""
    known = _words(before, now) if before else []
    word = word_of(before, request, now)
    last = _told_ms(before) if before and known else None
    earlier = [one for one in known if not word.covers(one)]
    if len(earlier) > MOST:
        first, second, *rest = earlier
        earlier = [_joined(first, second), *rest]
    told = [[utc_text(one.at), one.is_ok, one.errors, one.latency_ms] for one in earlier]
    return {
        "broker_ok": word.is_ok,
        "errors": word.errors,
        "latency_ms": word.latency_ms,
        "told_ms": last if request.latency_ms is None else request.latency_ms,
        "said_at": word.at,
        "earlier": orjson.dumps(told).decode(),
    }


def adapters_lately(store: Store, now: datetime) -> dict[str, list[Adapter]]:
    """Return by account the adapters that said something in the last minutes. Raises Unavailable."""
    found: dict[str, list[Adapter]] = defaultdict(list)
    for document in store.query(LEASES, [Where("expires_at", ">", now - KEPT)]):
        account, adapter = holder_of(document.path)
        words, is_leased = _words(document, now), document.data["expires_at"] > now
        if words:
            found[account].append(Adapter(adapter, is_leased, tuple(words)))
    return found


def silent_facts(store: Store, account: str, now: datetime) -> Facts:
    """Return what those adapters of an account last said, the worst of each, whose lease has run out; none: nothing."""
    leases = store.query(LEASES, [Where("account", "==", account)])
    return worst([[_last(lease)] for lease in leases if not _is_good(lease.data.get("expires_at"), now)])


def worst(said: Iterable[Sequence[Word]]) -> Facts:
    """Return as facts of the breakers the worst of what adapters have said, each of them some words; of none: nothing."""
    spoken = [words for words in said if words]
    if not spoken:
        return {}
    every = [word for words in spoken for word in words]
    latencies = [word.latency_ms for word in every if word.latency_ms is not None]
    return {
        "broker_errors": Decimal(sum(not all(word.is_ok for word in words) for words in spoken)),
        "api_errors": Decimal(max(word.errors for word in every)),
        "latency_ms": Decimal(max(latencies)) if latencies else None,
    }


def _is_good(until: object, now: datetime) -> bool:
    return isinstance(until, datetime) and until > now


def _told_ms(lease: Document) -> int | None:
    """Return the last latency that an adapter has told."""
    told = lease.data.get("told_ms", lease.data.get("latency_ms"))
    return told if type(told) is int else None


def _joined(first: Word, second: Word) -> Word:
    latencies = [one.latency_ms for one in (first, second) if one.latency_ms is not None]
    errors = max(first.errors, second.errors)
    return Word(second.at, first.is_ok and second.is_ok, errors, max(latencies, default=None))


def _words(lease: Document, now: datetime) -> list[Word]:
    """Return what a lease's document tells of the last minutes, oldest first. What cannot be read is a bad word."""
    last = _last(lease)
    try:
        told = orjson.loads(lease.data.get("earlier") or "[]")
        earlier = [_word(parse_utc(at), is_ok, errors, latency) for at, is_ok, errors, latency in told]
    except DAMAGED:
        log.exception("what an adapter said cannot be read", extra={"document": str(lease.path)})
        earlier, last = [], Word(last.at, False, last.errors, last.latency_ms)
    return [word for word in (*earlier, last) if now - word.at < KEPT]


def _last(lease: Document) -> Word:
    times = [
        lease.data.get(name) for name in ("said_at", "expires_at")
    ]  # those of before had the second only
    at = next((time for time in times if isinstance(time, datetime)), NEVER)
    try:
        return _word(at, *(lease.data.get(name) for name in ("broker_ok", "errors", "latency_ms")))
    except TypeError:
        log.exception("what an adapter said cannot be read", extra={"document": str(lease.path)})
        return Word(at, False, 0, None)


def _word(at: datetime, is_ok: object, errors: object, latency: object) -> Word:
    if type(is_ok) is bool and type(errors) is int and (latency is None or type(latency) is int):
        return Word(at, is_ok, errors, latency)
    raise TypeError(f"no word of an adapter: {is_ok!r}, {errors!r}, {latency!r}")
