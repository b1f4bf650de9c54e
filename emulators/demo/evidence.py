"""What proves the story: the documents and messages themselves, where every published fill is, what people were told."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from emulators.demo.backend import ACCOUNT, Backend, Told
from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.ports import Where
from stopline.service.fills.books import read_fill


@dataclass(frozen=True, slots=True)
class Conservation:
    """Where the published fills are: each is in exactly one place."""

    published: int
    applied: int
    duplicates: int
    quarantined: int

    @property
    def in_flight(self) -> int:
        return self.published - self.applied - self.duplicates - self.quarantined

    def __str__(self) -> str:
        return (
            f"published {self.published} = applied {self.applied} + duplicates {self.duplicates}"
            f" + quarantined {self.quarantined} + in flight {self.in_flight}"
        )


class Evidence:
    """Looks at what is stored and at what was told. `published`: how many fills, and what was none, were published."""

    def __init__(self, backend: Backend, published: Callable[[], int]) -> None:
        self._backend = backend
        self._app = backend.app
        self._published = published

    def book(self) -> Book:
        """Return the account's book."""
        return self._app.books.read(ACCOUNT) or Book(ACCOUNT)

    def fills(self) -> list[Fill]:
        """Return every booked fill."""
        return [read_fill(document) for document in self._app.store.query("fills")]

    def net_quantities(self) -> dict[tuple[str, str], Decimal]:
        """Sum the fills by position, without the ledger's help."""
        result: dict[tuple[str, str], Decimal] = {}
        for fill in self.fills():
            key = (fill.strategy, fill.instrument.symbol)
            result[key] = result.get(key, Decimal(0)) + fill.signed_quantity
        return result

    def count(self) -> Conservation:
        """Count where the published fills are, in the documents themselves."""
        store = self._app.store
        return Conservation(
            published=self._published(),
            applied=len(store.query("fills")),
            duplicates=len(store.query("duplicates")),
            quarantined=len(store.query("quarantine", [Where("source", "==", "fills")])),
        )

    def heard(self, words: str, channels: set[str]) -> list[Told]:
        """Wait until each channel has told something; return the messages: e-mail, Discord, SMS."""
        found: dict[str, Told] = {}

        def is_told() -> bool:
            for told in self._backend.told():
                if told.channel in channels and re.search(words, f"{told.title} {told.text}"):
                    found.setdefault(told.channel, told)
            return len(found) == len(channels)

        self._backend.wait(is_told, f"a message with {words!r} on {', '.join(sorted(channels))}")
        return [found[name] for name in ("email", "discord", "sms") if name in found]
