"""Stories of what people change: settings, by two of them; accounts; books."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from emulators.simulator.stories import ACCOUNT, Told
from stopline.runtime.app import App

LOOSER = {"limits": {"max_position_value": {"limit": "40"}}}
TIGHTER = {"limits": {"max_symbol_exposure": {"limit": "10"}}}


def _another_method(app: App) -> None:
    app.account_writer.change(ACCOUNT, lambda a: a.model_copy(update={"method": "lifo"}), "ann")


class Settings(Told):
    """Two people loosen a limit, one tightens another; an account is created, and a method cannot be changed any more."""

    refused: ClassVar[Mapping[str, str]] = {"method": "METHOD_IN_USE"}

    def tools(self) -> dict[str, Callable[[App], object]]:
        return {"method": _another_method}

    def _events(self, rng: object) -> list[Callable[[], None]]:
        return [
            self.fill("T1", "BUY", "2", "100"),
            self.later(25),
            self.price(101),
            lambda: self._patch("ann", 1, LOOSER),
            lambda: self._patch("bob", 1, LOOSER),
            lambda: self._patch("ann", 2, TIGHTER),
            self.type_("accounts", "create", "c", "--owner", "bob", "--capital", "10000"),
            self.type_("method"),
            self._show,
            self.swept(after_s=8),
            self.price(102),  # who has taken the last one knows the settings of before
            self.price(103),
            self.swept(),
        ]

    def _patch(self, who: str, version: int, settings: dict[str, Any]) -> None:
        body = {"expected_version": version, "settings": settings}
        self.ask(who, "PATCH", f"/v1/accounts/{ACCOUNT}/settings", body)

    def _show(self) -> None:
        self.ask("ann", "GET", f"/v1/accounts/{ACCOUNT}/settings")
