"""A story of a broker adapter that says that its broker fails, and then nothing more."""

from collections.abc import Callable

from emulators.simulator.demand import demand
from emulators.simulator.stories import ACCOUNT
from emulators.simulator.stories_outages import OWN, Stopped

ADAPTER = "main"


class Silent(Stopped):
    """An adapter says that its broker fails, which stops trading, and falls silent: people are told. Somebody retires it,
    and they go on.
    """

    overtaken = False

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.fill("T1", "BUY", "2", "100"),
            self.swept(),
            self._ask_for_a_lease,
            self.swept(after_s=20),
            self.swept(after_s=20),
            self.swept(after_s=150),
            self.swept(after_s=100),
            self.type_("adapters", "list", ACCOUNT),
            self.type_("adapters", "retire", ACCOUNT, ADAPTER, "--reason", "taken away"),
            self.swept(),
            self.resume(OWN, "r1"),
        ]

    def trouble(self, instance: str, kind: str) -> str | None:
        """Another request of the adapter is first to be noted."""
        if self.overtaken and kind == "store.commit" and instance.startswith("http"):
            self.overtaken = False
            return "conflict"
        return super().trouble(instance, kind)

    def _ask_for_a_lease(self) -> None:
        self.overtaken = True
        body = {"adapter": ADAPTER, "broker_ok": False}
        self.ask("ann", "POST", f"/v1/accounts/{ACCOUNT}/lease", body)

    def check(self) -> None:
        super().check()
        demand(self.held(OWN)["state"] == "ACTIVE", "people go on", self.held(OWN))
