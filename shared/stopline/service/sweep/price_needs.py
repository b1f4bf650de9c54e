"""Which prices accounts need now: of what they hold, and of what they wait for."""

from datetime import datetime, timedelta

from stopline.ledger.expiry import expiry_clock
from stopline.model.account import Account
from stopline.model.calendars import Calendar, calendar
from stopline.model.instrument import Instrument, Kind
from stopline.rules.watching.feeds import Need
from stopline.service.prices.mark_prices import Desk
from stopline.service.prices.marks import MarkTable

SILENT_TIMES = 3  # so many times the age that a price may have: silence, not a pause
SHORTEST = timedelta(seconds=120)


def price_needs(desk: Desk, now: datetime) -> list[Need]:
    """Return what is needed: for each position its own price and that of what it hangs on, and each level's."""
    accounts = [account for _, account in sorted(desk.accounts.items())]
    held = [need for account in accounts for need in _held(desk, account, now)]
    markets = {need.symbol: need.market for need in held}
    return held + [
        _need(desk.marks, account, calendar(markets.get(level.symbol, account.calendar)), level.symbol, now)
        for account in accounts
        for level in account.levels
    ]


def _held(desk: Desk, account: Account, now: datetime) -> list[Need]:
    """Return what is needed of what an account holds: each symbol once, from when it was first held."""
    book = desk.books.get(account.account)
    found: dict[str, tuple[datetime, Calendar, str]] = {}
    for position in book.open_positions() if book else ():
        contract, since = position.instrument, position.opened_at or now
        sessions = account.sessions_of(contract)
        if contract.kind is Kind.CASH or _is_over(contract, sessions, now):
            continue
        for symbol in (contract.symbol, contract.underlying):
            first = min(since, found[symbol][0]) if symbol in found else since
            found[symbol] = (first, sessions, contract.underlying)
    return [
        _need(desk.marks, account, sessions, symbol, now, since, about)
        for symbol, (since, sessions, about) in found.items()
    ]


def _is_over(contract: Instrument, sessions: Calendar, now: datetime) -> bool:
    """Tell whether nobody sends prices of a contract any more: it has expired, and awaits its settlement."""
    if contract.kind is Kind.OPTION:
        return expiry_clock(contract, sessions).trades_until <= now
    return contract.expiry is not None and contract.expiry < now.astimezone(sessions.zone).date()


def _need(
    marks: MarkTable,
    account: Account,
    sessions: Calendar,
    symbol: str,
    now: datetime,
    held_since: datetime | None = None,
    about: str = "",
) -> Need:
    longest = max(SILENT_TIMES * timedelta(seconds=account.price_max_age_s), SHORTEST)
    mark = marks.marks.get(symbol)
    return Need(
        account=account.account,
        market=sessions.name,
        symbol=about or symbol,
        feed=marks.sources[symbol] if mark else "",
        seen=mark.as_of if mark else None,
        longest=longest,
        awaited=sessions.awaits_prices(now, longest),
        held_since=held_since,
    )
