"""Alerts over HTTP: a link that a scanner may open, and the API for those with rights."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from stopline.model.messages import Alert
from stopline.model.wire import validate
from stopline.rules.alerting.ack_links import AckLinks
from stopline.service.alerting.records import decode_record

from .conftest import LINKS, TOKENS, Served

MARK = "0123456789abcdef"


def breach(served: Served, account: str = "demo", id_: str = "1f2e3d4c") -> None:
    facts = {
        "alert_id": id_,
        "account": account,
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Loss of the day is <b>3.24%</b>",
        "raised_at": served.world.clock.now().isoformat(),
    }
    served.world.app.alert_desk.receive(validate(Alert, facts))


def link(served: Served, id_: str = "1f2e3d4c", links: AckLinks = LINKS) -> str:
    return links.url(id_, MARK, served.world.clock.now()).removeprefix(LINKS.base_url)


def state(served: Served) -> str:
    return served.world.app.alert_desk.read("demo").standing["max_daily_loss|account"].state.value


def test_opening_the_link_shows_a_page_and_changes_nothing(api: Served) -> None:
    """R6.3: scanners of mail open every link."""
    breach(api)
    for _ in range(2):
        page = api.client.get(link(api))
        assert page.status_code == 200
        assert b'<form method="post">' in page.data
        assert b"CRITICAL: Loss of the day is &lt;b&gt;3.24%&lt;/b&gt;" in page.data
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert page.headers["Cache-Control"] == "no-store"
    assert state(api) == "firing"


def test_the_button_acknowledges_once_and_the_trail_says_which_address(api: Served) -> None:
    """R6.3, R7.4"""
    breach(api)
    done = api.client.post(link(api))
    assert b"Acknowledged: it is yours" in done.data
    assert state(api) == "acknowledged"
    assert b"Nothing left to acknowledge" in api.client.post(link(api)).data
    api.world.run()
    (row,) = [r for r in api.world.history.rows["audit"] if r["event"] == "alerts_acknowledged"]
    assert row["actor"] == f"link:{MARK}"


def test_a_link_does_not_take_what_came_after_it(api: Served) -> None:
    """R6.3: a breach of another incident is not taken by yesterday's link."""
    breach(api)
    api.client.post(link(api))
    late = link(api)
    desk = api.world.app.alert_desk
    over = desk.read("demo").standing["max_daily_loss|account"].alert
    api.world.clock.set(api.world.clock.now() + timedelta(hours=1))
    now = api.world.clock.now()
    desk.receive(over.model_copy(update={"alert_id": "b", "resolved": True, "raised_at": now}))
    api.world.clock.set(now + timedelta(hours=1))
    breach(api, id_="c")
    assert b"Nothing left" in api.client.post(late).data
    assert state(api) == "firing"


def other_breach(served: Served) -> None:
    """A second critical alert of the same incident."""
    desk, now = served.world.app.alert_desk, served.world.clock.now()
    known = desk.read("demo").standing["max_daily_loss|account"].alert
    worse = {"alert_id": "b", "kind": "orphan_leg", "object": "T1", "summary": "Trade T1 lost a leg"}
    desk.receive(known.model_copy(update=worse | {"raised_at": now}))


def later(served: Served, **time: float) -> None:
    served.world.clock.set(served.world.clock.now() + timedelta(**time))


def test_a_link_takes_what_its_reader_had_read_and_nothing_newer(api: Served) -> None:
    """R6.3: a critical alert of the same incident that came after the message keeps ringing."""
    breach(api)
    first = link(api)
    later(api, seconds=20)
    other_breach(api)
    assert b"lost a leg" not in api.client.get(first).data
    done = api.client.post(first).data
    assert b"Loss of the day" in done
    assert b"lost a leg" not in done
    states = {s.alert.kind: s.state.value for s in api.world.app.alert_desk.read("demo").live()}
    assert states == {"max_daily_loss": "acknowledged", "orphan_leg": "firing"}
    second = api.client.get(link(api, "b")).data  # who has read the second has read the first
    assert b"lost a leg" in second


def test_a_link_that_was_used_does_nothing_more_and_says_so(api: Served) -> None:
    """R6.3: twenty hours later, with something new in the same incident."""
    breach(api)
    used = link(api)
    api.client.post(used)
    later(api, hours=20)
    other_breach(api)
    for call in (api.client.get, api.client.post):
        page = call(used).data
        assert b"Nothing left to acknowledge" in page
        assert b"UTC, and it still stands: CRITICAL: Loss of the day" in page
        assert b"What came after this message is not taken by its link." in page
        assert b"<form" not in page
    assert api.world.app.alert_desk.read("demo").standing["orphan_leg|T1"].state.value == "firing"


@pytest.mark.parametrize(
    "query", ["", "?t=", "?t=x", "?t=1f2e3d4c.0123456789abcdef.ffffffff.aaaaaaaaaaaaaaaaaaaaaa"]
)
def test_a_link_that_is_not_ours_does_nothing(api: Served, query: str) -> None:
    """B62"""
    breach(api)
    for call in (api.client.get, api.client.post):
        answer = call(f"/v1/ack{query}")
        assert answer.status_code == 404
        assert b"This link does not work" in answer.data
    assert state(api) == "firing"


def test_a_link_of_another_secret_or_of_yesterday_is_dead(api: Served) -> None:
    """R6.3"""
    breach(api)
    forged = link(api, links=AckLinks(LINKS.base_url, "another-secret-of-more-than-32-chars"))
    assert api.client.post(forged).status_code == 404
    old = link(api)
    api.world.clock.set(api.world.clock.now() + timedelta(hours=25))
    assert api.client.post(old).status_code == 410
    assert state(api) == "firing"


def call(served: Served, method: str, path: str, token: str, body: Any = None) -> TestResponse:
    return served.client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {token}"})


def test_the_api_lists_and_acknowledges_by_right(api: Served) -> None:
    """R6.3, I9: who may only look may not take; a foreign account looks as an unknown one."""
    breach(api)
    killer = next(t for t, who in TOKENS.items() if "kill" in who["rights"])
    viewer = next(t for t, who in TOKENS.items() if set(who["rights"]) == {"view"})
    (found,) = call(api, "GET", "/v1/accounts/demo/alerts", viewer).get_json()["alerts"]
    assert (found["alert_id"], found["state"]) == ("1f2e3d4c", "firing")
    refused = call(api, "POST", "/v1/accounts/demo/alerts/ack", viewer, {"reference": "1f2e"})
    assert refused.status_code == 403  # she sees the account
    unknown = call(api, "POST", "/v1/accounts/nobody/alerts/ack", viewer, {"reference": "1f2e"})
    foreign = call(api, "POST", "/v1/accounts/other/alerts/ack", viewer, {"reference": "1f2e"})
    assert (foreign.status_code, foreign.data) == (unknown.status_code, unknown.data)
    assert foreign.status_code == 404
    assert call(api, "GET", "/v1/accounts/other/alerts", viewer).status_code == 404
    for body in ({}, {"reference": ""}, {"reference": 1}, {"reference": "x", "y": 1}, []):
        assert call(api, "POST", "/v1/accounts/demo/alerts/ack", killer, body).status_code == 400
    for unknown_id in ("ffffffff", "#", "#ffff", "m", "max_", "1f2"):
        answer = call(api, "POST", "/v1/accounts/demo/alerts/ack", killer, {"reference": unknown_id})
        assert (answer.status_code, answer.get_json()["title"]) == (404, "UNKNOWN_ALERT")
        assert "nothing that stands is named by" in answer.get_json()["detail"]
    assert state(api) == "firing"
    done = call(api, "POST", "/v1/accounts/demo/alerts/ack", killer, {"reference": "#1f2e"})
    assert [a["acknowledged_by"] for a in done.get_json()["acknowledged"]] == [TOKENS[killer]["name"]]
    assert state(api) == "acknowledged"
    again = call(api, "POST", "/v1/accounts/demo/alerts/ack", killer, {"reference": "1f2e"})
    assert (again.status_code, again.get_json()["acknowledged"]) == (200, [])  # it is taken
    assert call(api, "GET", "/v1/accounts/demo/alerts", "nobody-knows-me").status_code == 401


def test_the_button_takes_all_that_its_message_lists(api: Served) -> None:
    """R6.3: a digest with alerts of two incidents has one button for all of them."""
    desk, clock = api.world.app.alert_desk, api.world.clock

    def tell(id_: str, severity: str, kind: str) -> None:
        facts = {"alert_id": id_, "account": "demo", "kind": kind, "object": "account", "severity": severity}
        facts |= {"summary": kind, "raised_at": clock.now().isoformat()}
        desk.receive(validate(Alert, facts))
        api.world.run()

    def later(**time: float) -> None:
        clock.set(clock.now() + timedelta(**time))
        desk.check("demo")
        api.world.run()

    tell("w1", "warning", "stale_prices")
    tell("w2", "warning", "max_margin_use")
    later(hours=5)
    tell("c1", "critical", "max_daily_loss")
    later(minutes=15)  # everybody of the escalation is called
    later(minutes=45)  # and all is told again
    records = [decode_record(document) for document in api.world.store.query("alerts", [])]
    [digest] = [r for r in records if set(r.covers) == {"c1", "w1", "w2"}]
    assert len({s.incident for s in desk.read("demo").live()}) == 2
    done = api.client.post(link(api, digest.alert.alert_id))
    assert b"WARNING: max_margin_use" in done.data
    state = {s.alert.kind: s.state.value for s in desk.read("demo").live()}
    assert state == dict.fromkeys(("stale_prices", "max_margin_use", "max_daily_loss"), "acknowledged")
