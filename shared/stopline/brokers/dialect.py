"""What a dialect is, and what it knows beside the message: the attributes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stopline.brokers.moments import zone_of
from stopline.brokers.row import Row
from stopline.model.errors import Rejected
from stopline.model.fill import DEFAULT_STRATEGY, Fill
from stopline.model.instrument import Instrument
from stopline.model.statement import Statement
from stopline.model.wire import decode_object, validate


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a message: a fill, or why it is none."""

    raw: dict[str, Any]
    fill: Fill | None
    refused: Rejected | None = None


class Context:
    """The attributes of one message, and what they say of it."""

    def __init__(
        self, dialect: str, attributes: Mapping[str, str], secrets: Mapping[str, str] | None = None
    ) -> None:
        self.attributes = attributes
        self.secret = (secrets or {}).get(dialect, "")
        self._dialect = dialect
        self._told_for: str | None = None

    @property
    def broker(self) -> str:
        """The broker as the account's settings name it: attribute `broker`, else the dialect."""
        return self.word("broker", self._dialect)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return an attribute; an empty one is none."""
        return self.attributes.get(name) or default

    def word(self, name: str, default: str) -> str:
        """Return an attribute, or what is usual."""
        return self.attributes.get(name) or default

    def need(self, name: str, why: str) -> str:
        """Return an attribute that the message cannot do without."""
        value = self.get(name)
        if value is None:
            raise Rejected("MISSING_ATTRIBUTE", f"{why}: attribute `{name}` must say it")
        return value

    @property
    def strategy(self) -> str:
        """The strategy: attribute `strategy`, else `default`."""
        return self.word("strategy", DEFAULT_STRATEGY)

    def zone(self, default: str | None) -> ZoneInfo | None:
        """Return the zone of times that do not name theirs: attribute `zone`, else the broker's."""
        name = self.get("zone", default)
        return zone_of(name) if name else None

    def account(self, told: str | None) -> str:
        """Return the Stopline account: attribute `account`, else the broker's own account id in lower case.

        Attribute `broker_account` says which account of the broker this must be.
        """
        expected = self.get("broker_account")
        if expected is not None and told != expected:
            raise Rejected(
                "CONTRADICTION", f"attribute broker_account {expected[:64]!a} is not the message's {told!a}"
            )
        name = self.get("account") or (told or "").lower()
        if not name:
            raise Rejected(
                "MISSING_ATTRIBUTE", "the message names no account: attribute `account` must say it"
            )
        return name

    def instrument(self, symbol: str, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the contract of a broker's symbol: what attribute `instrument` says, else what `read` finds.

        The attribute is about one contract, so a message about a second one is refused.
        """
        told = self.get("instrument")
        if told is None:
            return read()
        if self._told_for not in (None, symbol):
            raise Rejected(
                "CONTRADICTION",
                f"attribute instrument is about one contract, the message about {self._told_for} and {symbol[:40]}",
            )
        self._told_for = symbol
        try:
            return validate(Instrument, decode_object(told.encode())).model_dump(mode="json")
        except Rejected as refused:
            raise Rejected("BAD_ATTRIBUTE", f"attribute instrument: {refused.detail}") from None
        except UnicodeEncodeError:
            raise Rejected("BAD_ATTRIBUTE", "attribute instrument is not UTF-8") from None

    def fill(self, account: str | None, **facts: Any) -> Fill:
        """Return a fill of this message; `account` is the broker's id of it, if it names one."""
        return validate(
            Fill,
            {
                "broker": self.broker,
                "account": self.account(account),
                "strategy": self.strategy,
                **{name: value for name, value in facts.items() if value is not None},
            },
        )


class Dialect(NamedTuple):
    """How one broker's messages are read.

    `parse` takes the decoded message; it raises Rejected for what it does not know, returns an item for each
    fill or refused row, and no item for a message about the state of an order. `decode` reads the bytes.
    `statement` returns the positions that a message tells, or None where it tells none.
    """

    parse: Callable[[dict[str, Any], Context], list[Item]]
    decode: Callable[[bytes], dict[str, Any]] = decode_object
    statement: Callable[[dict[str, Any], Context], Statement | None] = lambda value, context: None


def each(rows: Iterable[Row], read: Callable[[Row], Fill | list[Fill] | None]) -> list[Item]:
    """Read rows one by one: a row that is refused is refused alone."""
    items: list[Item] = []
    for row in rows:
        try:
            found = read(row)
        except Rejected as refused:
            items.append(Item(row.value, None, refused))
            continue
        fills = found if isinstance(found, list) else [found] if found else []
        items += [Item(row.value, fill) for fill in fills]
    return items


def of_any(shapes: Iterable[str]) -> Rejected:
    """Return the refusal of a message that is none of those that a dialect knows."""
    return Rejected("UNKNOWN_MESSAGE", f"the message is none of: {', '.join(shapes)}")
