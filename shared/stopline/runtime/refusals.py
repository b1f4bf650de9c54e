"""A line in the log for each request that was refused for who asked: who, from where, what, why. Nobody can fill it.

It is no row of the audit trail: whoever has no right must not be able to make that grow. The moment is the line's own.
"""

import logging
import re
import threading
from collections import Counter
from datetime import datetime, timedelta

import flask

from stopline.ports import Clock
from stopline.runtime.auth import Forbidden, Unauthenticated

log = logging.getLogger("stopline")
OF_WHOM = (Unauthenticated, Forbidden)
A_MINUTE = 30  # lines about those who are known, as many about those who are not
EACH = 10  # of them about one caller, or one address
NOBODY = "nobody"
_NO_ADDRESS = re.compile(r"[^0-9a-fA-F:.]")
_ODD = re.compile(r"[^!-~]")
_WORD = re.compile(r"[^/:]{65,}")  # longer than any name of ours: maybe a token


class Refusals:
    """Notes refusals. Those of a minute that are too many are counted, and told in a line with the next one after it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: datetime | None = None
        self._lines: Counter[tuple[bool, str]] = Counter()
        self._untold: Counter[bool] = Counter()
        self._lock = threading.Lock()

    def note(self, request: flask.Request, caller: str, found: Unauthenticated | Forbidden) -> None:
        """Note one refusal of a caller; `nobody` where nobody has proven who they are."""
        address = _address(request)
        is_known = caller != NOBODY
        untold = self._count(is_known, caller if is_known else address)
        for known, count in sorted((untold or {}).items()):
            log.warning("refused, not told one by one", extra={"count": count, "known": known})
        if untold is None:
            return
        log.warning(
            "refused: %s",
            found,
            extra={
                "caller": caller,
                "address": address,
                "method": _ODD.sub("?", request.method[:10]),
                "path": _shown(request.path),
                "scope": _shown(found.scope) if isinstance(found, Forbidden) else "",
                "kind": type(found).__name__,
            },
        )

    def _count(self, is_known: bool, who: str) -> dict[bool, int] | None:
        """Return how many were not told in the minute that is over, or None: this one is not told either."""
        now = self._clock.now()
        with self._lock:
            before = Counter[bool]()
            if self._since is None or not timedelta(0) <= now - self._since < timedelta(minutes=1):
                before, self._untold = self._untold, Counter()
                self._since = now
                self._lines.clear()
            all_ = sum(count for (known, _), count in self._lines.items() if known is is_known)
            if all_ >= A_MINUTE or self._lines[is_known, who] >= EACH:
                self._untold[is_known] += 1
                return None
            self._lines[is_known, who] += 1
            return dict(before)


def _shown(text: str) -> str:
    """Return what a caller wrote, as one short word without what cannot be a name."""
    return _WORD.sub("[...]", _ODD.sub("?", text[:200]))


def _address(request: flask.Request) -> str:
    """Return who the platform says is calling: the last of the header, which callers cannot choose."""
    forwarded = request.headers.get("X-Forwarded-For", "") or request.remote_addr or ""
    return _NO_ADDRESS.sub("", forwarded[-100:].rpartition(",")[2])[:45]
