"""What people must know about options near, at and behind their expiry, and about trades that lost a leg."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.ledger.expiry import Settlement, expiry_clock
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position import Position
from stopline.ledger.structure import structure_of
from stopline.ledger.trade import Status, Trade
from stopline.ledger.trade_leg import TradeLeg
from stopline.ledger.trade_risk import is_bared
from stopline.model.account import Account
from stopline.model.calendars import Calendar
from stopline.model.decimals import decimal_text, divide
from stopline.model.fill import FillKind
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import Alert, Figure, Severity
from stopline.model.settings.lifecycle import LifecycleSettings
from stopline.rules.alerting.condition import Condition, begun, over

_BY_DESIGN = frozenset({FillKind.EXPIRE, FillKind.SETTLE})  # the nearer leg of a calendar ends like this
_TOOK = {
    FillKind.ASSIGN: "assigned",
    FillKind.EXERCISE: "exercised",
    FillKind.LIQUIDATION: "liquidated by the broker",
}


def conditions(
    account: Account, positions: Sequence[Position], trades: Iterable[Trade], spot_of: SpotOf, now: datetime
) -> list[Condition]:
    """Return what holds of an account's options now, in the order of kind and object."""
    options = [p for p in positions if p.instrument.kind is Kind.OPTION and not p.is_flat]
    settings, sessions = account.lifecycle, account.sessions
    found = [
        *_pinned(options, sessions, settings, spot_of, now),
        *_unsettled(options, sessions, settings, now),
        *_orphans(trades, sessions, settings, now),
    ]
    return sorted(found, key=lambda condition: condition.key)


def lifecycle_alerts(
    account: str,
    before: Mapping[str, datetime],
    found: Sequence[Condition],
    cause: str,
    now: datetime,
) -> tuple[dict[str, datetime], list[Alert]]:
    """Return the conditions that stand, each since when, and the alerts of those that are new or over."""
    alerts = [begun(account, condition, cause, now) for condition in found if condition.key not in before]
    standing = {condition.key: before.get(condition.key, now) for condition in found}
    alerts += [over(account, key, cause, now) for key in sorted(before.keys() - standing.keys())]
    return standing, alerts


def _pinned(
    options: Iterable[Position],
    sessions: Calendar,
    settings: LifecycleSettings,
    spot_of: SpotOf,
    now: datetime,
) -> list[Condition]:
    """Short options in their last minutes whose strike is so near that nobody knows which way they end."""
    found = []
    for position in options:
        contract = position.instrument
        clock = expiry_clock(contract, sessions)
        begins = clock.trades_until - timedelta(minutes=settings.pin_minutes)
        if position.quantity > 0 or not begins <= now < clock.trades_until:
            continue
        assert contract.strike is not None
        spot = spot_of(contract.underlying)
        what = f"short {_units(position)} {position.key}"
        left = f"{int((clock.trades_until - now).total_seconds() // 60)} min before its last trade"
        if spot is None:
            summary = f"Pin risk of {what} cannot be seen: {contract.underlying} has no usable price, {left}"
            figure = None
        else:
            distance = divide(abs(spot - contract.strike) * 100, spot, 4)
            if distance > settings.pin_percent:
                continue
            near = f"{decimal_text(round(distance, 2))}%"
            summary = f"Pin risk: {what} is {near} from {contract.underlying} {left}"
            figure = Figure(current=distance, limit=settings.pin_percent, unit="%")
        after = "It may be assigned after the close even if it ends out of the money."
        delivered = clock.settlement is Settlement.DELIVERY
        action = f"Nothing was closed. {after if delivered else 'It is settled in cash.'}"
        found.append(
            Condition(
                kind="pin_risk",
                object=position.key,
                severity=Severity.WARNING,
                summary=summary,
                action=action,
                figure=figure,
            )
        )
    return found


def _unsettled(
    options: Iterable[Position], sessions: Calendar, settings: LifecycleSettings, now: datetime
) -> list[Condition]:
    """Options that are over and still in the book, told once for each underlying and day of expiry."""
    groups: dict[tuple[str, str], list[Position]] = {}
    for position in options:
        contract = position.instrument
        clock = expiry_clock(contract, sessions)
        if now >= clock.decided_at + timedelta(minutes=settings.unsettled_minutes):
            groups.setdefault((contract.underlying, str(contract.expiry)), []).append(position)
    found = []
    for (underlying, expiry), held in groups.items():
        names = ", ".join(f"{_units(p, signed=True)} {p.instrument.symbol}" for p in held[:3])
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        cash = expiry_clock(held[0].instrument, sessions).settlement is Settlement.CASH
        given = " or a settlement price (`stopline settle`)" if cash else ""
        found.append(
            Condition(
                kind="expired_unsettled",
                object=f"{underlying} {expiry}",
                severity=Severity.WARNING,
                summary=f"Expired and still in the book, {underlying} {expiry}: {names}{more}",
                action=f"Nothing is settled: the broker's fill{given} is awaited.",
            )
        )
    return found


def _orphans(
    trades: Iterable[Trade], sessions: Calendar, settings: LifecycleSettings, now: datetime
) -> list[Condition]:
    """Spreads of which the broker took a leg, or of which what is short lost its cover, or what is left makes no spread."""
    found = []
    for trade in trades:
        legs = trade.current
        if trade.status is Status.CLOSED or len(legs) < 2:
            continue
        touched = [leg for leg in legs if leg.exit_at is not None]
        if not touched or max(leg.exit_at for leg in touched if leg.exit_at) > now - timedelta(
            seconds=settings.orphan_seconds
        ):
            continue  # its closing may be under way
        standing = [leg for leg in legs if leg.lots and not _is_over(leg, sessions, now)]
        held = {leg.instrument for leg in standing}
        gone = [leg for leg in legs if leg.instrument not in held and leg.ended not in _BY_DESIGN]
        taken = any(leg.ended in _TOOK for leg in gone)
        bare = is_bared(legs, standing)
        if standing and (bare or taken or (gone and not _is_whole(standing))):
            found.append(_orphan(trade, standing, gone, bare))
    return found


def _orphan(trade: Trade, standing: Sequence[TradeLeg], gone: Sequence[TradeLeg], bare: bool) -> Condition:
    left = ", ".join(f"{decimal_text(leg.quantity)} {leg.instrument.symbol}" for leg in standing[:3])
    taken = next((leg for leg in gone if leg.ended in _TOOK), None)
    if taken is not None and taken.ended is not None:
        lost = f"lost {taken.instrument.symbol} ({_TOOK[taken.ended]})"
    elif gone:
        lost = f"lost {gone[0].instrument.symbol} (closed)"
    else:
        lost = "was closed in unequal parts"
    if bare:
        action = "What is short is not covered any more."
    elif any(leg.quantity < 0 for leg in standing):
        action = "What is short is covered as before."
    else:
        action = "Nothing of it is short."
    name = trade.structure.value.replace("_", " ")
    return Condition(
        kind="orphan_leg",
        object=f"trade {trade.trade_id[:8]}",
        severity=Severity.CRITICAL if bare or taken else Severity.WARNING,
        summary=f"Trade {trade.trade_id[:8]} ({name} in {trade.underlying}) {lost}: {left} left",
        action=f"Nothing was closed. {action}",
    )


def _is_whole(standing: Sequence[TradeLeg]) -> bool:
    """Tell whether what is left is a spread with a name: a side of a condor, a rolled wing."""
    units: dict[Instrument, Decimal] = {}
    for leg in standing:
        units[leg.instrument] = units.get(leg.instrument, Decimal(0)) + leg.quantity
    return structure_of(list(units.items())).is_spread


def _is_over(leg: TradeLeg, sessions: Calendar, now: datetime) -> bool:
    contract = leg.instrument
    return contract.kind is Kind.OPTION and expiry_clock(contract, sessions).trades_until <= now


def _units(position: Position, signed: bool = False) -> str:
    return decimal_text(position.quantity if signed else abs(position.quantity))
