"""What an order is judged by, and the decision on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from stopline.model.account import Account
from stopline.model.control import Effective
from stopline.model.order import Order
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.stops import Stop
from stopline.rules.orders.open_risk import Rate


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against an order. `code`: a limit's name, or another of docs/pretrade.md. None: UNKNOWN."""

    code: str
    object: str
    detail: str
    current: Decimal | None = None
    limit: Decimal | None = None
    after: Decimal | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """What an order is judged by. `marks`: usable prices only; `blocked`: instruments whose book is in doubt, and
    why; `rate` turns money into the account's currency. `silent`: brokers whose working orders must be known, and are not.
    `lifted`: by reading key, the stop of a limit in breach that holds no more: only what would stop again is beyond it.
    """

    figures: Figures
    marks: Mapping[str, Decimal]
    rate: Rate
    state: Effective
    blocked: Mapping[str, str]
    silent: Sequence[str] = ()
    lifted: Mapping[str, Stop] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        return self.figures.account

    @property
    def now(self) -> datetime:
        return self.figures.at


@dataclass(frozen=True, slots=True)
class Decision:
    """`largest`: the largest quantity that passes, 0 where none does. `loss`, `reward`: of the whole order at its stop
    and target, in the account's currency; None: UNKNOWN or without bound.
    """

    order: Order
    reducing: bool
    reasons: tuple[Reason, ...]
    largest: Decimal
    loss: Decimal | None
    reward: Decimal | None

    @property
    def approved(self) -> bool:
        return not self.reasons
