"""How closes were executed, summed up by symbol, broker or hour: as the view `execution_statistics`, for any group."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from stopline.model.decimals import EXACT, ZERO, divide

Row = Mapping[str, Any]
"""A row of the table `executions`, typed: Decimal, UTC datetime, int, str; None is UNKNOWN or does not apply."""
PLACES = 9  # as of BigQuery's NUMERIC


class By(StrEnum):
    SYMBOL = "symbol"
    BROKER = "broker"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Statistics:
    """The executions of one group in one currency. `commands`: legs of commands that are over.

    Averages are over those that know the number, None where none does: `filled_pct` of what was asked for, `slippage_bps`
    against the mark when the command was made (positive is worse), `delay_s` from the command to its last fill. `retries`:
    commands that had failed before. `slippage_money` and `fees` are sums in `currency`.
    """

    key: tuple[str | int | None, ...]
    currency: str | None
    commands: int
    filled: int
    rejected: int
    filled_pct: Decimal | None
    slippage_money: Decimal | None
    slippage_bps: Decimal | None
    worst_slippage_bps: Decimal | None
    delay_s: Decimal | None
    worst_delay_s: Decimal | None
    retries: Decimal | None
    most_retries: int | None
    fees: Decimal | None


def statistics(rows: Iterable[Row], by: Sequence[By], zone: ZoneInfo) -> list[Statistics]:
    """Sum up rows by the parts of a key, ordered by it. Hours are those in which a command was made, in `zone`."""
    parts: Mapping[By, Callable[[Row], str | int | None]] = {
        By.SYMBOL: lambda row: row["symbol"],
        By.BROKER: lambda row: row["broker"],
        By.HOUR: lambda row: row["issued_at"].astimezone(zone).hour if row["issued_at"] else None,
    }
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[*(parts[one](row) for one in by), row["currency"]].append(row)
    ordered = sorted(groups, key=lambda key: [(part is not None, part) for part in key])
    return [_of(key, groups[key]) for key in ordered]


def _of(key: tuple[Any, ...], rows: Sequence[Row]) -> Statistics:
    bps, delays, retries = (_known(rows, name) for name in ("slippage_bps", "delay_s", "retries"))
    return Statistics(
        key=key[:-1],
        currency=key[-1],
        commands=len(rows),
        filled=sum(1 for row in rows if row["status"] == "filled"),
        rejected=sum(1 for row in rows if row["status"] == "rejected"),
        filled_pct=_average(_known(rows, "filled_pct")),
        slippage_money=_sum(_known(rows, "slippage_money")),
        slippage_bps=_average(bps),
        worst_slippage_bps=max(bps, default=None),
        delay_s=_average(delays),
        worst_delay_s=max(delays, default=None),
        retries=_average([Decimal(count) for count in retries]),
        most_retries=max(retries, default=None),
        fees=_sum(_known(rows, "fees")),
    )


def _known(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _sum(values: Sequence[Decimal]) -> Decimal | None:
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total if values else None


def _average(values: Sequence[Decimal]) -> Decimal | None:
    total = _sum(values)
    return None if total is None else divide(total, Decimal(len(values)), PLACES)
