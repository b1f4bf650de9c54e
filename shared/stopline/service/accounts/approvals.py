"""The second pair of eyes: what one person asked for where two must agree, and thresholds from before they were raised."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.errors import Rejected
from stopline.model.ids import Id, document_id
from stopline.model.times import UtcText
from stopline.model.wire import Message, canonical
from stopline.ports import AlreadyExists, Clock, Conflict, Create, Path, Store, Update, Version
from stopline.rules.trading.resuming import SECOND_WITHIN, are_one

COLLECTION = "approvals"
REMEMBERED = timedelta(hours=24)


class Asked(Message):
    """A change that one person wants; `content` is the hash of what exactly."""

    content: str
    actor: Id
    person: Id | None = None  # who the actor is, where that is known
    at: UtcText


class Base(Message):
    """A threshold as it was before it was raised."""

    threshold: DecimalText
    at: UtcText


class Approval(Message):
    """What is remembered of one account."""

    asked: Asked | None = None
    base: dict[str, Base] = Field(default_factory=dict)


class Approvals:
    """Remembers requests and thresholds; a race with another instance is a Conflict, and nothing was remembered."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def base(self, account: str) -> dict[str, Decimal]:
        """Return the thresholds from before they were raised in the last 24 hours."""
        now = self._clock.now()
        return {name: was.threshold for name, was in self._fresh(self._read(account)[0], now).items()}

    def agrees(self, account: str, content: str, actor: str, person: str = "") -> bool:
        """Tell whether another person asked for the very same a short time ago; if nobody did, remember this request.
        `person`: who the actor is, where that is known. Raises Rejected SAME_PERSON.
        """
        now = self._clock.now()
        known, version = self._read(account)
        asked = known.asked
        if asked is not None and asked.content == content and now - asked.at <= SECOND_WITHIN:
            if are_one((asked.actor, asked.person), (actor, person)):
                raise Rejected("SAME_PERSON", f"{person or actor} asked already: another person must agree")
            return True
        mine = Asked(content=content, actor=actor, person=person or None, at=now)
        self._write(account, known.model_copy(update={"asked": mine}), version)
        return False

    def remember(self, account: str, were: Mapping[str, Decimal]) -> None:
        """Keep thresholds as they were, before they are raised; one that is kept already stays as it was then."""
        now = self._clock.now()
        known, version = self._read(account)
        fresh = self._fresh(known, now)
        new = {name: Base(threshold=was, at=now) for name, was in were.items() if name not in fresh}
        if new:
            self._write(account, known.model_copy(update={"base": {**fresh, **new}}), version)

    @staticmethod
    def _fresh(known: Approval, now: datetime) -> dict[str, Base]:
        return {name: was for name, was in known.base.items() if now - was.at < REMEMBERED}

    def _read(self, account: str) -> tuple[Approval, Version]:
        document = self._store.get(_path(account))
        if document is None:
            return Approval(), None
        return Approval.model_validate_json(document.data["state"]), document.version

    def _write(self, account: str, state: Approval, version: Version) -> None:
        data = {
            "account": account,
            "state": canonical(state.model_dump(mode="json", exclude_none=True)).decode(),
        }
        path = _path(account)
        try:
            self._store.commit([Create(path, data) if version is None else Update(path, data, version)])
        except AlreadyExists:
            raise Conflict(f"{path} was made by another instance") from None


def _path(account: str) -> Path:
    return Path(COLLECTION, document_id(account))
