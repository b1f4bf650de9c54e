"""What stories that are told by hand have in common. Nothing in them is left to chance: each event is played to its end, and
what goes wrong is part of the story, or was broken on purpose.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import click
import flask
import orjson
from werkzeug.test import EnvironBuilder

from emulators.simulator.demand import demand
from emulators.simulator.faults import NO_FAULTS
from emulators.simulator.scenario import Scenario
from emulators.simulator.world import Delivery, Instance, World
from stopline.cli.failures import Failure
from stopline.cli.main import main as stopline
from stopline.ledger.encoding import decode_book
from stopline.model.errors import Rejected
from stopline.model.fill import FILL_TYPE, FILLS_TYPE
from stopline.model.messages import ALERT_TYPE
from stopline.model.times import utc_text
from stopline.model.wire import canonical, decode_object
from stopline.ports import Outgoing, Unavailable
from stopline.rules.alerting.ack_links import AckLinks
from stopline.runtime import kill_api, status_api
from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.service.accounts.reader import account_path

LINKS = AckLinks("https://stopline.example.com", "a-secret-of-more-than-32-characters")
PRINCIPALS = {
    sha256(name.encode()).hexdigest(): {"name": name, "rights": ["admin"], "accounts": ["*"]}
    for name in ("ann", "bob")
}
SWITCH = {"/kill", "/pause", "/resume", "/status"}
ACCOUNT = "a"
FILE = "FILE"
PASSING = (b'"kind":"heartbeat"', b'"kind":"history_differs"')
DONE = "done"
TYPED = 3  # so often people type a command that fails


class SimBeacon:
    """The heartbeat that leaves the cloud. `beats` is what came there."""

    def __init__(self, world: World, instance: Instance, beats: list[bool]) -> None:
        self._world = world
        self._instance = instance
        self._beats = beats

    def beat(self, ok: bool) -> None:
        with suppress(Unavailable):  # it never raises
            self._world.effect(self._instance, "beacon.beat", self._beats.append, ok)


class Told(Scenario):
    """A story: `account` is how its account differs from the usual, `kinds` the alerts that it is about: what else is told
    depends on how long it took. `refused`: what is typed in it and refused, and why; all else is done.
    """

    account: ClassVar[dict[str, Any]] = {}
    kinds: ClassVar[Collection[str]] = ()
    names: ClassVar[Sequence[str]] = (ACCOUNT,)
    refused: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.done: dict[str, str] = {}  # what became of what was typed
        self.beats: list[bool] = []
        self.asked = 0
        super().__init__(1, NO_FAULTS, "story", small=True)
        self.accounts = list(self.names)

    def _begin(self, rng: object) -> None:
        self.accounts = list(self.names)

    def _functions(self) -> Sequence[str]:
        return ("fills", "prices", "sweeps", "alerts", "history", "http", "terminal")

    def _instances(self, name: str) -> int:
        return 2

    def _ports(self, instance: Instance) -> Ports:
        beacon = SimBeacon(self.world, instance, self.beats)
        return replace(super()._ports(instance), links=LINKS, beacon=beacon)

    def _handler(self, name: str) -> Callable[[Instance, Delivery], None]:
        own = {"http": self._answer, "terminal": self._carry_out, "orders": lambda instance, delivery: None}
        return own[name] if name in own else super()._handler(name)

    def _account_facts(self) -> dict[str, Any]:
        return {"price_max_age_s": 86_400, **self.account}

    # --- playing ---

    def tell(self) -> None:
        """Play each event to its end."""
        for event in self.events:
            event()
            self.world.rest()
        self.events = []

    def trouble(self, instance: str, kind: str) -> str | None:
        """Return what goes wrong at a step, as a part of the story."""
        return None

    # --- people ---

    def tools(self) -> dict[str, Callable[[App], object]]:
        """Return what people do at a terminal that is no command in a simulated world."""
        return {}

    def ask(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Send a request, again and again until it is answered."""
        self.asked += 1
        name = f"{self.asked} {method} {path}"
        request = {"name": name, "who": who, "method": method, "path": path, "body": body}
        self.world.accept(Outgoing("http", canonical(request)))

    def type_(self, *words: str, file: str = "") -> Callable[[], None]:
        """Return the event that somebody types a command, and again where it fails. `file`: what stands in FILE."""
        body = canonical({"words": words, "file": file})

        def type_() -> None:
            self.world.accept(Outgoing("terminal", body))

        return type_

    def undone(self) -> dict[str, str]:
        """Return what was typed and never done, and why."""
        return {said: why for said, why in self.done.items() if why != DONE}

    def later(self, seconds: float) -> Callable[[], None]:
        """Return the event that time goes by."""

        def pass_() -> None:
            self.world.now += timedelta(seconds=seconds)

        return pass_

    def _answer(self, instance: Instance, delivery: Delivery) -> None:
        asked = decode_object(delivery.message.data)
        path, _, query = asked["path"].partition("?")
        environ = EnvironBuilder(
            path=path,
            query_string=query,
            method=asked["method"],
            json=asked["body"],
            headers=[("Authorization", f"Bearer {asked['who']}")],
        ).get_environ()
        handle = kill_api.handle if path in SWITCH else status_api.handle
        body, status, _ = handle(flask.Request(environ), lambda: instance.app, PRINCIPALS)
        demand(status != 500, "I11 no request is answered 500", (asked, body))
        if status > 500:
            raise Unavailable(f"{status}: the client asks again")
        told = orjson.loads(body) if body.startswith(b"{") else {"page": body.decode()}
        self.answers.setdefault(asked["name"], []).append((status, told))

    def _carry_out(self, instance: Instance, delivery: Delivery) -> None:
        typed = orjson.loads(delivery.message.data)
        words: list[str] = typed["words"]
        tool, said = self.tools().get(words[0]), " ".join(words)
        try:
            if tool is not None:
                tool(instance.app)
            else:
                _run(instance.app, words, typed["file"])
            self.done[said] = DONE
        except Rejected as refused:
            self.done.setdefault(said, refused.reason)
        except click.ClickException as failure:
            if isinstance(failure, Failure) and delivery.attempts < TYPED:
                raise Unavailable(f"{failure.message}: typed again") from None
            self.done.setdefault(said, failure.message)

    # --- the market ---

    def fill(self, id_: str, side: str, quantity: str, price: str, **more: Any) -> Callable[[], None]:
        """Return the event that a broker tells a fill of AAA, executed then."""

        def publish() -> None:
            self.world.now += timedelta(seconds=1)
            self.publish_fill(self.body(id_, side, quantity, price, **more))

        return publish

    def body(self, id_: str, side: str, quantity: str, price: str, **more: Any) -> dict[str, Any]:
        """Return a fill of AAA, executed now."""
        return {
            "type": "stopline.fill.v1",
            "fill_id": id_,
            "broker": "paper",
            "account": ACCOUNT,
            "instrument": {"symbol": "AAA", "kind": "equity", "currency": "USD"},
            "side": side,
            "quantity": quantity,
            "price": price,
            "fee": "0.25",
            "executed_at": utc_text(self.world.now),
            **more,
        }

    def publish_fill(self, fill: dict[str, Any], again: int = 1) -> None:
        """Publish a fill, as a broker does."""
        for _ in range(again):
            self.world.accept(Outgoing("fills", canonical(fill)))

    def _watch(self, what: str, value: Any) -> None:
        # what a round has seen is told before it is stored, or never is, and in the words of the newest round
        effects = {id_: body for id_, body in self.facts.effects.items() if not _is_passing(body)}
        if what == "published" and _is_passing(value[1].data):
            effects[value[1].attributes.get("effect_id", "")] = value[1].data
        self.facts.effects = effects
        super()._watch(what, value)
        if what == "published" and value[1].topic == "fills":
            self._note_fills(decode_object(value[1].data))

    def _note_fills(self, body: dict[str, Any]) -> None:
        """Note what is to be booked, whoever publishes it: of an account that there is."""
        for fill in body["fills"] if body["type"] == FILLS_TYPE else [body]:
            known = "fill_id" in fill and self.world.store.get(account_path(fill["account"]))
            if fill["type"] == FILL_TYPE and known:
                self.facts.published.append({"fee": "0", **fill})

    def price(self, last: float, symbol: str = "AAA") -> Callable[[], None]:
        """Return the event that a feed tells a price."""

        def publish() -> None:
            self.world.now += timedelta(seconds=1)
            body = {
                "type": "stopline.prices.v1",
                "as_of": utc_text(self.world.now),
                "symbols": [symbol],
                "last": [last],
            }
            self.world.accept(Outgoing("prices", canonical(body)))

        return publish

    def swept(self, kind: str = "risk", after_s: float = 60) -> Callable[[], None]:
        """Return the event that the scheduler publishes a sweep."""

        def publish() -> None:
            self.world.now += timedelta(seconds=after_s)
            self.world.accept(Outgoing("sweeps", canonical({"type": "stopline.sweep.v1", "kind": kind})))

        return publish

    # --- how it ended ---

    def outcome(self) -> set[str]:
        """Return what must come out the same whatever breaks, one line each: documents that decide, people told, records."""
        return {*self._stored(), *self._told(), *self._on_record()}

    def _stored(self) -> set[str]:
        store, found = self.world.store, set()
        for document in store.query("accounts"):
            found.add(f"account {document.path.id} {document.data['account']}")
        for document in store.query("controls"):
            state = orjson.loads(document.data["state"])
            parts = {name: part["state"] for name, part in state["parts"].items()}
            found.add(f"control {state['scope']} {state['state']} {parts}")
        for document in store.query("books"):
            for position in decode_book(document.data["state"]).positions.values():
                amounts = position.quantity, position.realised, position.fees
                found.add(f"position {document.path.id} {position.key} {amounts}")
        for document in store.query("quarantine"):
            data = document.data
            found.add(f"quarantine {data['source']} {data['reason']} {data['status']}")
        return found

    def _told(self) -> set[str]:
        told = {id_ for id_, _, _ in self.facts.sent}
        alerts = (orjson.loads(d.data["state"])["alert"] for d in self.world.store.query("alerts"))
        return {
            f"told {a['account']} {a['kind']} {a['object']} {a['resolved']}"
            for a in alerts
            if a["alert_id"] in told and a["kind"] in self.kinds
        }

    def _on_record(self) -> set[str]:
        rows = (orjson.loads(d.data["row"]) for d in self.world.store.query("audit"))
        return {f"audit {row['scope']} {row['event']} {row['actor']}" for row in rows}

    def check(self) -> None:
        """Check that whoever asked was answered, and that what is to be refused was never done."""
        demand(len(self.answers) == self.asked, "I10 every request is answered", sorted(self.answers))
        demand(self.refused.items() <= self.undone().items(), "what is refused stays so", self.done)


def _is_passing(body: bytes) -> bool:
    return any(kind in body for kind in PASSING) and orjson.loads(body)["type"] == ALERT_TYPE


def _run(app: App, words: Sequence[str], file: str) -> None:
    """Run a command of the command line, and throw away what it prints."""
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        (Path(folder) / FILE).write_text(file)
        typed = [str(Path(folder) / FILE) if word == FILE else word for word in words]
        context = stopline.make_context("stopline", typed, obj=lambda: app)
        with context, suppress(click.exceptions.Exit, SystemExit):  # what it says by its exit code
            stopline.invoke(context)
