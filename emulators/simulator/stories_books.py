"""Stories of books that people and brokers put right: refused messages, adjustments, settlements, late and final news."""

from collections.abc import Callable
from datetime import timedelta

from emulators.simulator.stories import ACCOUNT, FILE, Told
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import Data, Outgoing, Put
from stopline.runtime.app import App
from stopline.service.fills.redrive import Redriver, Returned

PUT = {
    "symbol": "SPXW261120P05000000",
    "kind": "option",
    "underlying": "SPX",
    "currency": "USD",
    "expiry": "2026-11-20",
    "right": "P",
    "strike": "5000",
    "multiplier": "100",
}
ADJUSTMENT = ("--units", "1", "--price", "90", "--reference", "case-1", "--at", "2026-11-20T15:00:02Z")
SETTLEMENT = ("--root", "SPXW", "--expiry", "2026-11-20", "--price", "4990")
AFTER_EXPIRY = 8 * 3600
DAY = 86_400


class Refused(Told):
    """A fill comes before its account, and something that is no fill: one is brought back, the other dropped. A message that
    Pub/Sub has given up is brought back too.
    """

    kinds = ("quarantine",)
    doubts = True

    def __init__(self) -> None:
        self.given_up = b""
        super().__init__()

    def tools(self) -> dict[str, Callable[[App], object]]:
        return {"redrive": self._redrive}

    def trouble(self, instance: str, kind: str) -> str | None:
        """The first refused message is kept, and nobody knows."""
        if self.doubts and kind == "store.commit" and instance.startswith("fills"):
            self.doubts = False
            return "after"
        return None

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self._no_fill,
            self.fill("D1", "BUY", "3", "50", account="d"),
            self.type_("accounts", "create", "d", "--owner", "bob", "--capital", "10000"),
            self.type_("quarantine", "list"),
            self._settled("show", "BAD_MESSAGE"),
            self._settled("redrive", "UNKNOWN_ACCOUNT"),
            self._settled("drop", "BAD_MESSAGE", "--reason", "no fill"),
            self.type_("redrive"),
        ]

    def _settled(self, verb: str, reason: str, *more: str) -> Callable[[], None]:
        """Return the event that somebody types a command about the message that was refused for a reason."""

        def type_() -> None:
            self.type_("quarantine", verb, self._refused(reason), *more)()

        return type_

    def _refused(self, reason: str) -> str:
        """Return the id of the one refused message with a reason."""
        [found] = [d for d in self.world.store.query("quarantine") if d.data["reason"] == reason]
        return found.path.id

    def _no_fill(self) -> None:
        self.facts.malformed += 2  # this one, and the fill that comes too early
        self.world.accept(Outgoing("fills", b'{"type":"stopline.fill.v1"}'))

    def _redrive(self, app: App) -> None:
        self.given_up = self.given_up or canonical(self.body("G1", "BUY", "1", "10"))
        redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
        redriver.redrive(Returned("fills", "dead-1", self.given_up, {}), "ann")


class PutRight(Told):
    """Somebody hands in a fill and what the broker holds, adjusts a book, takes that back, and settles an option that has
    expired; then somebody looks whether the audit trail is whole.
    """

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self._hand_in,
            self._compare,
            self.fill("T2", "SELL", "1", "12", instrument=PUT),
            self.type_("adjust", ACCOUNT, "AAA", *ADJUSTMENT, "--reason", "a gift"),
            self.type_("adjust", ACCOUNT, "--undo", "case-1", "--reason", "none after all"),
            self.later(AFTER_EXPIRY),
            self.type_("settle", ACCOUNT, *SETTLEMENT, "--reason", "the exchange's page"),
            self.type_("audit", "verify"),
            self._verify_export,
        ]

    def _hand_in(self) -> None:
        fill = canonical(self.body("T1", "BUY", "2", "100"))
        self.type_("publish", "fills", FILE, file=fill.decode())()

    def _verify_export(self) -> None:
        rows = "".join(f"{d.data['row']}\n" for d in self.world.store.query("audit"))
        self.type_("audit", "verify", "--export", FILE, file=rows)()

    def _compare(self) -> None:
        self.world.now += timedelta(seconds=60)
        statement = {
            "type": "stopline.statement.v1",
            "statement_id": "S-1",
            "broker": "paper",
            "account": ACCOUNT,
            "as_of": utc_text(self.world.now),
            "positions": [{"symbol": "AAA", "quantity": "2"}],
        }
        self.type_("reconcile", ACCOUNT, FILE, file=canonical(statement).decode())()


class Repaired(Told):
    """A book is damaged long before prices come, and repaired by hand, which changes nothing else of its document."""

    names = (ACCOUNT, "b")

    def __init__(self) -> None:
        self.whole: Data = {}
        super().__init__()

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.fill("T1", "BUY", "2", "100"),
            self.fill("T2", "BUY", "2", "100", account="b"),
            self._damage,
            *(self.price(101 + number) for number in range(3)),  # of two instances one sees it twice
            self._repair,
            self.price(105),
        ]

    def _damage(self) -> None:
        book = self.world.store.query("books")[0]
        self.whole = {**book.data, "changed_at": book.data["changed_at"] - timedelta(minutes=1)}
        self.world.store.commit([Put(book.path, {**self.whole, "state": "{"})])

    def _repair(self) -> None:
        book = self.world.store.query("books")[0]
        self.world.store.commit([Put(book.path, self.whole)])


class LateNews(Told):
    """A fee is told as an estimate and then finally; a trade is booked a second time, in a row of its own; a fee comes
    before its trade and names another strategy; much later one comes of a trade that the book has forgotten.
    """

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.fill("E1", "BUY", "2", "100", provisional=True),
            self._final,
            self.fill("E2", "SELL", "2", "101"),
            self.fill("B1", "BUY", "1", "100", flex_trade="7", flex_transaction="70"),
            self._booked_again,
            self.fill("B2", "SELL", "1", "101"),
            self.fill("C1-fee", "BUY", "0", "0", kind="FEE", ref="C1", fee="0.12", strategy="swing"),
            self.fill("C1", "BUY", "1", "100"),
            self.fill("C2", "SELL", "1", "101"),
            self.later(8 * DAY),
            self.fill("E3", "BUY", "1", "102"),
            self.fill("E2-fee", "SELL", "0", "0", kind="FEE", ref="E2", fee="0.11"),
        ]

    def _booked_again(self) -> None:
        again = {
            **self.body("B1", "BUY", "1", "99", fee="0"),
            "executed_at": self.facts.published[-1]["executed_at"],
        }
        self.publish_fill({**again, "flex_trade": "7", "flex_transaction": "71"})
        self.facts.published[-1] |= {
            "fill_id": "transaction:71",
            "kind": "CORRECT",
            "ref": "B1",
        }  # what it says

    def _final(self) -> None:
        self.publish_fill({**self.facts.published[0], "fee": "0.40", "provisional": False})
        self.facts.published[-1] |= {
            "fill_id": "E1:final",
            "kind": "FEE",
            "ref": "E1",
            "fee": "0.15",
        }  # what it says
