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
from stopline.ports import Clock, Data, Store
from stopline.rules.trading.breaker_facts import unpriced_now
from stopline.rules.trading.breakers import HEALTH_BREAKERS, Breaker, Tripped, advance, threshold_of
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.evaluation.risk_state import RiskState, decode_breakers, encode_breakers
from stopline.service.trading.breaker_effects import Lifted, breaker_effects
from stopline.service.trading.leases import adapter_facts, silent_facts

log = logging.getLogger("stopline")
Facts = Mapping[str, Decimal | None]

Breaks = Callable[[str], Sequence[str]]
"""The confirmed differences between an account's book and its broker, one line each."""


@dataclass(frozen=True, slots=True)
class Health:
    """The health breakers of an account that are not clear."""

    account: str
    breakers: Mapping[str, Tripped] = field(default_factory=dict)
    revision: int = 0


class HealthCodec:
    """Health as the fields of its document."""

    collection = "health"

    def encode(self, state: Health) -> Data:
        body = {"revision": state.revision, "breakers": encode_breakers(state.breakers)}
        return {"account": state.account, "state": orjson.dumps(body).decode()}

    def decode(self, data: Data) -> Health:
        body = orjson.loads(data["state"])
        return Health(data["account"], decode_breakers(body["breakers"]), body["revision"])


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
        said = adapter_facts(self._store, now)
        failed: dict[str, str] = {}
        for name in sorted({*known, *said}):
            try:
                account = known.get(name) or self._accounts.get(name)
                if account is not None:
                    self._read(account, books.get(name), said.get(name, {}), now, cause)
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
        said: Mapping[str, Decimal | None],
        now: datetime,
        cause: str,
    ) -> None:
        name = account.account
        risk = self._risk.peek(name)
        held = {p.instrument.symbol: p.instrument for p in book.open_positions()} if book else {}
        facts: Facts = {
            **said,
            "unpriced": unpriced_now(account, held.values(), risk.unpriced, now) if risk else None,
            "breaks": Decimal(len(self._breaks(name))),
        }

        def decide(health: Health | None, attempt: int) -> Change[Health] | None:
            before = health or Health(name)
            revision = before.revision + 1
            mark, lifted = f"{cause}.{revision}", self._lifted(name, before.breakers)
            read = self._doubted(account, facts, before.breakers.keys() - set(lifted), now)
            breakers, moves = advance(
                HEALTH_BREAKERS, account.trading, before.breakers, read, now, name, mark, lifted
            )
            if breakers == before.breakers:
                return None
            effects = breaker_effects(name, moves, mark, now)
            return Change(Health(name, breakers, revision), effects)

        self._documents.change(name, decide)

    def _doubted(self, account: Account, facts: Facts, tripped: Collection[str], now: datetime) -> Facts:
        """Return the facts, those UNKNOWN of which an adapter's last word was bad before it fell silent: what another says
        of its own broker takes no stop back. Only while a stop holds: who resumes has seen it.
        """
        held = [b for b in HEALTH_BREAKERS if b.name in tripped]
        silent = silent_facts(self._store, account.account, now) if held else {}
        bad = {b.fact for b in held if _is_bad(b, account, silent) and not _is_bad(b, account, facts)}
        return {fact: None if fact in bad else value for fact, value in facts.items()}


def _is_bad(breaker: Breaker, account: Account, facts: Facts) -> bool:
    value, threshold = facts.get(breaker.fact), threshold_of(breaker, account.trading)
    return value is not None and threshold is not None and value > threshold
