"""Messages of every sort, as the golden files hold them and as `python -m emulators.previews` draws them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from emulators.break_samples import BREAKS
from emulators.silence_samples import silences
from emulators.story_samples import AT, STORIES, limit_alert
from stopline.model.control import Closing, ClosingStatus
from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.wire import validate
from stopline.rules.alerting.ack_links import AckLinks
from stopline.rules.alerting.acknowledging import acknowledged, others_told
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.incidents import Incidents, Manner
from stopline.rules.alerting.lifecycle import raised
from stopline.rules.alerting.rounds import checked
from stopline.rules.alerting.texts import noted
from stopline.rules.closing.alerts import flat
from stopline.rules.exits.alerts import exit_alert
from stopline.rules.exits.state import Exit, Held
from stopline.rules.limits.limit import Level
from stopline.rules.watching.market import (
    DayMove,
    Pair,
    correlation_notices,
    exposure_notices,
    notices_alerts,
    volatility_spikes,
)

NEW_YORK = "America/New_York"
LINK = AckLinks("https://alerts.example.com", "0123456789abcdef0123456789abcdef")


_BREACH = limit_alert("max_daily_loss_money", "3240.5", "3000").model_copy(
    update={"alert_id": "1f2e3d4c5b6a79880011223344556677"}
)


def alert(**changes: Any) -> Alert:
    """Return a breached loss limit, or what differs from it: for shapes that the product's own words do not have."""
    return validate(Alert, _BREACH.model_dump(mode="json") | changes)


def _exit() -> Alert:
    held = Held("4f1c0e7a", "condors", "SPXW put credit vertical", -1, Decimal(5), Decimal("1.5"), AT)
    stop = Exit("stop_loss", Decimal(0), "urgent", "price 3.1 reached 3", Decimal("3.1"), Decimal(3))
    return exit_alert("demo", held, stop, True, "batch-77", AT)


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


def _unheard() -> Alert:
    """Return a breach as the next person reads it, who is called because nobody has taken it."""
    manner, breach = Manner(AlertSettings(), NEW_YORK), limit_alert("max_daily_loss", "4.0203", "3")
    decision = raised(Incidents(account="demo"), breach, manner, AT)
    assert decision
    [notice] = checked(decision.after, manner, AT + timedelta(minutes=5)).notices
    return noted(notice.alert, notice.note)


_ALONE = {
    "breach": (alert(), NEW_YORK),
    "rising": (
        limit_alert("max_daily_loss_money", "3240.5", "3000", (Level.WARN, Level.BREACH), rise=True),
        NEW_YORK,
    ),
    "warned": (
        limit_alert("max_margin_use", "42.5", "50", (Level.OK, Level.WARN), rise=True),
        NEW_YORK,
    ),
    "resolved": (
        limit_alert("max_daily_loss_money", "2100", "3000", (Level.BREACH, Level.OK)),
        NEW_YORK,
    ),
    "numbers_told_in_the_summary": (limit_alert("max_daily_loss", "3.2405", "3"), NEW_YORK),
    "unknown": (
        alert(
            kind="stale_prices",
            object="SPXW261120P05850000",
            severity="warning",
            summary="No price since 10:00",
            action="Limits of this position are unknown; new orders are refused.",
            figure={"current": None, "limit": "60", "unit": "s"},
        ),
        "Asia/Kolkata",
    ),
    "exit": (_exit(), NEW_YORK),
    **{name: (one, NEW_YORK if one.account else "UTC") for name, one in STORIES.items()},
    **{name: (one, NEW_YORK if one.account else "UTC") for name, one in silences().items()},
    **{notice.kind: (notice, NEW_YORK) for notice in NOTICES},
    "trade_loss": (limit_alert("max_position_loss", "12.5", "10", object_="SPX trade 4f1c0e7a"), NEW_YORK),
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
    "rupees": (
        limit_alert("max_daily_loss_money", "32405.5", "30000", account="nifty", currency="INR"),
        "Asia/Kolkata",
    ),
    "crypto": (
        limit_alert(
            "max_position_value",
            "9.125",
            "10",
            (Level.OK, Level.WARN),
            account="perps",
            currency="USDT",
            object_="BTC-USDT-PERP",
        ),
        "UTC",
    ),
    "nobody": (_unheard(), NEW_YORK),
}


def _told() -> list[Notice]:
    """Return what people are told of a bad minute: one breach alone, the others in a digest, and who has it."""
    manner, state = Manner(AlertSettings(per_minute=1), NEW_YORK), Incidents(account="demo")
    told: list[Notice] = []
    for number, symbol in enumerate(("AAPL", "MSFT", "NVDA", "<b>@everyone</b>")):
        warned = symbol == "NVDA"
        levels = (Level.OK, Level.WARN if warned else Level.BREACH)
        made = limit_alert("max_position_value", "9.2" if warned else "11.2", "10", levels, object_=symbol)
        one = made.model_copy(update={"alert_id": f"{number}f2e3d4c5b6a79880011223344556677"})
        decision = raised(state, one, manner, AT)
        assert decision
        state, told = decision.after, [*told, *decision.notices]
    later = checked(state, manner, AT + timedelta(minutes=1))
    after, taken = acknowledged(later.after, "", "ann", AT)
    _, others = others_told(after, taken, "ann", manner, AT)
    return [*told, *later.notices, *others]


def _past() -> Notice:
    """Return what people are told of breaches that came and went within seconds, behind one that they were told of."""
    manner = Manner(AlertSettings(per_minute=1, keep_firing_s=0), NEW_YORK)
    state = Incidents(account="demo")
    for resolved in (False, True):
        for number, symbol in enumerate(("AAPL", "MSFT", "NVDA")):
            levels = (Level.BREACH, Level.OK) if resolved else (Level.OK, Level.BREACH)
            measure = "7.9" if resolved else "11.2"
            made = limit_alert("max_position_value", measure, "10", levels, object_=symbol)
            at = AT + timedelta(seconds=20 * resolved)
            id_ = f"{number}{int(resolved)}2e3d4c5b6a79880011223344556677"
            one = made.model_copy(update={"alert_id": id_, "raised_at": at})
            decision = raised(state, one, manner, at)
            assert decision
            state = decision.after
    [notice] = checked(state, manner, AT + timedelta(minutes=1)).notices
    return notice


def _flat() -> Alert:
    halt = Closing(epoch=3, status=ClosingStatus.CLOSING, since=AT - timedelta(seconds=7))
    return flat("demo", "strategy:demo:condors", halt, halt.since, "", AT)


_FIRST, _DIGEST, _TAKEN = _told()
_PAST = _past()
_URL = LINK.url(_FIRST.alert.alert_id, "0f1e2d3c4b5a6978", AT)
SAMPLES: dict[str, tuple[Alert, str, Around]] = {
    **{name: (one, zone, ALONE) for name, (one, zone) in _ALONE.items()},
    **{name: (one, NEW_YORK, ALONE) for name, one in BREAKS.items()},
    "link": (_FIRST.alert, NEW_YORK, Around(_URL)),
    "digest": (_DIGEST.alert, NEW_YORK, Around(_URL, _DIGEST.lines)),
    "past": (_PAST.alert, NEW_YORK, Around("", _PAST.lines)),
    "flat_strategy": (_flat(), NEW_YORK, ALONE),
    "taken": (_TAKEN.alert, NEW_YORK, ALONE),
}
