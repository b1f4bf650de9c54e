"""Accounts: where they are, and reading them cheaply."""

import logging
import threading
from datetime import datetime, timedelta
from functools import lru_cache

import orjson

from stopline.model.account import Account
from stopline.model.errors import Rejected, Unreadable
from stopline.model.ids import document_id
from stopline.model.wire import validate
from stopline.ports import Clock, Document, Path, Store, Where

log = logging.getLogger("stopline")
COLLECTION = "accounts"
BOOKS = "books"
LAST_GOOD = timedelta(hours=24)  # for so long what was read last holds, where what is stored cannot be read


def account_path(name: str) -> Path:
    """Return where an account's document is."""
    return Path(COLLECTION, document_id(name))


class AccountReader:
    """Reads accounts and keeps each for `ttl`: a changed setting holds after that time at the latest."""

    def __init__(self, store: Store, clock: Clock, ttl: timedelta = timedelta(seconds=30)) -> None:
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._kept: dict[str, tuple[datetime, Account]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, *, fresh: bool = False) -> Account | None:
        """Return an account, or None when there is none of that name (which is never remembered). Raises Unreadable where
        what is stored is damaged, and nothing good was read here within a day. `fresh`: as it is stored now.
        """
        now = self._clock.now()
        kept = self._kept.get(name)
        if kept and not fresh and abs(now - kept[0]) < self._ttl:
            return kept[1]
        document = self._store.get(account_path(name))
        if document is None:
            return None
        try:
            account = read_account(document)
        except Unreadable:
            if kept is None or now - kept[0] > LAST_GOOD:
                raise
            log.exception("an account cannot be read: what was read last holds", extra={"account": name})
            return kept[1]
        with self._lock:
            self._kept[name] = (now, account)
        return account

    def last_known(self, name: str) -> Account | None:
        """Return an account as it was last read here, however long ago; None where it never was."""
        kept = self._kept.get(name)
        return kept[1] if kept else None

    def forget(self, name: str) -> None:
        """Read an account afresh at the next question."""
        with self._lock:
            self._kept.pop(name, None)

    def stored(self, name: str) -> Account | None:
        """Return an account as it is stored now; None where there is none, or it is damaged: what was read last goes on
        holding for whoever asks else.
        """
        document = self._store.get(account_path(name))
        try:
            account = read_account(document) if document else None
        except Unreadable:
            log.exception("an account cannot be read", extra={"account": name})
            return None
        if account is not None:
            with self._lock:
                self._kept[name] = (self._clock.now(), account)
        return account

    def require(self, name: str) -> Account:
        """Return an account or raise Rejected UNKNOWN_ACCOUNT."""
        account = self.get(name)
        if account is None:
            raise Rejected(
                "UNKNOWN_ACCOUNT", f"there is no account {name!r}: create it with `stopline accounts create`"
            )
        return account

    def names(self) -> list[str]:
        """Return the name of every account, read afresh: of those too whose document cannot be read. What stops everything
        is for them too.
        """
        return sorted(document.path.id for document in self.documents())

    def with_positions(self) -> list[str]:
        """Return the name of everybody who holds something, accounts that were deleted too. It reads whole books: nothing
        that must be quick may wait for it.
        """
        left = self._store.query(BOOKS, [Where("open_positions", ">", 0)])
        return sorted(str(document.data["account"]) for document in left)

    def documents(self) -> list[Document]:
        """Return the document of every account, by name, read afresh: see `read_account`."""
        return self._store.query(COLLECTION)

    def all(self) -> list[Account]:
        """Return every account, by name, read afresh."""
        return [read_account(document) for document in self.documents()]


def read_account(document: Document) -> Account:
    """Return the account of its document. Raises Unreadable."""
    try:
        return _decoded(document.data["account"])
    except (Rejected, ValueError, LookupError, TypeError) as problem:
        raise Unreadable(f"{document.path} cannot be read: {problem}") from problem


@lru_cache(maxsize=2048)
def _decoded(text: str) -> Account:
    """Return the account of a text; remembered, because settings are read far more often than they change."""
    return validate(Account, orjson.loads(text))
