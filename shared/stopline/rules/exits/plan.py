"""Which exits hold for a trade: the settings of account, strategy and trade, laid over each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.calendars import Calendar
from stopline.model.settings.closing import ClosingSettings, OwnClosing
from stopline.model.settings.exits import (
    Distance,
    ExitSettings,
    LockStep,
    ScaleStep,
    SetAt,
    TradeExits,
    Trail,
    Unit,
)

MARGIN = timedelta(minutes=15)  # before an early close, for an exit_at that lies beyond it

NEVER = SetAt()
NOTHING_OWN = OwnClosing()
DEFAULTS = TradeExits(
    auto_close=True, price_max_age_s=30, confirm=2, atr_bar_s=300, atr_bars=14, health_below=40
)


@dataclass(frozen=True)
class Plan:
    """The exits of one trade, all settled; None is not set, and 0 is a number."""

    auto_close: bool
    price_max_age: timedelta
    confirm: int
    atr_bar: timedelta
    atr_bars: int
    stop_loss: Distance | None = None
    target: Distance | None = None
    breakeven: Distance | None = None
    breakeven_offset: Distance | None = None
    trail: Trail | None = None
    lock_in: tuple[LockStep, ...] = ()
    scale_out: tuple[ScaleStep, ...] = ()
    excessive_loss: Distance | None = None
    max_age: timedelta | None = None
    timeout: timedelta | None = None
    exit_at: time | None = None
    before_close: timedelta | None = None
    health_below: int | None = None
    closing: OwnClosing = NOTHING_OWN

    @cached_property
    def distances(self) -> list[Distance]:
        """Every distance that the plan measures."""
        named = [self.stop_loss, self.target, self.breakeven, self.breakeven_offset, self.excessive_loss]
        if self.trail:
            named += [self.trail.amount, self.trail.activation]
        for step in self.lock_in:
            named += [step.at, step.keep]
        return [d for d in (*named, *(step.at for step in self.scale_out)) if d is not None]

    @cached_property
    def needs_atr(self) -> bool:
        return any(d.unit is Unit.ATR for d in self.distances)

    @cached_property
    def counts_in_r(self) -> bool:
        return any(d.unit is Unit.R for d in self.distances)

    @cached_property
    def watches_price(self) -> bool:
        """Tell whether a price can trigger anything."""
        return bool(self.distances) or self.timeout is not None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing ever triggers."""
        return not (self.watches_price or self.max_age or self.exit_at or self.before_close is not None)


def plan_of(settings: ExitSettings, strategy: str, trade_id: str | None = None) -> Plan:
    """Return the plan of a trade: what it says itself, else its strategy, else the account, else DEFAULTS."""
    of_strategy = settings.strategies.get(strategy)
    layers = [settings.trades, DEFAULTS]
    if of_strategy:
        layers.insert(0, of_strategy.trades)
        if of_strategy.auto_close is False:
            layers.insert(0, TradeExits(auto_close=False))
    if trade_id in settings.single:
        layers.insert(0, settings.single[trade_id])

    def said(name: str) -> Any:
        values = (getattr(layer, name) for layer in layers)
        value = next((v for v in values if v is not None), None)
        return None if value == "off" else value

    def span(name: str, unit: timedelta = timedelta(seconds=1)) -> timedelta | None:
        value = said(name)
        return None if value is None else value * unit

    return Plan(
        auto_close=said("auto_close"),
        price_max_age=timedelta(seconds=said("price_max_age_s")),
        confirm=said("confirm"),
        atr_bar=timedelta(seconds=said("atr_bar_s")),
        atr_bars=said("atr_bars"),
        stop_loss=said("stop_loss"),
        target=said("target"),
        breakeven=said("breakeven"),
        breakeven_offset=said("breakeven_offset"),
        trail=said("trail"),
        lock_in=said("lock_in") or (),
        scale_out=said("scale_out") or (),
        excessive_loss=said("excessive_loss"),
        max_age=span("max_age_s"),
        timeout=span("timeout_s"),
        exit_at=said("exit_at"),
        before_close=span("before_close_min", timedelta(minutes=1)),
        health_below=said("health_below"),
        closing=_closing(layers),
    )


def closing_of(account: Account, strategy: str, trade_id: str | None = None) -> ClosingSettings:
    """Return how what is of a trade, or a strategy, is closed: what its exits say of that, over the account's settings."""
    return account.closing.with_own(plan_of(account.exits, strategy, trade_id).closing)


def _closing(layers: Sequence[TradeExits]) -> OwnClosing:
    said: dict[str, Any] = {}
    for layer in reversed(layers):
        said |= layer.closing.said if layer.closing else {}
    return NOTHING_OWN.model_copy(update=said)


def deadlines(
    plan: Plan, opened_at: datetime, calendar: Calendar, zone: ZoneInfo, set_at: SetAt = NEVER
) -> list[tuple[datetime, str]]:
    """Return when a trade's time rules are due, with their names, the earliest first.

    `exit_at` is the first such time of day, behind the opening and behind the moment `set_at` when it was set, on a day with
    a session, in the account's zone; where the market closes before it, so long before that close as `before_close` says,
    else MARGIN. `before_close` counts back from the first regular close behind both (early closes are known); it is due at
    once for a trade that is opened, or of which it is set, between that moment and the close.
    """
    due = []
    if plan.max_age is not None:
        due.append((opened_at + plan.max_age, "max_age"))
    if plan.timeout is not None:
        due.append((opened_at + plan.timeout, "timeout"))
    if plan.exit_at is not None:
        since = max(opened_at, set_at.exit_at or opened_at)
        due.append((_exit_at(plan, plan.exit_at, since, calendar, zone), "exit_at"))
    if plan.before_close is not None and not calendar.every_day:
        since = max(opened_at, set_at.before_close_min or opened_at)
        session = calendar.session_of(since)
        while (close := calendar.close_of(session)) <= since:
            session += timedelta(days=1)
            while not calendar.is_session(session):
                session += timedelta(days=1)
        due.append((max(close - plan.before_close, since), "before_close"))
    return sorted(due)


def _exit_at(plan: Plan, clock: time, since: datetime, calendar: Calendar, zone: ZoneInfo) -> datetime:
    day = since.astimezone(zone).date() - timedelta(days=1)
    while True:
        at = datetime.combine(day, clock, zone).astimezone(since.tzinfo)
        if not calendar.every_day and _is_traded(calendar, at):
            close = calendar.close_of(calendar.session_of(at))
            at = at if at < close else close - (plan.before_close or MARGIN)
        elif not calendar.every_day:
            at = since
        if at > since:
            return at
        day += timedelta(days=1)


def _is_traded(calendar: Calendar, at: datetime) -> bool:
    """Tell whether a moment is on a day with a session, or on the evening that begins one."""
    session = calendar.session_of(at)
    return at.astimezone(calendar.zone).date() == session or at >= calendar.open_of(session)


def times_of(settings: ExitSettings, strategy: str, trade_id: str) -> SetAt:
    """Return when the times of day that hold for a trade were set: where they are said, or nearer to the trade since."""
    if not settings.set_at:
        return NEVER
    of_strategy = settings.strategies.get(strategy)
    layers = [
        (f"single.{trade_id}", settings.single.get(trade_id)),
        (f"strategies.{strategy}", of_strategy.trades if of_strategy else None),
        ("trades", settings.trades),
    ]

    def last(name: str) -> datetime | None:
        moments = []
        for key, layer in layers:
            moments.append(getattr(settings.set_at.get(key, NEVER), name))
            if layer is not None and getattr(layer, name) is not None:
                break
        return max((at for at in moments if at is not None), default=None)

    return SetAt(exit_at=last("exit_at"), before_close_min=last("before_close_min"))


def times_set(before: ExitSettings, after: ExitSettings, now: datetime) -> ExitSettings:
    """Return changed settings with the moment of the change noted where times of day are other ones than before."""
    was, set_at = before.layers, {}
    for key, layer in after.layers.items():
        old, known = was.get(key, TradeExits()), before.set_at.get(key, NEVER)
        set_at[key] = SetAt(
            exit_at=known.exit_at if layer.exit_at == old.exit_at else now,
            before_close_min=known.before_close_min
            if layer.before_close_min == old.before_close_min
            else now,
        )
    noted = {key: at for key, at in set_at.items() if at != NEVER}
    return after.model_copy(update={"set_at": noted})
