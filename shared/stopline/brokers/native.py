"""Stopline's own format: one fill (`stopline.fill.v1`), a list of them (`stopline.fills.v1`), or what an account holds
(`stopline.statement.v1`).
"""

from typing import Any

from stopline.brokers.dialect import Context, Dialect, Item
from stopline.model.errors import Rejected
from stopline.model.fill import FILL_TYPE, FILLS_TYPE, Fill
from stopline.model.statement import STATEMENT_TYPE, Statement
from stopline.model.wire import validate


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read one native message; a bad fill among good ones is refused alone."""
    kind = value.get("type")
    if kind == FILL_TYPE:
        return [_item(value, context)]
    if kind == STATEMENT_TYPE:
        return []
    if kind != FILLS_TYPE:
        known = f"{FILL_TYPE}, {FILLS_TYPE} or {STATEMENT_TYPE}"
        told = "is missing" if kind is None else f"was {str(kind)[:60]!r}"
        raise Rejected(
            "UNKNOWN_TYPE",
            f"type must be {known}, {told}. A broker's own message needs attribute `dialect`, or `broker` named like one",
        )
    fills = value.get("fills")
    if not isinstance(fills, list) or not fills or set(value) != {"type", "fills"}:
        raise Rejected("BAD_MESSAGE", f"{FILLS_TYPE} holds `type` and `fills`, a list of at least one fill")
    return [_item(item, context) for item in fills]


def _item(value: Any, context: Context) -> Item:
    if not isinstance(value, dict):
        return Item({"value": value}, None, Rejected("BAD_MESSAGE", "a fill must be an object"))
    try:
        fill = validate(Fill, value)
        _check(fill, context)
    except Rejected as refused:
        return Item(value, None, refused)
    return Item(value, fill)


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read what an account holds; None for a message about fills."""
    if value.get("type") != STATEMENT_TYPE:
        return None
    found = validate(Statement, value)
    _check(found, context)
    return found


def _check(body: Fill | Statement, context: Context) -> None:
    for name in ("account", "broker"):
        told = context.attributes.get(name)
        if told is not None and told != getattr(body, name):
            raise Rejected(
                "CONTRADICTION",
                f"attribute {name} {told[:64]!r} is not the body's {getattr(body, name)!r}",
            )


DIALECT = Dialect(parse, statement=statement)
