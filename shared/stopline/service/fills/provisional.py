"""What a broker announces and says finally: neither counts twice.

Kite and Upstox tell what an order has filled so far. While its trades cannot be had, that is booked as provisional
fills, `ORDER#` and the quantity; the message that has all trades takes those back. tastytrade says the fee of a trade
first as an estimate, then finally, under one id.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from stopline.model.decimals import EXACT
from stopline.model.errors import Rejected
from stopline.model.fill import CUMULATIVE, Fill, FillKind
from stopline.model.wire import validate


def is_of_cumulative_order(fill: Fill) -> bool:
    """Tell whether a fill is of an order that may have provisional fills and trades."""
    return _is_provisional(fill) or (fill.model_extra or {}).get("order_tells") == CUMULATIVE


def counted_twice(fills: Sequence[Fill], known: Callable[[Fill], Iterable[Fill]]) -> dict[str, Rejected]:
    """Return, by key, why new fills cannot be booked beside what stands for the same units of their order.

    `known` gives the booked fills of a fill's order and position. Provisional fills that are there go before trades without
    their busts; what is there goes before provisional fills that bring the order beyond what it has filled.
    """
    refused: dict[str, Rejected] = {}
    orders: dict[tuple[str, str], list[Fill]] = {}
    for fill in fills:
        if is_of_cumulative_order(fill) and fill.order_id:
            orders.setdefault((fill.position_key, fill.order_id), []).append(fill)
    for (_, order), new in orders.items():
        booked = list(known(new[0]))
        busted = {fill.ref for fill in (*booked, *new) if fill.kind is FillKind.BUST}
        stands = [fill for fill in booked if fill.fill_id not in busted]
        for fill in sorted(filter(_is_provisional, new), key=_so_far):
            before = [one for one in stands if not _is_provisional(one) or _so_far(one) < _so_far(fill)]
            if fill.fill_id in busted:
                continue
            if sum(one.quantity for one in before if _is_executed(one)) + fill.quantity > _so_far(fill):
                refused[fill.key] = _refusal(order, f"is booked already with what {fill.fill_id} brings")
            else:
                stands.append(fill)
        live = [fill.fill_id for fill in stands if _is_provisional(fill)]
        if live and any(_is_executed(fill) and not _is_provisional(fill) for fill in new):
            told = f"has provisional fills ({', '.join(live)}): send all its trades with `applied`"
            refused |= {fill.key: _refusal(order, told) for fill in new if not _is_provisional(fill)}
    return refused


def _is_provisional(fill: Fill) -> bool:
    return fill.provisional and fill.order_id is not None and fill.fill_id.startswith(f"{fill.order_id}#")


def _so_far(fill: Fill) -> Decimal:
    """Return what an order has filled with a provisional fill of it."""
    return Decimal(fill.fill_id.rpartition("#")[2])


def _is_executed(fill: Fill) -> bool:
    return fill.kind is FillKind.TRADE


def _refusal(order: str, what: str) -> Rejected:
    return Rejected("COUNTED_TWICE", f"order {order} {what}; nothing of this is booked")


def final_fee(booked: Fill, final: Fill) -> Fill | None:
    """Return the fee that makes an estimated one final, where two fills of one id differ in nothing else."""
    if not booked.provisional or final.provisional or booked.fee_currency != final.fee_currency:
        return None
    facts = final.model_dump(mode="json")
    if validate(Fill, {**facts, "fee": f"{booked.fee:f}", "provisional": True}).hash != booked.hash:
        return None
    more = EXACT.subtract(final.fee, booked.fee)
    return validate(
        Fill,
        {
            **facts,
            "fill_id": f"{final.fill_id}:final",
            "kind": FillKind.FEE.value,
            "ref": final.ref if final.kind is FillKind.FEE else final.fill_id,
            "quantity": "0",
            "price": "0",
            "fee": f"{more:f}",
        },
    )
