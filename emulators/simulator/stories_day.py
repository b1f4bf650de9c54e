"""Stories of what the scheduler does beside its round: the end of a session and of a day, orders that do not add up, and
what people look at.
"""

from collections.abc import Callable

import orjson

from emulators.simulator.stories import ACCOUNT, FILE, Told
from stopline.model.fill import CUMULATIVE, ORDER_FILLED

CLOSES = "date,symbol,close\n2026-11-17,AAA,98\n2026-11-18,AAA,99\n2026-11-19,AAA,100\n"
DAY = 86_400
ORDER = {"legs": [{"instrument": {"symbol": "AAA", "kind": "equity", "currency": "USD"}, "side": "BUY"}]}


class EndOfDay(Told):
    """A session ends and a day, with closes that somebody has loaded; then people look at it all. Factors that could not be
    worked out because the history was away are worked out the next time: until then the old ones hold. Meanwhile no round
    was made: a price that comes finds that out.
    """

    kinds = ("heartbeat",)

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.type_("factors", "load", FILE, "--calendar", "24/7", file=CLOSES),
            self.fill("T1", "BUY", "2", "100"),
            self.price(101),
            self.swept(),
            self.later(9 * 3600),  # it is over at midnight
            self.price(101),
            self.swept("session_close"),
            self.swept("end_of_day"),
            lambda: self.ask("ann", "POST", f"/v1/accounts/{ACCOUNT}/check", ORDER),
            self.type_("executions", ACCOUNT),
            self.type_("strategy", "default", "--account", ACCOUNT),
            self.type_("report", ACCOUNT),
        ]

    def outcome(self) -> set[str]:
        store = self.world.store
        closes = {
            f"closes {d.data['session']} {orjson.loads(d.data['state'])}" for d in store.query("sessions")
        }
        audited = {d.path.id for d in store.query("heartbeats")} & {"audit", "end_of_day"}
        return super().outcome() | closes | audited


class Missing(Told):
    """A broker that tells how far an order is filled tells more than its fills: people hear of it."""

    kinds = ("position_break",)

    def _events(self, rng: object) -> list[Callable[[], None]]:
        looks = [event for _ in range(3) for event in (self.later(660), self.swept("reconcile"))]
        return [self._part("M1", "2", "2"), self._part("M2", "1", "4"), *looks]

    def _part(self, id_: str, quantity: str, filled: str) -> Callable[[], None]:
        told = {"order_id": "O1", "order_tells": CUMULATIVE, ORDER_FILLED: filled}
        return self.fill(id_, "BUY", quantity, "100", **told)
