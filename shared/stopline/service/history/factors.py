"""The factors documents: daily returns of each calendar, worked out from the closes in the history once a session."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import orjson

from stopline.model.calendars import Calendar, calendar
from stopline.model.errors import Transient
from stopline.model.ids import document_id
from stopline.model.wire import content_hash
from stopline.ports import Clock, Data, History, Path, Put, Store, Unavailable, Where
from stopline.risk.co_movement import WINDOW as CO_MOVEMENT
from stopline.risk.factors import Covariance, Factors, factors_of, joint_covariance
from stopline.service.documents.aggregate import DAMAGED

log = logging.getLogger("stopline")
COLLECTION = "factors"
SCHEMA = 1
WINDOW = 500  # sessions of returns
MOST_SYMBOLS = 100  # of one document: 500 KiB of text
KEPT = timedelta(days=40)
LOADED = "loaded"
_KNOWN = timedelta(minutes=10)  # for how long a reader does not look again
_BACK = 12  # sessions that a reader looks back for the newest document


def factors_path(name: str, session: date) -> Path:
    """Return where the factors of a calendar's session are."""
    return Path(COLLECTION, document_id(session.isoformat(), name))


def encode(factors: Factors) -> Data:
    """Return factors as the fields of their document. Returns keep 7 decimals: 0.00001 %."""
    body = {
        "schema": SCHEMA,
        "sessions": [session.isoformat() for session in factors.sessions],
        "returns": {
            symbol: [None if np.isnan(x) else round(x, 7) for x in column.tolist()]
            for symbol, column in zip(factors.symbols, factors.returns.T, strict=True)
        },
        "days": {day.isoformat(): dict(moves) for day, moves in factors.days.items()},
        "left_out": list(factors.left_out),
        "covariance": _plain(factors.covariance),
    }
    return {
        "calendar": factors.calendar,
        "session": factors.sessions[-1].isoformat() if factors.sessions else None,
        "symbols": len(factors.symbols),
        "state": orjson.dumps(body).decode(),
        "hash": content_hash(body),
    }


def decode(data: Mapping[str, Any]) -> Factors:
    """Read factors of their document. Raises Transient for one of a newer version."""
    body = orjson.loads(data["state"])
    if body["schema"] > SCHEMA:
        raise Transient(f"factors have schema {body['schema']}, this version writes {SCHEMA}")
    columns = [[np.nan if x is None else x for x in column] for column in body["returns"].values()]
    sessions = tuple(date.fromisoformat(text) for text in body["sessions"])
    return Factors(
        data["calendar"],
        sessions,
        tuple(body["returns"]),
        np.array(columns, dtype=np.float64).T.reshape(len(sessions), len(columns)),
        {date.fromisoformat(day): moves for day, moves in body["days"].items()},
        tuple(body["left_out"]),
        _covariance(body.get("covariance")),
    )


def _plain(known: Covariance | None) -> dict[str, Any] | None:
    """Return a covariance as plain data: of its rows what is below the diagonal, and the diagonal."""
    if known is None:
        return None
    rows = [[float(f"{x:.10g}") for x in row[: n + 1]] for n, row in enumerate(known.matrix.tolist())]
    facts = {"symbols": list(known.symbols), "window": known.window, "n": known.n, "dropped": known.dropped}
    return {**facts, "rows": rows}


def _covariance(body: Mapping[str, Any] | None) -> Covariance | None:
    if body is None:
        return None
    size = len(body["symbols"])
    table = np.zeros((size, size))
    for place, row in enumerate(body["rows"]):
        table[place, : place + 1] = table[: place + 1, place] = row
    return Covariance(tuple(body["symbols"]), table, body["window"], body["n"], body["dropped"])


class FactorReader:
    """The newest factors of each calendar, looked for at most every ten minutes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, tuple[datetime, Factors | None, str]] = {}
        self._betas: dict[tuple[str, str, int], tuple[Factors, Mapping[str, float]]] = {}
        self._lock = threading.Lock()

    def latest(self, name: str) -> Factors | None:
        """Return the newest factors of a calendar, or None where there are none of its last 12 sessions."""
        now = self._clock.now()
        kept = self._kept.get(name)
        if kept and abs(now - kept[0]) < _KNOWN:
            return kept[1]
        sessions = calendar(name)
        session = sessions.session_of(now)
        paths = []
        for _ in range(_BACK):
            paths.append(factors_path(name, session))
            session = sessions.previous_session(session)
        factors, mark = None, ""
        for document in self._store.get_all(paths):
            if document is None:
                continue
            mark = str(document.data.get("hash"))
            try:
                factors = kept[1] if kept and kept[2] == mark else decode(document.data)
                break
            except DAMAGED:  # those of the session before hold: their age is told with every figure
                log.exception("factors cannot be read", extra={"document": str(document.path)})
        with self._lock:
            self._kept[name] = (now, factors, mark)
        return factors

    def forget(self) -> None:
        """Look again at the next question: somebody wrote factors."""
        with self._lock:
            self._kept.clear()

    def betas(self, name: str, index: str | None, window: int) -> Mapping[str, float]:
        """Return the betas of a calendar's symbols to an index; without one there are none."""
        factors = self.latest(name) if index else None
        if factors is None or index is None:
            return {}
        kept = self._betas.get((name, index, window))
        if kept is None or kept[0] is not factors:
            kept = factors, factors.betas(index, window)
            with self._lock:
                self._betas[name, index, window] = kept
        return kept[1]


class HistoryAway(Unavailable):
    """The history does not answer: what is made of it waits, and nothing else is in doubt."""


class FactorBuilder:
    """Writes the factors of a session out of the closes in the history. The same closes give the same document."""

    def __init__(self, store: Store, history: History, clock: Clock) -> None:
        self._store = store
        self._history = history
        self._clock = clock

    def build(
        self,
        name: str,
        session: date,
        newest: Mapping[str, float],
        symbols: Sequence[str],
        days: Sequence[date] = (),
    ) -> bool:
        """Build the factors of a calendar up to a session; tell whether they are new.

        `newest` are the closes of that session, which the history may not show yet; `symbols` in the order of their
        weight: what is beyond 100 is left out, by name. Raises Unavailable, and of it HistoryAway.
        """
        sessions = calendar(name)
        closes = {(symbol, session): price for symbol, price in newest.items()}
        closes |= self._closes(name, _first(sessions, session), session)
        for day in sorted(set(days)):
            closes |= self._closes(name, sessions.previous_session(day), day)
        factors = factors_of(
            name,
            closes,
            symbols[:MOST_SYMBOLS],
            session,
            WINDOW,
            sessions.previous_session,
            days,
            symbols[MOST_SYMBOLS:],
        )
        data = encode(replace(factors, covariance=joint_covariance(factors, CO_MOVEMENT)))
        path = factors_path(name, session)
        before = self._store.get(path)
        if before is not None and before.data.get("hash") == data["hash"]:
            return False
        expires = datetime.combine(session, time(0), UTC) + KEPT
        self._store.commit([Put(path, {**data, "built_at": self._clock.now(), "expires_at": expires})])
        return True

    def _closes(self, name: str, since: date, until: date) -> dict[tuple[str, date], float]:
        """Return closes by symbol and session; what a user loaded goes before the marks of the feed."""
        where = [Where("calendar", "==", name), Where("session", ">=", since), Where("session", "<=", until)]
        try:
            rows = self._history.read("closes", where)
        except Unavailable as problem:
            raise HistoryAway(str(problem)) from problem
        rows.sort(key=lambda row: (row["source"] == LOADED, row["as_of"]))
        return {
            (row["symbol"], row["session"]): float(row["close"]) for row in rows if row["close"] is not None
        }


def _first(sessions: Calendar, session: date) -> date:
    """Return the session whose close is the first that is needed."""
    for _ in range(WINDOW):
        session = sessions.previous_session(session)
    return session
