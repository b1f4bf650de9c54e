"""The prices of underlyings at which an account was last evaluated: those by which people are shown its trades."""

from decimal import Decimal

import orjson

from stopline.ledger.lifecycle import SpotOf
from stopline.model.errors import Transient
from stopline.model.ids import document_id
from stopline.ports import Path, Store


class LastSpots:
    """Reads them out of risk documents, and nothing else of those: who books fills has no need of the rest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, account: str) -> SpotOf:
        """Return the prices of an account's underlyings, read when one is first asked for; None where one is not known, or
        the document cannot be read.
        """
        read: list[dict[str, str | None]] = []

        def spot(symbol: str) -> Decimal | None:
            if not read:
                read.append(self._read(account))
            text = read[0].get(symbol)
            return None if text is None else Decimal(text)

        return spot

    def _read(self, account: str) -> dict[str, str | None]:
        try:
            document = self._store.get(Path("risk", document_id(account)))
        except Transient:
            return {}
        shown = orjson.loads(document.data["state"])["shown"] if document else {}
        return dict(shown.get("spots") or {})
