"""The daily word that Stopline runs: who hears of it, once, and what it says was checked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.rules.alerting.audience import audience
from stopline.rules.alerting.routing import PHONES, deliveries

_SHOWN = 3

Readers = frozenset[tuple[str, str]]
"""Channels and addresses."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the last round saw of an account. `levels`: how many limits stand at which level; `silent`: adapters, limits and
    feeds that are told as silent; `trading`: None where it could not be read.
    """

    positions: int
    unpriced: int
    levels: Mapping[str, int]
    silent: int
    trading: TradingState | None


def heartbeat(accounts: Sequence[str], checked: Sequence[Checked], now: datetime, silent: int = 0) -> Alert:
    """Return the word for the people of some accounts, who are the same."""
    named = ", ".join(accounts[:_SHOWN])
    more = f" and {len(accounts) - _SHOWN} more" if len(accounts) > _SHOWN else ""
    return _alert(
        accounts[0], f"Stopline is running and watches {named}{more}", accounts, checked, now, silent
    )


def operator_heartbeat(checked: Sequence[Checked], now: datetime, silent: int = 0) -> Alert:
    """Return the word for the operator. `silent`: feeds that are told as silent."""
    head = f"Stopline is running, accounts watched: {len(checked)}"
    return _alert(None, head, (), checked, now, silent)


def readers(account: Account | None, people: Recipients, duty: OperatorAlerts, now: datetime) -> Readers:
    """Return who hears of it: by the routes as any news; no phone rings for it unless a route says so. `people`: the
    operator's addresses, who stands in for nobody here.
    """
    alert = _alert(account.account if account else None, "", (), (), now, 0)
    found = audience(Notice(alert=alert, decided_at=now), account, people, duty=duty)
    told = deliveries(alert, found.own, Recipients() if account else found.operator, found.routes)
    named = found.routes[Severity.INFO]
    return frozenset((d.channel, d.address) for d in told if d.channel not in PHONES or d.channel in named)


def together(
    accounts: Iterable[Account], operator: Recipients, duty: OperatorAlerts, now: datetime
) -> list[list[Account]]:
    """Return the accounts that are told of in one message: those of the same readers. What its readers hear as operator
    they need not hear again, and of an account without readers nobody hears.
    """
    covered = readers(None, operator, duty, now)
    groups: dict[Readers, list[Account]] = {}
    for account in accounts:
        who = readers(account, operator, duty, now) if account.alerting.heartbeat else frozenset()
        if not who <= covered:
            groups.setdefault(who, []).append(account)
    return list(groups.values())


def _alert(
    account: str | None,
    head: str,
    accounts: Sequence[str],
    checked: Sequence[Checked],
    now: datetime,
    silent: int,
) -> Alert:
    return Alert(
        alert_id=digest("heartbeat", now.date().isoformat(), *accounts),
        account=account,
        kind="heartbeat",
        object="stopline",
        severity=Severity.INFO,
        summary=f"{head}. {_text(checked, silent)}",
        raised_at=now,
    )


def _text(checked: Sequence[Checked], silent: int) -> str:
    positions, unpriced = sum(c.positions for c in checked), sum(c.unpriced for c in checked)
    levels = Counter[str]()
    for each in checked:
        levels.update(each.levels)
    limits = levels.total()
    off = [f"{levels[name]} {word}" for name, word in _OFF.items() if levels[name]]
    quiet = silent + sum(c.silent for c in checked)
    stopped = [
        c.trading.value if c.trading else "unknown" for c in checked if c.trading is not TradingState.ACTIVE
    ]
    trading = stopped[0] if len(checked) == 1 and stopped else f"stopped in {len(stopped)} of {len(checked)}"
    return "; ".join(
        (
            f"{_count(positions, 'position')}, {f'{unpriced} without a price' if unpriced else 'all priced'}",
            f"{_count(limits, 'limit')}, {', '.join(off) if off else 'all kept'}",
            f"{quiet} silent" if quiet else "nothing silent",
            f"trading {trading if stopped else 'ACTIVE'}",
        )
    )


_OFF = {"breach": "breached", "warn": "near", "unknown": "unknown"}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
