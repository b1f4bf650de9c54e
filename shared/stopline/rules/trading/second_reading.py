"""When a second reading is one: only newer prices confirm what the first ones have said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

CONFIRM_AFTER = timedelta(seconds=2)  # a second reading sooner than this is the first one again


@dataclass(frozen=True, slots=True)
class PriceTimes:
    """When the prices that a reading is made of were seen: `seen` by symbol, pairs of currencies included; none where
    nothing is open, and then no price is in doubt. `resting`: symbols whose market is closed. `max_age` of a price that is
    used while its market is open.
    """

    seen: Mapping[str, datetime] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()
    max_age: timedelta = timedelta()

    @property
    def newest(self) -> datetime | None:
        return max(self.seen.values(), default=None)

    def are_newer(self, first: datetime | None) -> bool:
        """Tell whether these confirm a reading whose newest price was seen at `first` (None: not known, or it had none). The
        last price of a closed market, which was old by then, holds up nobody: no other one will come.
        """
        if first is None:
            return not self.seen
        return all(
            at > first or (symbol in self.resting and at < first - self.max_age)
            for symbol, at in self.seen.items()
        )


NO_PRICES = PriceTimes()
