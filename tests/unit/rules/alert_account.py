"""An account whose alerts a test raises, and what its people are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.wire import validate
from stopline.rules.alerting.incidents import Incidents, Manner
from stopline.rules.alerting.lifecycle import raised
from stopline.rules.alerting.rounds import checked

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)  # 10:02 in New York
NEW_YORK = "America/New_York"


class Account:
    """One account's alerts, its clock, and everything that people were told."""

    def __init__(self, **chosen: Any) -> None:
        self.manner = Manner(validate(AlertSettings, {"keep_firing_s": 0, **chosen}), NEW_YORK)
        self.now = NOW
        self.state = Incidents(account="demo")
        self.told: list[Notice] = []
        self.count = 0

    def alert(self, severity: str = "critical", **changes: Any) -> str:
        """Raise one alert and return what became of it."""
        self.count += 1
        usual: dict[str, Any] = {
            "alert_id": f"a{self.count}",
            "account": "demo",
            "kind": "max_daily_loss",
            "object": "account",
            "severity": severity,
            "summary": "Loss of the day is too much",
            "raised_at": self.now.isoformat(),
        }
        current = changes.pop("current", None)
        if current is not None:
            usual["figure"] = {"current": current, "limit": "3", "unit": "%"}
        decision = raised(self.state, validate(Alert, usual | changes), self.manner, self.now)
        if decision is None:
            return "known"
        self.state = decision.after
        self.told += decision.notices
        return decision.outcome

    def wait(self, seconds: float) -> list[Notice]:
        """Let time pass, as sweeps see it: one check a minute and one at the end; return what was told."""
        before, end = len(self.told), self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(self.now + timedelta(seconds=60), end)
            decision = checked(self.state, self.manner, self.now)
            self.state = decision.after
            self.told += decision.notices
        return self.told[before:]

    def states(self) -> dict[str, str]:
        return {key: s.state.value for key, s in self.state.standing.items()}
