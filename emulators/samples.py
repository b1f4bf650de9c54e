"""Messages of every sort, as the golden files hold them and as `python -m emulators.previews` draws them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from emulators.break_samples import BREAKS
from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.times import parse_utc
from stopline.model.wire import validate
from stopline.rules.alerting.ack_links import AckLinks
from stopline.rules.alerting.acknowledging import acknowledged, others_told
from stopline.rules.alerting.incidents import Incidents, Manner
from stopline.rules.alerting.lifecycle import raised
from stopline.rules.alerting.rounds import checked
from stopline.rules.alerting.texts import ALONE, Around
from stopline.rules.watching.market import (
    DayMove,
    Pair,
    correlation_notices,
    exposure_notices,
    notices_alerts,
    volatility_spikes,
)

NEW_YORK = "America/New_York"
AT = parse_utc("2026-11-20T15:02:11Z")
LINK = AckLinks("https://alerts.example.com", "0123456789abcdef0123456789abcdef")


def alert(**changes: Any) -> Alert:
    """Return a breached loss limit, or what differs from it."""
    usual = {
        "alert_id": "1f2e3d4c5b6a79880011223344556677",
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Daily loss limit breached",
        "action": "Trading is now reduce-only: nothing that adds risk is let through until a person resumes.",
        "figure": {"current": "3240.5", "limit": "3000", "unit": "USD"},
        "cause": "fill-77",
        "raised_at": "2026-11-20T15:02:11.123Z",
    }
    return validate(Alert, usual | changes)


NOTICES, _ = notices_alerts(
    "demo",
    [
        *volatility_spikes([DayMove("SPX", -0.041, 0.008)], Decimal(4)),
        *correlation_notices([Pair("SPX", "TLT", -0.41, 0.52)]),
        *exposure_notices(Decimal(31200), Decimal(100_000), Decimal(25), "Spot -5% with volatility x1.5"),
    ],
    {},
    (),
    "sweep-77",
    AT,
)
_ALONE = {
    "breach": (alert(), NEW_YORK),
    "resolved": (
        alert(
            severity="info",
            resolved=True,
            summary="Daily loss is back within its limit",
            action="",
            figure={"current": "2100", "limit": "3000", "unit": "USD"},
        ),
        NEW_YORK,
    ),
    "numbers_told_in_the_summary": (
        alert(
            summary="Loss of the day is 3.24%, limit 3%: breached",
            figure={"current": "3.2405", "limit": "3", "unit": "%"},
        ),
        NEW_YORK,
    ),
    "unknown": (
        alert(
            kind="stale_price",
            object="SPXW261120P05850000",
            severity="warning",
            summary="No price since 10:00",
            action="Limits of this position are unknown; new orders are refused.",
            figure={"current": None, "limit": "60", "unit": "s"},
        ),
        "Asia/Kolkata",
    ),
    "exit": (
        alert(
            kind="exit",
            object="SPXW put credit vertical",
            summary="Stop loss of SPXW put credit vertical (condors): price 3.1 reached 3",
            action="Closing all of 5.",
            figure={"current": "3.1", "limit": "3", "unit": "points"},
        ),
        NEW_YORK,
    ),
    "operator": (
        alert(
            account=None,
            kind="dead_letters",
            object="fills-dead",
            summary="3 messages in fills-dead",
            action="Run `stopline dead-letters list`.",
            figure=None,
            cause="",
        ),
        "UTC",
    ),
    "orphan": (
        alert(
            kind="orphan_leg",
            object="trade 0d5c1f2e",
            summary="Trade 0d5c1f2e (put credit vertical in SPX) lost SPXW261120P05990000 (closed): "
            "-2 SPXW261120P06000000 left",
            action="Nothing was closed. What is short is not covered any more.",
            figure=None,
        ),
        NEW_YORK,
    ),
    "pin": (
        alert(
            kind="pin_risk",
            object="condors:SPXW261120P06000000",
            severity="warning",
            summary="Pin risk: short 2 condors:SPXW261120P06000000 is 0.1% from SPX 30 min before its last trade",
            action="Nothing was closed. It is settled in cash.",
            figure={"current": "0.0999", "limit": "0.5", "unit": "%"},
        ),
        NEW_YORK,
    ),
    "unsettled": (
        alert(
            kind="expired_unsettled",
            object="SPX 2026-11-20",
            severity="warning",
            summary="Expired and still in the book, SPX 2026-11-20: -2 SPXW261120P06000000",
            action="Nothing is settled: the broker's fill or a settlement price (`stopline settle`) is awaited.",
            figure=None,
        ),
        NEW_YORK,
    ),
    **{notice.kind: (notice, NEW_YORK) for notice in NOTICES},
    "hostile": (
        alert(
            object="<script>alert(1)</script> @everyone",
            severity="info",
            summary="@here <@123> <@&4> [refund](https://evil.example) **now** `x` #general \u202egnol",
            action='"><img src=https://evil.example/x.png> & co',
            figure={"current": "1", "limit": "2", "unit": "<b>@</b>"},
        ),
        "America/Sao_Paulo",
    ),
    "long": (alert(summary="s" * 500, action="a" * 500, object="o" * 500, cause="c" * 500), NEW_YORK),
    "kill": (
        alert(
            kind="trading_state",
            object="account:demo",
            summary="Trading halted for account demo by trader: VIX spike, get me out",
            action="Working orders are cancelled and open positions closed.",
            figure=None,
        ),
        NEW_YORK,
    ),
    "rupees": (
        alert(
            account="nifty",
            summary="Loss of the day is 32,405.50 INR, limit 30,000 INR: breached",
            figure={"current": "32405.5", "limit": "30000", "unit": "INR"},
        ),
        "Asia/Kolkata",
    ),
    "crypto": (
        alert(
            account="perps",
            kind="max_position_value",
            object="BTC-USDT-PERP",
            severity="warning",
            summary="Position value of BTC-USDT-PERP is 91,250 USDT, 91% of its limit 100,000 USDT",
            action="",
            figure={"current": "91250", "limit": "100000", "unit": "USDT"},
        ),
        "UTC",
    ),
    "stuck": (
        alert(
            kind="closing_stuck",
            object="SPXW261120P05850000",
            summary="Closing of SPXW261120P05850000 is stuck: 3 commands without a fill",
            action="Tried again every minute.",
            figure=None,
        ),
        NEW_YORK,
    ),
    "feed": (
        alert(
            account=None,
            kind="feed_silent",
            summary="No price came for more than 2 min in open hours",
            action="Limits that need prices are unknown.",
            figure=None,
        ),
        "UTC",
    ),
    "nobody": (
        alert(
            summary="Loss of the day is 4.02%, limit 3%: still breached (nobody has acknowledged it for 5 min)",
            figure={"current": "4.0203", "limit": "3", "unit": "%"},
        ),
        NEW_YORK,
    ),
}


def _told() -> list[Notice]:
    """Return what people are told of a bad minute: one breach alone, the others in a digest, and who has it."""
    manner, state = Manner(AlertSettings(per_minute=1), NEW_YORK), Incidents(account="demo")
    told: list[Notice] = []
    for number, symbol in enumerate(("AAPL", "MSFT", "NVDA", "<b>@everyone</b>")):
        one = alert(
            alert_id=f"{number}f2e3d4c5b6a79880011223344556677",
            kind="max_position_value",
            object=symbol,
            severity="warning" if symbol == "NVDA" else "critical",
            summary=f"Position value of {symbol} is 11.2%, limit 10%: breached",
            figure={"current": "11.2", "limit": "10", "unit": "%"},
        )
        decision = raised(state, one, manner, AT)
        assert decision
        state, told = decision.after, [*told, *decision.notices]
    later = checked(state, manner, AT + timedelta(minutes=1))
    after, taken = acknowledged(later.after, "", "ann", AT)
    _, others = others_told(after, taken, "ann", manner, AT)
    return [*told, *later.notices, *others]


_FIRST, _DIGEST, _TAKEN = _told()
_URL = LINK.url(_FIRST.alert.alert_id, "0f1e2d3c4b5a6978", AT)
SAMPLES: dict[str, tuple[Alert, str, Around]] = {
    **{name: (one, zone, ALONE) for name, (one, zone) in _ALONE.items()},
    **{name: (one, NEW_YORK, ALONE) for name, one in BREAKS.items()},
    "link": (_FIRST.alert, NEW_YORK, Around(_URL)),
    "digest": (_DIGEST.alert, NEW_YORK, Around(_URL, _DIGEST.lines)),
    "taken": (_TAKEN.alert, NEW_YORK, ALONE),
}
