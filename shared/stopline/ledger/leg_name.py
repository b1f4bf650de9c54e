"""Names of legs: what a fill opens its units under, and how an order that closes says which leg it is for.

An order names its leg by the group id that its fills carry: the leg's own, else `order:ID` of the order that opened
it. Where fills carry no group id, the end of the order's own id says the same: a mark of 8 digits.
"""

import re
from collections.abc import Callable

from stopline.model.fill import Fill
from stopline.model.ids import digest

_GROUP, _ORDER = "group:", "order:"
_LONGEST = 128  # of an id
_AT = 23  # where the mark begins in a marked id
_MARKED = re.compile(r"[0-9a-f]{23}-[0-9a-f]{8}|[0-9a-f]{11}x[0-9a-f]{8}")  # or the short form of it
_DIGEST = re.compile(r"[0-9a-f]{32}")
CLIENT_ID = "client_order_id"  # of fills, beside the known fields: two messages of one fill may differ in it


def tag_of(fill: Fill) -> str:
    """Return what a fill opens its units under: `group:ID`, `order:ID`, or empty. A group id that is the name of an order's
    leg means that leg.
    """
    group = fill.group_id
    if group:
        return ("" if group == _ORDER else group) if group.startswith(_ORDER) else f"{_GROUP}{group}"
    return f"{_ORDER}{fill.order_id}" if fill.order_id else ""


def name_of(tag: str) -> str:
    """Return the group id by which fills close a leg first. No two legs that are open in one position share it."""
    if tag.startswith(_GROUP):
        return tag.removeprefix(_GROUP)
    if len(tag) > _LONGEST:
        return f"{_ORDER}#{digest(tag)}"
    return tag or _ORDER


def marked_id(name: str, *parts: str) -> str:
    """Return the digest of an order's parts that ends with the mark of the leg that it is for: 32 characters."""
    return digest(*parts)[:_AT] + _mark(name)


def if_marked(id_: str | None) -> str | None:
    """Return a client order id where it is that of a command for a leg: the fill carries it as its group id."""
    return id_ if _end(id_) else None


def client_id(value: object) -> str | None:
    """Return what a broker hands back of an order's own id where that may be the id of a command, else None."""
    if not isinstance(value, str):
        return None
    return value if _MARKED.fullmatch(value) or _DIGEST.fullmatch(value) else None


def names_of(fill: Fill) -> tuple[str | None, ...]:
    """Return what a fill says of the order that it is of, and of the leg."""
    return fill.order_id, fill.group_id, client_id((fill.model_extra or {}).get(CLIENT_ID))


def naming(fill: Fill) -> Callable[[str], bool] | None:
    """Return what tells by a leg's name whether a fill names that leg; None where it names none."""
    group, marks = fill.group_id, {_end(name) for name in names_of(fill)} - {""}
    if not group and not marks:
        return None

    def names(name: str) -> bool:
        return name == group or (bool(marks) and _mark(name) in marks)

    return names


def _mark(name: str) -> str:
    return f"-{digest('leg', name)[:8]}"


def _end(id_: str | None) -> str:
    return f"-{id_[-8:]}" if id_ and _MARKED.fullmatch(id_) else ""
