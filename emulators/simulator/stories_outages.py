"""Stories of kills while the store does not answer, or answers slowly."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson

from emulators.simulator.demand import demand
from emulators.simulator.stories import ACCOUNT, Told
from stopline.model.control import account_scope
from stopline.model.ids import document_id
from stopline.ports import Delete, Path
from stopline.service.accounts.reader import account_path

OWN = account_scope(ACCOUNT)


class Stopped(Told):
    """A story in which somebody stops trading."""

    def kill(self, scope: str, id_: str) -> Callable[[], None]:
        """Return the event that a kill is asked for."""
        body = {"scope": scope, "request_id": id_, "reason": "test", "flatten": False}
        return lambda: self.ask("ann", "POST", "/kill", body)

    def resume(self, scope: str, id_: str) -> Callable[[], None]:
        """Return the event that somebody resumes what holds a scope then."""

        def resume() -> None:
            state = self.held(scope)
            lifts = [hold["request_id"] for hold in state["holds"].values()]
            body = {"scope": scope, "request_id": id_, "reason": "test", "confirm": f"RESUME {scope}"}
            self.ask("ann", "POST", "/resume", {**body, "expected_epoch": state["epoch"], "lifts": lifts})

        return resume

    def held(self, scope: str) -> dict[str, Any]:
        """Return a scope's control document as stored."""
        document = self.world.store.get(Path("controls", document_id(scope)))
        return orjson.loads(document.data["state"]) if document else {}


class SecondPath(Stopped):
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

    def outcome(self) -> set[str]:
        """A kill that was stored by who died then is asked for again, and stored again."""
        return {line for line in super().outcome() if "kill_repeated" not in line}

    def check(self) -> None:
        super().check()
        said = [answer[1]["delivery"] for answer in self.answers["2 POST /kill"]]
        demand(any("not persisted" in text for text in said), "the second path was taken", said)
        demand(self.held(OWN).get("state") == "HALTED", "I6 a halt that people were told of is stored", said)


class Whole(Stopped):
    """The clocks of all who book are behind for a while; then the whole is stopped, for an account too that was deleted and
    holds something. A round that could not look at an account shows so outside.
    """

    names = (ACCOUNT, "b")
    kinds = ("trading_state",)
    fails = False

    def trouble(self, instance: str, kind: str) -> str | None:
        if self.fails and instance.startswith("sweeps") and kind == "store.commit":
            self.fails = False
            return "before"
        return None

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self._behind,
            self.fill("B1", "BUY", "1", "100", account="b"),
            self._delete,
            self._fail,
            self.swept(),
            self.kill("global", "k1"),
        ]

    def _behind(self) -> None:
        world = self.world
        for instance in world.instances["fills"]:
            instance.skew = -timedelta(seconds=90)
        self.fill("A1", "BUY", "2", "100")()
        while world.step():
            pass
        for instance in world.instances["fills"]:
            instance.skew = timedelta(0)

    def _delete(self) -> None:
        self.world.store.commit([Delete(account_path("b"))])

    def _fail(self) -> None:
        self.fails = True


class LateHalt(Stopped):
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
