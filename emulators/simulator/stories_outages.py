"""Stories of kills while the store does not answer, or answers slowly."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson

from emulators.simulator.demand import demand
from emulators.simulator.stories import ACCOUNT, Told
from stopline.model.control import account_scope
from stopline.model.ids import document_id
from stopline.ports import Path

OWN = account_scope(ACCOUNT)


class _Stopped(Told):
    """A story in which somebody stops trading."""

    def kill(self, scope: str, id_: str) -> Callable[[], None]:
        """Return the event that a kill is asked for."""
        body = {"scope": scope, "request_id": id_, "reason": "test", "flatten": False}
        return lambda: self.ask("ann", "POST", "/kill", body)

    def held(self, scope: str) -> dict[str, Any]:
        """Return a scope's control document as stored."""
        document = self.world.store.get(Path("controls", document_id(scope)))
        return orjson.loads(document.data["state"]) if document else {}


class SecondPath(_Stopped):
    """Nobody can read or write, and somebody stops trading: adapters are told, and it is stored later."""

    down = False

    def trouble(self, instance: str, kind: str) -> str | None:
        return "before" if self.down and kind.startswith("store.") else None

    def _functions(self) -> tuple[str, ...]:
        return (*super()._functions(), "orders")

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.swept(),
            lambda: self.ask("ann", "GET", f"/v1/accounts/{ACCOUNT}"),
            self._halt,
            self.swept(),
        ]

    def _halt(self) -> None:
        self.down = True
        self.kill(OWN, "k1")()
        while not self.answers.get(f"{self.asked} POST /kill"):
            if not self.world.step():
                self.world.now += timedelta(seconds=1)
        self.down = False

    def check(self) -> None:
        super().check()
        said = [answer[1]["delivery"] for answer in self.answers["2 POST /kill"]]
        demand(any("not persisted" in text for text in said), "the second path was taken", said)
        demand(self.held(OWN).get("state") == "HALTED", "I6 a halt that people were told of is stored", said)


class LateHalt(_Stopped):
    """The whole is stopped, and that takes so long that the sweep is asked to go on with it."""

    names = (ACCOUNT, "b")

    is_slow = False

    def trouble(self, instance: str, kind: str) -> str | None:
        stored = any(d.path.id != "b" for d in self.world.store.query("controls"))
        if instance.startswith("http") and kind == "store.commit" and stored and not self.is_slow:
            self.is_slow = True
            self.world.now += timedelta(seconds=7)
        return None

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [self.swept(), self.kill("global", "k1"), self.swept()]
