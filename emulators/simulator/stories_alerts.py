"""Stories of alerts: taken by a link and by name, told to the next person, and held up by providers."""

from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from emulators.simulator.demand import demand
from emulators.simulator.stories import ACCOUNT, LINKS, Told
from stopline.model.ids import document_id
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import Outgoing, Path
from stopline.rules.alerting.ack_links import PATH
from stopline.rules.alerting.delivery import mark

PHONE = "+14155550100"
PEOPLE = [{"name": name, "recipients": {"email": [f"{name}@example.com"]}} for name in ("kim", "lee")]


class _Alerted(Told):
    """A story in which somebody raises alerts."""

    def alert(self, id_: str, object_: str = "x") -> Callable[[], None]:
        """Return the event that a critical alert is raised."""

        def publish() -> None:
            body = canonical(
                {
                    "type": "stopline.alert.v1",
                    "alert_id": id_,
                    "account": ACCOUNT,
                    "kind": "max_leverage",
                    "object": object_,
                    "severity": "critical",
                    "summary": f"too much of {object_}",
                    "raised_at": utc_text(self.world.now),
                }
            )
            self.facts.effects[id_] = body
            self.world.accept(Outgoing("alerts", body, {"effect_id": id_}))

        return publish

    def standing(self, object_: str) -> dict[str, Any]:
        """Return what is stored of the condition of an object."""
        document = self.world.store.get(Path("incidents", document_id(ACCOUNT)))
        standing = orjson.loads(document.data["state"])["standing"] if document else {}
        return next((s for s in standing.values() if s["alert"]["object"] == object_), {})


class Taken(_Alerted):
    """One alert is taken by the link of its message; of the other the next person hears, and takes it by its name."""

    account: ClassVar[dict[str, Any]] = {"alerting": {"people": PEOPLE, "escalate_to": ["kim", "lee"]}}
    kinds = ("max_leverage", "acknowledged")

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.type_("alerts", "test", ACCOUNT),
            self.alert("first-1"),
            self._open,
            self._press,
            self.alert("other-2", "y"),
            self.swept(after_s=130),  # kim is next
            lambda: self.ask("bob", "POST", f"/v1/accounts/{ACCOUNT}/alerts/ack", {"reference": "other-2"}),
            lambda: self.ask("bob", "GET", f"/v1/accounts/{ACCOUNT}/alerts"),
        ]

    def _link(self) -> str:
        return LINKS.url("first-1", mark("sms", PHONE), self.world.now).partition(PATH)[2]

    def _open(self) -> None:
        self.ask("nobody", "GET", PATH + self._link())

    def _press(self) -> None:
        self.ask("nobody", "POST", PATH + self._link())

    def outcome(self) -> set[str]:
        taken = {f"{name} taken by {self.standing(name)['acknowledged_by']}" for name in "xy"}
        return super().outcome() | taken

    def check(self) -> None:
        super().check()
        addresses = {address for id_, _, address in self.facts.sent}
        demand("kim@example.com" in addresses, "who is next is told", addresses)


class Unheard(_Alerted):
    """For a while no channel works: then people get one message for all, and the records say so."""

    kinds = ("caught_up",)
    down = False

    def trouble(self, instance: str, kind: str) -> str | None:
        return "before" if self.down and kind.endswith(".send") else None

    def _events(self, rng: object) -> list[Callable[[], None]]:
        later = [event for _ in range(2) for event in (self.later(300), self.swept())]
        return [
            self._fail,
            self.alert("u1", "x"),
            self.alert("u2", "y"),
            self.alert("u3", "z"),
            self._mend,
            *later,
        ]

    def _fail(self) -> None:
        self.down = True

    def _mend(self) -> None:
        self.down = False

    def outcome(self) -> set[str]:
        statuses = {d.data["alert_id"]: d.data["status"] for d in self.world.store.query("alerts")}
        heard = {"delivered", "told_by_digest"}  # the last one may be told alone
        return super().outcome() | {f"{id_} is heard" for id_ in ("u1", "u2", "u3") if statuses[id_] in heard}


class HeldUp(_Alerted):
    """An instance dies while it tells an alert, and of another one the write that it was told gets no answer."""

    kinds = ("max_leverage",)
    dies = doubts = False

    def trouble(self, instance: str, kind: str) -> str | None:
        if self.dies and kind == "sms.send":
            self.dies = False
            return "crash_before"
        if self.doubts and kind == "store.commit" and any(id_ == "h2" for id_, _, _ in self.facts.sent):
            self.doubts = False
            return "after"
        return None

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [self._die, self.alert("h1", "x"), self._doubt, self.alert("h2", "y")]

    def _die(self) -> None:
        self.dies = True

    def _doubt(self) -> None:
        self.doubts = True
