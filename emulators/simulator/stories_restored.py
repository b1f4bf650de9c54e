"""Stories of a database that is restored to an earlier moment, and of single documents that a hand took away."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from emulators.simulator.demand import demand
from emulators.simulator.stories import ACCOUNT
from emulators.simulator.stories_outages import OWN, Stopped
from emulators.simulator.world import Delivery, topology
from stopline.model.ids import document_id
from stopline.model.times import parse_utc, utc_text
from stopline.ports import Data, Delete, Path, Put
from stopline.rules.trading.state import AHEAD
from stopline.runtime.app import App
from stopline.service.audit.chain import stored_faults
from stopline.service.fills.redrive import Redriver


class SetBack(Stopped):
    """Trading is stopped and a fill booked, and the database is restored to before both. The checks of the day tell what it
    lacks; `restored` stops trading again, and the subscription is set back for the fill.
    """

    def __init__(self) -> None:
        self.kept: dict[Path, Data] = {}
        self.known: set[str] = set()
        self.heard = 0
        self.seen: dict[str, Any] = {}
        self.since = ""
        self.lost: list[Delivery] = []
        super().__init__()

    def tools(self) -> dict[str, Callable[[App], object]]:
        return {"rewind": self._rewind}

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.fill("T1", "BUY", "2", "100"),
            self.kill("global", "k0"),
            self._back_up,
            self._lose,
            self.kill(OWN, "k1"),
            self._restore,
            self.later(2 * 3600),  # what is younger may be on its way
            self.swept("end_of_day"),
            self._say_so,
            self.type_("rewind"),
            self._look_away,
        ]

    def _back_up(self) -> None:
        self.since = utc_text(self.world.now)
        self.kept, self.known, self.heard = self._all(), set(self.facts.effects), len(self.facts.sent)
        self.seen = dict(self.facts.answers)

    def _all(self) -> dict[Path, Data]:
        store = self.world.store
        return {d.path: d.data for name in topology().collections for d in store.query(name)}

    def _lose(self) -> None:
        self.fill("T2", "BUY", "1", "101")()
        self.lost = self.world.pending[-1:]

    def _restore(self) -> None:
        """Put back what was there; what ran before it runs no more."""
        newer = [Delete(path) for path in self._all().keys() - self.kept.keys()]
        self.world.store.commit([*newer, *(Put(path, data) for path, data in self.kept.items())])
        self.facts.answers = self.seen
        del self.facts.sent[self.heard :]
        self.facts.effects = {id_: body for id_, body in self.facts.effects.items() if id_ in self.known}
        for instances in self.world.instances.values():
            for instance in instances:
                instance.boot()

    def _say_so(self) -> None:
        self.type_("restored", "--since", self.since, "--reason", "a backup")()

    def _rewind(self, app: App) -> None:
        redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
        redriver.rewind("fills", parse_utc(self.since), "ann", "a backup", self._seek)

    def _seek(self, _now: datetime) -> datetime:
        self.world.pending += [delivery.again() for delivery in self.lost]
        return parse_utc(self.since)

    def _look_away(self) -> None:
        """Take out of the history what only the forgotten database had said: its rows stay there, and views keep the last of
        an id. What is said again has another moment.
        """
        bodies = [orjson.loads(body) for body in self.facts.effects.values()]
        due = {(row["table"], row["event_id"]) for body in bodies for row in body.get("rows", ())}
        rows = self.facts.rows
        for key in list(rows):
            rows[key] = rows[key][-1:]
            if key not in due:
                del rows[key]

    def check(self) -> None:
        super().check()
        demand(
            self.held(OWN).get("state") == "HALTED", "I6 what was stopped is stopped again", self.held(OWN)
        )


class Lost(Stopped):
    """Somebody stops trading and tightens a limit, and a hand deletes the documents that know the ends of both audit trails.
    The next word goes on where they ended, and what was stopped is stopped.
    """

    kinds = ("trading_state",)

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.kill(OWN, "k0"),
            lambda: self._tighten(1, "10"),
            self.swept(after_s=31),  # what their outboxes hold is out
            self._delete,
            self.kill(OWN, "k1"),
            lambda: self._tighten(2, "9"),
            self.swept(),
        ]

    def _tighten(self, version: int, limit: str) -> None:
        settings = {"limits": {"max_symbol_exposure": {"limit": limit}}}
        body = {"expected_version": version, "settings": settings}
        self.ask("ann", "PATCH", f"/v1/accounts/{ACCOUNT}/settings", body)

    def _delete(self) -> None:
        paths = [Path("controls", document_id(OWN)), Path("journals", document_id(f"journal:{ACCOUNT}"))]
        self.world.store.commit([Delete(path) for path in paths])

    def check(self) -> None:
        super().check()
        held = self.held(OWN)
        demand(held.get("state") == "HALTED", "I6 what was stopped is stopped again", held)
        demand(held.get("epoch", 0) > AHEAD, "I5 under an epoch above all of before", held)
        _, faults = stored_faults(self.world.store)
        demand(not faults, "the audit trail is whole", faults)
