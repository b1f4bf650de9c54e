"""Alerts over HTTP: acknowledge by a signed link, or list and acknowledge with rights.

GET  /v1/ack?t=TOKEN                       a page with one button; it changes nothing, so mail scanners do no harm
POST /v1/ack?t=TOKEN                       acknowledge
GET  /v1/accounts/{account}/alerts         what stands (right `view`)
POST /v1/accounts/{account}/alerts/ack     {"reference": "1f2e3d4c"} (right `risk`, `trade` or `kill`)
"""

from html import escape
from typing import Any

import flask

from stopline.model.errors import Rejected
from stopline.model.times import utc_text
from stopline.rules.alerting.delivery import AlertRecord
from stopline.rules.alerting.incidents import AlertState, Standing
from stopline.runtime.app import App
from stopline.runtime.auth import Principal, Right
from stopline.runtime.bodies import json_body, query
from stopline.runtime.problems import Answer, answer, problem

MAX_BODY = 4096
LINES = 110  # of a page: all that an account can have, for the button takes all of it
MAY_TAKE: tuple[Right, ...] = ("risk", "trade", "kill")
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def by_link(request: flask.Request, app: App) -> Answer:
    """Answer a request to a link out of a message. Raises Transient when the state cannot be read or written."""
    links = app.ports.links
    if request.method not in ("GET", "HEAD", "POST"):
        return problem(405, "METHOD", "a link is opened with GET and confirmed with POST")
    try:
        if links is None:
            raise Rejected("NO_LINKS", "links to acknowledge are not set up here")
        taken = links.read(query(request).get("t", ""), app.clock.now())
        record = app.alert_desk.delivered(taken.notice_id)
        account = record.alert.account
        if request.method != "POST":
            return _asked(app, record)
        reader = next((d for d in record.deliveries if d.to == taken.mark), None)
        found = app.alert_desk.acknowledge(
            account,
            record.incident or taken.notice_id,
            f"link:{taken.mark}",
            shown=f"{reader.channel} {reader.hint}" if reader else "",
            leave_out=taken.mark,
            message=record,
        )
    except Rejected as refused:
        lines = [refused.detail, "Acknowledge with `stopline alerts ack`, or open a newer message."]
        return _page(410 if refused.reason == "LINK_EXPIRED" else 404, "This link does not work", lines)
    if not found:
        return _nothing_left(app, record)
    return _page(200, "Acknowledged: it is yours", [*map(_told, found), "Nobody else is told for now."])


def listed(request: flask.Request, app: App, principal: Principal, account: str) -> Answer:
    """Answer what stands of an account's alerts: the 100 that are followed at most."""
    return answer(200, {"alerts": [facts(s) for s in app.alert_desk.read(account).live()]})


def taken(request: flask.Request, app: App, principal: Principal, account: str) -> Answer:
    """Acknowledge alerts of an account for a caller; 404 where the reference names nothing that stands."""
    body = json_body(request, MAX_BODY)
    reference = body.get("reference")
    if not isinstance(reference, str) or not reference or set(body) != {"reference"}:
        raise Rejected(
            "BAD_MESSAGE",
            'the body is {"reference": ...}: 4 characters or more of an alert\'s id, or its whole kind',
        )
    found = app.alert_desk.acknowledge(account, reference, principal.name)
    if not found and not app.alert_desk.named(account, reference):
        detail = (
            f"nothing that stands is named by {reference[:64]!r}, which must be 4 characters or more of an id or a whole "
            f"kind: no alert or message of {account} that is not over"
        )
        return problem(404, "UNKNOWN_ALERT", detail)
    return answer(200, {"acknowledged": [facts(s) for s in found]})


def facts(s: Standing) -> dict[str, Any]:
    """Return a standing alert as plain data for people and programs."""
    return {
        "alert_id": s.alert.alert_id,
        "kind": s.alert.kind,
        "object": s.alert.object,
        "severity": s.alert.severity.value,
        "state": s.state.value,
        "summary": s.alert.summary,
        "since": utc_text(s.since),
        "told_at": utc_text(s.told_at) if s.told_at else None,
        "told": s.told_at is not None,
        "count": s.count,
        "incident": s.incident,
        "escalated": s.escalated,
        "acknowledged_by": s.acknowledged_by or None,
        "silenced_by": s.silenced_by or None,
    }


def _asked(app: App, message: AlertRecord) -> Answer:
    """Answer with the page that lists what its button would take."""
    left = [s for s in app.alert_desk.told_by(message) if s.state is not AlertState.ACKNOWLEDGED]
    if not left:
        return _nothing_left(app, message)
    lines = [f"Account {message.alert.account or 'operator'}", *map(_told, left)]
    return _page(200, "Acknowledge this alert?", lines, button=True)


def _nothing_left(app: App, message: AlertRecord) -> Answer:
    """Answer for a message of which all is over, or taken: by this link or otherwise."""
    lines = [
        f"Taken {utc_text(s.acknowledged_at)[:16].replace('T', ' ')} UTC, and it still stands: {_told(s)}"
        for s in app.alert_desk.told_by(message)
        if s.acknowledged_at
    ]
    after = "What came after this message is not taken by its link."
    return _page(200, "Nothing left to acknowledge", [*(lines or ["It is over."]), after])


def _told(s: Standing) -> str:
    return f"{s.alert.severity.value.upper()}: {s.alert.summary}"


def _page(status: int, title: str, lines: list[str], button: bool = False) -> Answer:
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    listed = "".join(f"<p>{escape(line)}</p>" for line in [*lines[:LINES], *more])
    form = '<form method="post"><button>Yes, I have it</button></form>' if button else ""
    html = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>
body{{font:18px/1.4 -apple-system,'Segoe UI',Roboto,Arial,sans-serif;max-width:560px;margin:24px auto;padding:0 16px;
color:#202124}} h1{{font-size:24px}} p{{overflow-wrap:break-word}}
button{{width:100%;padding:16px;font-size:20px;color:#fff;background:#1565c0;border:0;border-radius:8px}}
</style></head><body><h1>{escape(title)}</h1>{listed}{form}</body></html>
"""
    return html.encode(), status, dict(_HEADERS)
