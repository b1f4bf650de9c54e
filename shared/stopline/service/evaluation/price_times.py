"""When the prices were seen that an account was valued at: what tells a second reading from the first one again."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from stopline.model.account import Account
from stopline.risk.border import to_decimal
from stopline.rules.limits.figures import Valued
from stopline.rules.trading.second_reading import PriceTimes
from stopline.service.prices.marks import Mark


def times_of(
    account: Account,
    positions: Sequence[Valued],
    marks: Mapping[str, Mark],
    now: datetime,
    pairs: Iterable[str],
) -> PriceTimes:
    """Return when the prices of positions that have one were seen, and the rates of `pairs` of currencies. A position that
    is valued at its own last execution has the time of that.
    """
    seen: dict[str, datetime] = {}
    resting = set()
    for v in positions:
        contract, at = v.position.instrument, _seen_at(v, marks)
        if at is not None:
            seen[contract.symbol] = min(at, seen.get(contract.symbol, at))
        if not account.sessions_of(contract).is_open(now):
            resting.add(contract.symbol)
    for pair in pairs:
        if pair in marks:
            seen[pair] = marks[pair].as_of
            if not account.sessions.is_open(now):
                resting.add(pair)
    return PriceTimes(seen, frozenset(resting), timedelta(seconds=account.price_max_age_s))


def _seen_at(v: Valued, marks: Mapping[str, Mark]) -> datetime | None:
    mark = marks.get(v.position.instrument.symbol)
    if mark is not None and to_decimal(mark.quote.mark) == v.mark:
        return mark.as_of
    return v.position.priced_at if v.mark is not None else None
