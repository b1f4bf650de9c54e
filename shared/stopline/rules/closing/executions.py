"""The execution log: what a command asked for against what the fills say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from stopline.ledger.leg_name import names_of, naming
from stopline.model.closing_state import Sent, SentLeg
from stopline.model.decimals import EXACT, EXACT_QUANTIZE, ZERO, decimal_text, divide
from stopline.model.fill import TRADES, Fill, FillKind
from stopline.model.messages import ReportStatus

BPS = Decimal(10_000)
ROUNDING = Decimal("1E-9")  # of units: more than splits lose of them


@dataclass(frozen=True, slots=True)
class Slippage:
    """How much worse than the mark at the time of the command a leg was executed: positive is adverse.

    `money` in the instrument's currency over all executed units; `bps` of the mark's worth, None where that is 0.
    """

    money: Decimal
    bps: Decimal | None


def slippage(leg: SentLeg) -> Slippage | None:
    """Return the slippage of what was executed of a leg; None without executions or without a mark."""
    if not leg.filled or leg.mark is None or leg.instrument.inverse:
        return None
    with localcontext(EXACT):
        paid = leg.worth - leg.filled * leg.mark
        worse = paid if leg.side == "BUY" else -paid
        money = worse * leg.instrument.multiplier
        base = abs(leg.filled * leg.mark)
        return Slippage(money, divide(worse * BPS, base, 4) if base else None)


def with_fills(sent: Sent, fills: Iterable[Fill]) -> Sent:
    """Return a command with what its fills say: the ones that name it or a broker's order for it, as they stand."""
    names = sent.known_as
    known = list(fills)
    mine = [f for f in known if f.kind in TRADES and not names.isdisjoint(names_of(f))]
    splits = [f for f in known if f.kind is FillKind.SPLIT]
    legs = tuple(_leg_with(_split_leg(leg, sent, splits), mine, splits) for leg in sent.legs)
    broker = next((f.broker for f in mine), sent.broker)
    return sent if legs == sent.legs else sent.model_copy(update={"legs": legs, "broker": broker})


def _split_leg(leg: SentLeg, sent: Sent, splits: Sequence[Fill]) -> SentLeg:
    """Return a leg in the units and prices of after the splits since its command was issued."""
    with localcontext(EXACT):
        split = _ratio(f for f in _of(leg, splits) if f.executed_at > sent.issued_at)
        new, old = split[0] * Decimal(leg.split[1]), split[1] * Decimal(leg.split[0])
        if new == old:
            return leg
        prices = {name: getattr(leg, name) for name in ("bid", "ask", "mark")}
        now = {name: None if p is None else divide(p * old, new) for name, p in prices.items()}
        texts = decimal_text(split[0]), decimal_text(split[1])
        return leg.model_copy(update={"quantity": divide(leg.quantity * new, old), "split": texts, **now})


def _of(leg: SentLeg, fills: Iterable[Fill]) -> list[Fill]:
    return [f for f in fills if f.instrument.symbol == leg.instrument.symbol]


def _ratio(splits: Iterable[Fill]) -> tuple[Decimal, Decimal]:
    """Return how many units became of how many."""
    new = old = Decimal(1)
    for split in splits:
        new, old = new * split.quantity, old * split.price
    return new, old


def _filled(leg: SentLeg, fills: Sequence[Fill], splits: Sequence[Fill]) -> Decimal:
    """Return how many units fills are after the splits behind each of them."""
    by_split: dict[tuple[Decimal, Decimal], Decimal] = {}
    for fill in fills:
        ratio = _ratio(split for split in splits if split.order > fill.order)
        by_split[ratio] = by_split.get(ratio, ZERO) + fill.quantity
    filled = sum((divide(q * new, old) if new != old else q for (new, old), q in by_split.items()), ZERO)
    return leg.quantity if splits and abs(filled - leg.quantity) < ROUNDING else filled


def _leg_with(leg: SentLeg, fills: Sequence[Fill], splits: Sequence[Fill]) -> SentLeg:
    mine = [f for f in _of(leg, fills) if f.side.value == leg.side]
    with localcontext(EXACT):
        return leg.model_copy(
            update={
                "filled": _filled(leg, mine, _of(leg, splits)),
                "worth": sum((f.quantity * f.price for f in mine), ZERO),
                "fees": sum((f.fee for f in mine), ZERO),
                "fills": len(mine),
                "first_fill_at": min((f.executed_at for f in mine), default=None),
                "astray": leg.group_id is not None and not all(_names(f, leg.group_id) for f in mine),
                "last_fill_at": max((f.executed_at for f in mine), default=None),
            }
        )


def _names(fill: Fill, group_id: str) -> bool:
    named = naming(fill)
    return named is not None and named(group_id)


def facts(account: str, sent: Sent, leg: SentLeg, now: datetime) -> dict[str, Any]:
    """Return the columns of the log for one leg of a command. None is UNKNOWN or does not apply."""
    found = slippage(leg)
    spread = EXACT.subtract(leg.ask, leg.bid) if leg.ask is not None and leg.bid is not None else None
    with localcontext(EXACT_QUANTIZE):
        average = divide(leg.worth, leg.filled) if leg.filled else None
        delay = leg.last_fill_at - sent.issued_at if leg.last_fill_at else None
        single = len(sent.legs) == 1
        return {
            "account": account,
            "command_id": sent.command_id,
            "strategy": sent.strategy,
            "broker": sent.broker,
            "symbol": leg.instrument.symbol,
            "underlying": leg.instrument.underlying,
            "side": leg.side,
            "order_type": sent.order_type,
            "limit_price": sent.limit_price if single else None,
            "requested_quantity": leg.quantity,
            "requested_price": leg.mark,
            "filled_quantity": leg.filled,
            "filled_price": average,
            "filled_pct": divide(leg.filled * 100, leg.quantity, 4),
            "slippage_money": found.money if found else None,
            "slippage_bps": found.bps if found else None,
            "fees": leg.fees,
            "currency": leg.instrument.currency,
            "delay_s": _seconds(delay) if delay is not None else None,
            "retries": sent.round - 1,
            "status": outcome(sent, leg),
            "error": sent.error,
            "spread": spread,
            "iv": leg.iv,
            "market": None if sent.trading is None else "open" if sent.trading else "closed",
            "quote_age_s": _seconds(sent.issued_at - leg.quoted_at) if leg.quoted_at else None,
            "revision": sent.revision,
            "epoch": sent.epoch,
            "reason": sent.reason,
            "requests": " ".join(sent.requests),
            "issued_at": sent.issued_at,
            "ended_at": sent.ended_at or now,
        }


def _seconds(span: timedelta) -> Decimal:
    return Decimal(str(span.total_seconds()))


def outcome(sent: Sent, leg: SentLeg) -> str:
    """Return what became of a leg in one word. The fills have the last word, then the broker."""
    if leg.filled > leg.quantity:
        return "overfilled"
    if leg.filled == leg.quantity:
        return ReportStatus.FILLED.value
    if sent.status is not None and sent.is_final and sent.status is not ReportStatus.FILLED:
        return sent.status.value
    return "partially_filled" if leg.filled else "no_fill"
