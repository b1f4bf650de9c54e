"""stopline alerts: what stands, acknowledge it, try the ways to people, and see who would be told."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from stopline.cli.failures import BadInput, Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.account import Account
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.times import parse_utc, utc_text
from stopline.rules.alerting.around import Around
from stopline.rules.alerting.audience import audience
from stopline.rules.alerting.delivery import (
    AlertRecord,
    DeliveryRecord,
    People,
    fall_over,
    hint,
    mark,
    plan,
)
from stopline.rules.alerting.text_parts import minute_text
from stopline.rules.alerting.texts import sms_text
from stopline.runtime.alerts_api import facts
from stopline.runtime.app import App
from stopline.service.documents.outbox import typed

OPERATOR = "operator"
_SEVERITY = click.Choice([severity.value for severity in Severity])


@click.group()
def alerts() -> None:
    """See which alerts stand, acknowledge them, and try the ways to people."""


@alerts.command(name="list")
@click.argument("account", required=False)
@click.option("--all", "every", is_flag=True, help="Those that ended in the last 24 hours too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, account: str | None, every: bool, as_json: bool) -> None:
    """List the alerts of ACCOUNT, or of all; `operator`: of no account."""
    app = app_of(ctx)
    names = [_account(app, account)] if account else [*(a.account for a in app.accounts.all()), None]
    found, rows = [], []
    heads = ("account", "id", "severity", "state", "since", "summary", "acknowledged_by")
    for name in names:
        known, zone = app.alert_desk.read(name), _zone(app, name)
        for s in known.standing.values() if every else known.live():
            found.append({"account": name or OPERATOR, **facts(s)})
            shown = found[-1] | {"id": s.alert.alert_id[:8], "since": minute_text(s.since, zone)}
            rows.append([shown[head] or "" for head in heads])
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no alerts stand")
    else:
        console().print(table("alerts", heads, rows))


@alerts.command()
@click.argument("account")
@click.argument("reference", required=False)
@click.option("--all", "every", is_flag=True, help="Everything that stands.")
@click.pass_context
def ack(ctx: click.Context, account: str, reference: str | None, every: bool) -> None:
    """Acknowledge alerts of ACCOUNT: nobody else is told of them.

    REFERENCE is an alert's id (as in messages: #1f2e3d4c), 4 characters or more of its start, or its whole kind. What
    belongs to the same incident is acknowledged with it.
    """
    if every == bool(reference):
        raise click.UsageError("name an alert, or say --all")
    app = app_of(ctx)
    name = _account(app, account)
    taken = app.alert_desk.acknowledge(name, reference or "", actor())
    if not taken:
        has = next(iter(app.alert_desk.named(name, reference or "")), None)
        if has is not None:
            at = minute_text(has.acknowledged_at or has.since, _zone(app, name))
            raise Failure(f"{has.acknowledged_by} has it since {at}: {has.alert.summary}")
        if reference:
            raise BadInput(
                f"nothing that stands is named by {reference!r}, which must be 4 characters or more of an id or "
                f"a whole kind: `stopline alerts list {account}` shows what stands"
            )
        raise Failure(f"nothing to acknowledge: `stopline alerts list {account}` shows what stands")
    for s in taken:
        click.echo(f"acknowledged {s.alert.alert_id[:8]}: {s.alert.summary}")


@alerts.command()
@click.argument("account")
@click.argument("reference")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, account: str, reference: str, as_json: bool) -> None:
    """Show what became of the messages of ACCOUNT whose id begins with REFERENCE, address by address.

    `provider_says` is the provider's word when it took the message: it does not prove that anybody has read it.
    """
    app = app_of(ctx)
    name = _account(app, account)
    zone = _zone(app, name)
    found: list[dict[str, Any]] = []
    for record in app.alert_desk.messages(name, reference):
        for d in record.deliveries:
            found.append(
                {
                    "id": record.alert.alert_id,
                    "summary": record.alert.summary,
                    "channel": d.channel,
                    "address": d.hint,
                    "status": d.status.value,
                    "provider_says": d.provider_status,
                    "provider_id": d.provider_id,
                    "tries": d.attempts,
                    "at": utc_text(d.at) if d.at else None,
                    "error": d.error,
                }
            )
    if not found:
        raise BadInput(f"no message of {account} has an id that begins with {reference!r}")
    if as_json:
        print_json(found)
        return
    heads = ("id", "channel", "address", "status", "provider_says", "provider_id", "tries", "at", "error")
    rows = []
    for f in found:
        at = minute_text(parse_utc(f["at"]), zone) if f["at"] else ""
        shown = f | {"id": f["id"][:8], "at": at}
        rows.append([shown[head] for head in heads])
    console().print(table("messages", heads, rows))


@alerts.command()
@click.argument("account")
@click.option("--severity", type=_SEVERITY, default="info", show_default=True, help="Which route it takes.")
@click.option(
    "--stage", type=click.IntRange(0, 20), default=0, help="As an escalation: 1 is the next person."
)
@click.pass_context
def test(ctx: click.Context, account: str, severity: str, stage: int) -> None:
    """Send a test message to whoever hears of alerts of ACCOUNT. Who got it: `stopline alerts show ACCOUNT ID`."""
    app = app_of(ctx)
    name, now = _account(app, account), app.clock.now()
    alert = Alert(
        alert_id=digest("test", name or "", severity, str(stage), utc_text(now)),
        account=name,
        kind="test",
        object="account",
        severity=Severity(severity),
        summary=f"Test message by {actor()}: no trading limit is concerned",
        action="Nothing was done. Nothing is to be done.",
        raised_at=now,
        resolved=False,
    )
    app.ports.bus.publish([typed("alerts", Notice(alert=alert, stage=stage, decided_at=now))])
    told = len(_told(app, alert, stage, now))
    click.echo(f"published test message #{alert.alert_id[:8]} to {told} address{'' if told == 1 else 'es'}")
    _say_of_links(app, name, severity == Severity.CRITICAL.value)


@alerts.command()
@click.argument("account")
@click.option("--severity", type=_SEVERITY, help="Of this severity only.")
@click.option("--kind", default="test", show_default=True, help="Of this kind of alert.")
@click.option("--at", metavar="TIME", help="At this moment (RFC 3339), default now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def routes(
    ctx: click.Context, account: str, severity: str | None, kind: str, at: str | None, as_json: bool
) -> None:
    """Show who would be told of alerts of ACCOUNT, stage by stage, and its own routes. Nothing is sent.

    `route`: which of its routes decided; empty: the usual channels of the severity. `if_it_fails`: what comes instead.
    """
    app = app_of(ctx)
    name = _account(app, account)
    now = _moment(at) if at else app.clock.now()
    settings, zone = _settings(app, name), _zone(app, name)
    local = now.astimezone(ZoneInfo(zone))
    found: list[dict[str, Any]] = []
    for level in [Severity(severity)] if severity else list(Severity)[::-1]:
        alert = Alert(
            alert_id="dry-run",
            account=name,
            kind=kind,
            object="account",
            severity=level,
            summary="dry run",
            raised_at=now,
        )
        waits = (0, *(int(after.total_seconds()) for after in settings.escalate_after))
        decides = next((n for n, r in enumerate(settings.routes, 1) if r.fits(level, kind, local)), "")
        for stage, wait in enumerate(waits if level is Severity.CRITICAL else waits[:1]):
            for told in _told(app, alert, stage, now):
                who = {"severity": level.value, "after_s": wait, "who": _who(account, settings, stage)}
                found.append(who | told | {"route": "" if stage else decides})
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nobody would be told: add addresses to the account, or set STOPLINE_OPERATOR")
    else:
        heads = ("severity", "after_s", "who", "channel", "address", "note", "if_it_fails", "route")
        console().print(table(f"who is told of {account}", heads, [[f[h] for h in heads] for f in found]))
    if settings.routes:
        columns = ("route", "severities", "kinds", "hours", "channels", "people")
        console().print(
            table(f"routes of {account}: the first that fits decides", columns, _shown(settings, account))
        )
    if quiet := settings.quiet:
        click.echo(
            f"quiet from {quiet.start} to {quiet.end} ({', '.join(quiet.days)}) in {zone}: only critical is told then"
            + (f"; it is quiet at that time, the rest waits until {quiet.end}" if quiet.covers(local) else "")
        )
    _say_of_links(app, name, severity in (None, Severity.CRITICAL.value))


def _say_of_links(app: App, name: str | None, critical: bool) -> None:
    """Say what keeps the link to acknowledge out of critical messages, if anything does."""
    links, now = app.ports.links, app.clock.now()
    if not critical:
        return
    if links is None:
        click.echo(
            "whether messages have a link to acknowledge is not known here: "
            "STOPLINE_API_URL and STOPLINE_ACK_SECRET are not set"
        )
        return
    alert = Alert(
        alert_id=digest("dry-run"),
        account=name,
        kind="max_daily_loss",
        object="account",
        severity=Severity.CRITICAL,
        summary="dry run",
        raised_at=now,
    )
    url = links.url(alert.alert_id, mark("sms", ""), now)
    if url not in sms_text(alert, _zone(app, name), Around(url)):
        click.echo(
            f"an SMS has no room for the link to acknowledge, which is {len(url)} characters long: "
            "a shorter STOPLINE_API_URL helps. Mail and chat have it"
        )


def _shown(settings: AlertSettings, account: str) -> list[list[object]]:
    """Return the routes as rows; what a route leaves out fits everything."""
    return [
        [
            number,
            ", ".join(s.value for s in route.severities) or "all",
            ", ".join(route.kinds) or "all",
            f"{route.hours.start}-{route.hours.end} {','.join(route.hours.days)}"
            if route.hours
            else "always",
            ", ".join(route.channels),
            ", ".join(route.people) or account,
        ]
        for number, route in enumerate(settings.routes, 1)
    ]


def _who(account: str, settings: AlertSettings, stage: int) -> str:
    """Return whose addresses a stage goes to: the account's routes, a person of the escalation, the operator."""
    people = settings.escalate_to
    return account if not stage else people[stage - 1] if stage <= len(people) else OPERATOR


def _settings(app: App, name: str | None) -> AlertSettings:
    return app.accounts.require(name).alerting if name else app.ports.operator_alerts


def _zone(app: App, name: str | None) -> str:
    return app.accounts.require(name).time_zone if name else app.ports.operator_alerts.time_zone


def _told(app: App, alert: Alert, stage: int, now: datetime) -> list[dict[str, str]]:
    """Return each address that would be told, and what comes in its place."""
    account: Account | None = app.accounts.get(alert.account) if alert.account else None
    notice = Notice(alert=alert, stage=stage, decided_at=now)
    duty = app.ports.operator_alerts
    with_calls, without = (
        audience(notice, account, app.ports.operator, duty=duty, voice=voice) for voice in (True, False)
    )
    planned = plan(AlertRecord.of(notice), with_calls)
    return [
        {
            "channel": d.channel,
            "address": hint(d.channel, with_calls.address(d.key) or ""),
            "note": d.note,
            "if_it_fails": " or ".join(
                dict.fromkeys(
                    f"{instead} (TWILIO_VOICE=1)" if instead == "voice" else instead
                    for people in (with_calls, without)
                    if (instead := _instead(planned, d, people, now)) != "nobody"
                )
            ),
        }
        for d in planned.deliveries
    ]


def _instead(planned: AlertRecord, failed: DeliveryRecord, people: People, now: datetime) -> str:
    """Return the channel that takes over, `operator`, or `nobody`: the others are told already."""
    refused = planned.changed(
        *(d.refused("dry run", now) for d in planned.deliveries if d.channel == failed.channel)
    )
    after = fall_over(refused, people)
    return next(d.replaced_by for d in after.deliveries if d.key == failed.key)


def _account(app: App, name: str) -> str | None:
    if app.accounts.get(name) is not None:
        return name
    if name == OPERATOR:
        return None
    raise BadInput(f"there is no account {name!r}: `stopline accounts list` shows them")


def _moment(text: str) -> datetime:
    try:
        return parse_utc(text)
    except ValueError as problem:
        raise BadInput(f"--at {problem}") from None
