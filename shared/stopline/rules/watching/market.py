"""What the sweep tells people of the market and of their exposure: volatility spikes, changed correlations, near stress.

Detectors are pure and say what stands; `notices_alerts` turns what is new into alerts, and what is over. A notice that
stands is kept until its number is clear by a fifth, so that it does not flap; UNKNOWN neither raises nor clears one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from stopline.model.messages import Alert, Figure
from stopline.rules.alerting.condition import Condition, begun, over

SPIKE, CORRELATION, EXPOSURE = "volatility_spike", "correlation_change", "exposure_warning"
KEPT = 0.8  # of the threshold: below it what stands is over
REGIMES = ((30.0, "stressed"), (20.0, "elevated"), (15.0, "normal"))  # from that volatility on, in % a year


@dataclass(frozen=True, slots=True)
class DayMove:
    """A symbol's move since its last close, beside the daily deviation forecast for today. Parts of 1."""

    symbol: str
    move: float
    deviation: float

    @property
    def deviations(self) -> float:
        """How many daily deviations the move is."""
        return abs(self.move) / self.deviation


@dataclass(frozen=True, slots=True)
class Pair:
    """Two symbols whose correlation is not what it was."""

    first: str
    second: str
    before: float
    after: float


def regime(volatility: float | None) -> str | None:
    """Return the regime of a yearly volatility in percent: calm below 15, normal, elevated from 20, stressed from 30."""
    if volatility is None:
        return None
    return next((name for least, name in REGIMES if volatility >= least), "calm")


def volatility_spikes(
    moves: Sequence[DayMove], threshold: Decimal, standing: Collection[str] = ()
) -> list[Condition]:
    """Return a notice of every symbol that has moved by `threshold` daily deviations or more since its last close."""
    found = []
    for day in moves:
        least = float(threshold) * (KEPT if f"{SPIKE}|{day.symbol}" in standing else 1.0)
        if day.deviation > 0 and day.deviations >= least:
            found.append(
                Condition(
                    kind="volatility_spike",
                    object=day.symbol,
                    summary=f"{day.symbol} has moved {day.move:+.1%} since its last close, "
                    f"{day.deviations:.1f} times its daily deviation of {day.deviation:.2%}",
                    action="Nothing was stopped. VaR and sizes from calmer days understate the risk now.",
                    figure=Figure(current=_short(day.deviations), limit=threshold, unit="x"),
                )
            )
    return found


def correlation_notices(pairs: Sequence[Pair]) -> list[Condition]:
    """Return a notice of every pair."""
    return [
        Condition(
            kind="correlation_change",
            object=f"{pair.first} and {pair.second}",
            summary=f"Correlation of {pair.first} and {pair.second} went from {pair.before:.2f} to {pair.after:.2f}",
            action="Nothing was stopped. Hedges and diversification between them are not what they were.",
        )
        for pair in pairs
    ]


def exposure_notices(
    loss: Decimal | None,
    equity: Decimal | None,
    threshold: Decimal,
    scenario: str,
    standing: Collection[str] = (),
) -> list[Condition]:
    """Return a notice where the worst of the near scenarios loses `threshold` percent of equity or more.

    `loss` is positive. Unknown loss or equity: none. No equity left: any loss is too much.
    """
    if loss is None or equity is None or loss <= 0:
        return []
    share = Decimal(1_000_000) if equity <= 0 else min(loss * 100 / equity, Decimal(1_000_000))
    least = threshold * (Decimal(str(KEPT)) if f"{EXPOSURE}|account" in standing else 1)
    if share < least:
        return []
    return [
        Condition(
            kind="exposure_warning",
            object="account",
            summary=f"{scenario} would lose {round(share, 1)}% of equity",
            action="Nothing was stopped. Reduce the positions that lose most in it: see the risk report.",
            figure=Figure(current=round(share, 2), limit=threshold, unit="%"),
        )
    ]


def notices_alerts(
    account: str,
    notices: Sequence[Condition],
    standing: Mapping[str, str],
    unknown: Collection[str],
    cause: str,
    now: datetime,
) -> tuple[list[Alert], dict[str, str]]:
    """Return the alerts of what is new or over, and what stands now: {key: since}.

    `standing` is what stood before. Of a kind in `unknown` nothing is over: it could not be looked at.
    """
    stands = {key: since for key, since in standing.items() if key.split("|", 1)[0] in unknown}
    alerts = []
    for notice in notices:
        stands[notice.key] = standing.get(notice.key, now.isoformat(timespec="seconds"))
        if notice.key not in standing:
            alerts.append(begun(account, notice, cause, now))
    alerts += [over(account, key, cause, now) for key in sorted(standing.keys() - stands.keys())]
    return alerts, stands


def _short(value: float) -> Decimal:
    return Decimal(str(round(value, 2)))
