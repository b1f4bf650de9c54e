"""The health breakers: what adapters report, prices that are missing, differences from the broker. Read by the sweep."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import orjson

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.errors import Transient
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Clock, Data, Store
from stopline.rules.trading.breaker_facts import unpriced_now
from stopline.rules.trading.breakers import HEALTH_BREAKERS, Tripped, advance, is_bad
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.evaluation.risk_state import RiskState, decode_breakers, encode_breakers
from stopline.service.trading.adapter_words import (
    KEPT,
    NEVER,
    Adapter,
    Facts,
    adapters_lately,
    silent_facts,
    worst,
)
from stopline.service.trading.breaker_effects import Lifted, breaker_effects

log = logging.getLogger("stopline")

Breaks = Callable[[str], Sequence[str]]
"""The confirmed differences between an account's book and its broker, one line each."""


@dataclass(frozen=True, slots=True)
class Health:
    """The health breakers of an account that are not clear. `heard`: when each adapter said the last that was judged."""

    account: str
    breakers: Mapping[str, Tripped] = field(default_factory=dict)
    revision: int = 0
    heard: Mapping[str, datetime] = field(default_factory=dict, kw_only=True)


class HealthCodec:
    """Health as the fields of its document."""

    collection = "health"

    def encode(self, state: Health) -> Data:
        body = {
            "revision": state.revision,
            "breakers": encode_breakers(state.breakers),
            "heard": {name: utc_text(at) for name, at in sorted(state.heard.items())},
        }
        return {"account": state.account, "state": orjson.dumps(body).decode()}

    def decode(self, data: Data) -> Health:
        body = orjson.loads(data["state"])
        heard = {name: parse_utc(at) for name, at in body.get("heard", {}).items()}
        return Health(data["account"], decode_breakers(body["breakers"]), body["revision"], heard=heard)


class HealthWatch:
    """Reads the health of accounts and trips their breakers."""

    def __init__(
        self,
        store: Store,
        relay: Relay,
        clock: Clock,
        accounts: AccountReader,
        risk: Aggregates[RiskState],
        breaks: Breaks,
        lifted: Lifted,
    ) -> None:
        self._store = store
        self._documents = Aggregates(store, relay, clock, HealthCodec())
        self._accounts = accounts
        self._risk = risk
        self._breaks = breaks
        self._lifted = lifted

    def check(
        self, known: Mapping[str, Account], books: Mapping[str, Book], now: datetime, cause: str
    ) -> dict[str, str]:
        """Take one reading of every account that has a book (`known`) or an adapter; return what could not be done, by
        account: what was committed goes out with the next reading.
        """
        said = adapters_lately(self._store, now)
        failed: dict[str, str] = {}
        for name in sorted({*known, *said}):
            try:
                account = known.get(name) or self._accounts.get(name)
                if account is not None:
                    self._read(account, books.get(name), said.get(name, []), now, cause)
            except Transient as problem:
                failed[name] = str(problem)
            except Exception as problem:
                log.exception("sweep: an account's health cannot be judged", extra={"account": name})
                failed[name] = f"{type(problem).__name__}: {problem}"
        return failed

    def _read(
        self,
        account: Account,
        book: Book | None,
        said: Sequence[Adapter],
        now: datetime,
        cause: str,
    ) -> None:
        name = account.account
        risk = self._risk.peek(name)
        held = {p.instrument.symbol: p.instrument for p in book.open_positions()} if book else {}
        facts: Facts = {
            "unpriced": unpriced_now(account, held.values(), risk.unpriced, now) if risk else None,
            "breaks": Decimal(len(self._breaks(name))),
        }

        def decide(health: Health | None, attempt: int) -> Change[Health] | None:
            before = health or Health(name)
            revision = before.revision + 1
            mark, lifted = f"{cause}.{revision}", self._lifted(name, before.breakers)
            words = _words(account, said, before.heard)
            read = self._doubted(account, {**facts, **words}, before.breakers.keys() - set(lifted), now)
            breakers, moves = advance(
                HEALTH_BREAKERS, account.trading, before.breakers, read, now, name, mark, lifted
            )
            heard = _heard(said, before.heard, now)
            is_told = heard != before.heard and any(
                is_bad(b, account.trading, words) for b in HEALTH_BREAKERS
            )
            if breakers == before.breakers and not is_told:
                return None  # words that are good may be heard again
            effects = breaker_effects(name, moves, mark, now)
            return Change(Health(name, breakers, revision, heard=heard), effects)

        self._documents.change(name, decide)

    def _doubted(self, account: Account, facts: Facts, tripped: Collection[str], now: datetime) -> Facts:
        """Return the facts, those UNKNOWN of which an adapter's last word was bad before it fell silent: what another says
        of its own broker takes no stop back. Only while a stop holds: who resumes has seen it.
        """
        held = [b for b in HEALTH_BREAKERS if b.name in tripped]
        silent = silent_facts(self._store, account.account, now) if held else {}
        bad = {
            b.fact
            for b in held
            if is_bad(b, account.trading, silent) and not is_bad(b, account.trading, facts)
        }
        return {fact: None if fact in bad else value for fact, value in facts.items()}


def _words(account: Account, said: Sequence[Adapter], heard: Mapping[str, datetime]) -> Facts:
    """Return the worst of what adapters have said since they were heard. Of one that fell silent only what is bad counts:
    how its broker does now is unknown.
    """
    every = worst(one.since(heard.get(one.name)) for one in said)
    leased = worst(one.since(heard.get(one.name)) for one in said if one.is_leased)
    bad = {b.fact for b in HEALTH_BREAKERS if is_bad(b, account.trading, every)}
    return {fact: value if fact in bad else leased.get(fact) for fact, value in every.items()}


def _heard(said: Sequence[Adapter], before: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    """Return up to when each adapter is heard after a reading; a reading that was overtaken puts none back."""
    new = {one.name: max(one.words[-1].at, before.get(one.name, NEVER)) for one in said}
    return {name: at for name, at in {**before, **new}.items() if now - at < KEPT}
