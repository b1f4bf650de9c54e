"""What must not be silent beside feeds: the sweep, brokers, and limits that cannot see. Findings as values."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from stopline.model.account import Account
from stopline.model.scopes import GLOBAL
from stopline.rules.limits.registry import LIMITS, Action, Level
from stopline.rules.limits.watch import Watched
from stopline.rules.watching.found import Found

SWEEP_SILENT = timedelta(minutes=3)  # three rounds missed
BROKER_SILENT = timedelta(minutes=3)  # after its lease ran out: an adapter renews it every 20 s
EXPECTED = timedelta(days=4)  # an adapter is awaited over a long weekend; no silence is found anew after that
TIMES_MAX_AGE = 3  # so many times the age that a price may have: silence, not a pause


def broker_silence(account: Account, leases: Mapping[str, datetime], now: datetime) -> list[Found]:
    """Say which adapters of an account with positions have let their lease run out, while its market is open.

    `leases`: until when the last lease of each adapter was good. An account that never had one is not watched by this:
    its broker's statements are (`statement_overdue`).
    """
    sessions = account.sessions
    if not sessions.awaits_prices(now, BROKER_SILENT):
        return []  # adapters may start with the market
    return [
        Found(
            kind="broker_silent",
            account=account.account,
            summary=f"Broker adapter {adapter} has not renewed its lease for 3 min, positions are open",
            action="Exits and a kill may not be carried out. It adds no risk.",
            object=adapter,
        )
        for adapter, until in sorted(leases.items())
        if BROKER_SILENT < now - until < EXPECTED
    ]


def still_silent(until: datetime | None, now: datetime) -> bool:
    """Tell whether an adapter that was told as silent still is, open market or not. `until`: when its last lease ended;
    None: longer ago than is looked for.
    """
    return until is None or now - until > BROKER_SILENT


def unprotected(account: Account, watched: Mapping[str, Watched], now: datetime) -> Found | None:
    """Say that a limit which would stop trading cannot see: what it needs is unknown for too long."""
    longest = timedelta(seconds=TIMES_MAX_AGE * account.price_max_age_s)
    for key, state in watched.items():
        limit = LIMITS.get(key.partition("|")[0])
        if limit is None or limit.action is Action.WARN or state.level is not Level.UNKNOWN:
            continue
        if now - state.since > longest:
            return Found(
                kind="protection_suppressed",
                account=account.account,
                summary=f"{limit.what[0].upper()}{limit.what[1:]} cannot be watched: it is unknown",
                action="Stopline cannot stop trading by this limit. Watch it at the broker until it can.",
            )
    return None


def sweep_silence(last: datetime | None, now: datetime) -> Found | None:
    """Say that the scheduled round has not got to its end for too long; nothing where it never ran."""
    if last is None or now - last <= SWEEP_SILENT:
        return None
    minutes = int((now - last).total_seconds() // 60)
    return Found(
        kind="sweep_silent",
        account=None,
        summary=f"The sweep has not run for {minutes} min",
        action="Stale prices are not noticed; outboxes, closings and escalations wait.",
    )


def unwatched_account(account: str, since: datetime, now: datetime) -> Found | None:
    """Say that the sweep could not look after one account for too long; the others are watched. Damage to the trading
    state of the whole, which stops everybody, is told at once.
    """
    if account == GLOBAL:
        return Found(
            kind="account_unwatched",
            account=None,
            summary="The trading state of the whole cannot be read: nothing adds risk in any account",
            action="It counts as reduce-only, or halted where it was. Restore the document controls/global.",
            object=GLOBAL,
        )
    if now - since <= SWEEP_SILENT:
        return None
    minutes = int((now - since).total_seconds() // 60)
    how_long = f"for {minutes} min" if since.timestamp() else "since it began"
    return Found(
        kind="account_unwatched",
        account=account,
        summary=f"Account {account} could not be watched {how_long}",
        action="Its adapters get no lease, other accounts are watched. The log of the function sweep says why.",
    )
