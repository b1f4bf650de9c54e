"""The small chart: which readings it keeps, and what of them a mail shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.samples import NEW_YORK, SAMPLES
from stopline.model.messages import TREND, Alert, TrendPoint
from stopline.rules.alerting.mail_chart import chart_html, chart_of
from stopline.rules.alerting.texts import email_parts
from stopline.rules.limits.limit import Level, Reading
from stopline.rules.limits.registry import LIMITS
from stopline.rules.limits.trend import Trend, followed, until_now
from stopline.service.evaluation.risk_state import RiskCodec, RiskState

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)
KEY = "max_daily_loss|account"


def reading(current: str | None, object_: str = "account") -> Reading:
    number = None if current is None else Decimal(current)
    return Reading(LIMITS["max_daily_loss"], object_, number, Decimal(3), Level.OK)


def after(*currents: str | None, every: int = 60) -> Trend:
    kept: dict[str, Trend] = {}
    for number, current in enumerate(currents):
        kept = followed([reading(current)], kept, NOW + timedelta(seconds=number * every))
    return kept.get(KEY, ())


def numbers(trend: Trend) -> list[str]:
    return [str(point.current) for point in trend]


def test_readings_are_kept_from_half_of_the_limit_on_one_a_minute() -> None:
    """R6.1: what is far from its limit needs no chart; what goes back there begins anew."""
    assert numbers(after("1.4", "1.5", "1.7")) == ["1.5", "1.7"]
    assert numbers(after("1.5", "1.6", "1.7", every=30)) == ["1.5", "1.7"]
    assert numbers(after("1.5", "1.4", "2")) == ["2"]
    assert numbers(after(*["2"] * 40)) == ["2"] * TREND


def test_what_cannot_be_seen_is_a_gap_and_no_zero() -> None:
    """R2.12: UNKNOWN adds nothing; after an hour of it the old readings say nothing any more."""
    seen = after("2", None, None, "2.5")
    assert numbers(seen) == ["2", "2.5"]
    assert seen[1].at - seen[0].at == timedelta(minutes=3)
    assert numbers(after("2", *[None] * 60, "2.5")) == ["2.5"]


def test_only_the_accounts_own_limits_are_followed() -> None:
    """A book of 200 positions must not carry 200 charts."""
    assert followed([reading("2.9", "SPY")], {}, NOW) == {}
    assert until_now((), reading("2.9", "SPY"), NOW) == ()


def test_the_chart_ends_with_the_number_that_is_told() -> None:
    trend = after("2", "2.5", "2.9")
    told = until_now(trend, reading("3.2"), NOW + timedelta(seconds=130))
    assert numbers(told) == ["2", "2.5", "2.9", "3.2"]
    assert until_now(trend, reading(None), NOW) == ()


def test_a_risk_document_keeps_its_trends_and_one_without_them_is_read() -> None:
    state = RiskState("demo", NOW, 1, trends={KEY: after("2", "2.5")})
    data = RiskCodec().encode(state)
    assert RiskCodec().decode(data).trends == state.trends
    old = {**data, "state": re.sub(r'"trends":\{.*?\]\]\},', "", data["state"])}
    assert "trends" not in old["state"]
    assert RiskCodec().decode(old).trends == {}


# --- the mail ---


def heights(html: str) -> list[int]:
    return [int(px) for px in re.findall(r'<div style="height:(\d+)px;background', html)]


def test_the_mail_of_a_rising_loss_shows_how_it_rose() -> None:
    """R6.1: a small chart inline, in words for who does not see it, and nothing is loaded."""
    alert, zone, around = SAMPLES["rising"]
    html = email_parts(alert, zone, around)[2]
    assert 'aria-label="From 52% of the limit at 09:45 to 108% at 10:02"' in html
    assert "limit 3,000 USD</td>" in html
    assert html.count("#c62828") >= 2  # at the limit and beyond it
    assert 'src="' not in html
    assert (
        email_parts(*SAMPLES["breach"])[2].count('aria-label="108% of the limit"') == 1
    )  # no readings: the bar


def test_a_gap_is_an_empty_place() -> None:
    chart = chart_of(SAMPLES["rising"][0], NEW_YORK)
    assert chart is not None
    assert [n for n, share in enumerate(chart.shares) if share is None] == [7]


@pytest.mark.parametrize(("points", "shown"), [(2, False), (3, True)])
def test_too_few_readings_are_no_chart(points: int, shown: bool) -> None:
    alert = SAMPLES["rising"][0]
    few = alert.model_copy(update={"trend": alert.trend[-points:]})
    assert (chart_of(few, NEW_YORK) is not None) is shown


def risen(shares: list[int]) -> Alert:
    alert = SAMPLES["rising"][0]
    points = tuple(
        TrendPoint(at=NOW + timedelta(minutes=n), current=Decimal(30 * share))
        for n, share in enumerate(shares)
    )
    return alert.model_copy(update={"trend": points})


@given(st.lists(st.integers(-50, 900), min_size=3, max_size=TREND))
def test_a_column_is_as_high_as_its_share_and_never_higher_than_the_chart(shares: list[int]) -> None:
    """R6.1: the heights of the three bands of a column add up to its share of the highest; the limit is inside."""
    chart = chart_of(risen(shares), "UTC")
    assert chart is not None
    top = min(max(125, *shares), 400)
    rows = re.findall(r"<tr>(.*?)</tr>", chart_html(chart), re.S)[:3]
    columns = zip(
        *(re.findall(r"<td valign=\"bottom\" class=\"(?:limit|warn|foot)\".*?</td>", row) for row in rows),
        strict=True,
    )
    for share, cells in zip(shares, columns, strict=True):
        height = sum(heights("".join(cells)))
        assert height <= 97  # rounded in three parts
        assert abs(height - 96 * min(max(share, 0), top) / top) <= 2
