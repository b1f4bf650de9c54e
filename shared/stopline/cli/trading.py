"""stopline kill, pause, resume, status: the kill switch by one word."""

import math
import secrets
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from stopline.adapters import bearer
from stopline.cli.failures import BadInput, Failure, as_failure
from stopline.cli.show import print_json
from stopline.cli.switch import Ask, directly, full_scope, over_http, said
from stopline.model.scopes import GLOBAL
from stopline.model.times import parse_utc, utc_text

SHOWN = 10  # accounts that a kill of everything shows one by one
UNPERSISTED = "published, not persisted"  # the delivery of a kill whose state could not be stored
STOPPED = {"kill": ("HALTED",), "pause": ("HALTED", "REDUCING")}
STANDING = {"scope", "state", "previous", "epoch", "size"}  # what every answer of the kill switch says
MORE = {
    "kill": {"delivery", "closing", "counts"},
    "pause": {"delivery", "closing", "counts"},
    "resume": {"pending"},
    "status": {"holds", "pending"},
}
DIRECT = "Past the kill switch, by this terminal's own credentials for the project."

Command = Callable[..., Any]


def _shared(command: Command) -> Command:
    """Add what all of them take."""
    for add in (
        click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
        click.argument("scope", default=GLOBAL, callback=lambda ctx, name, value: full_scope(value)),
    ):
        command = add(command)
    return command


def _stops(command: Command) -> Command:
    """Add what takes a request."""
    for add in (
        click.option("--request-id", help="The same again counts once (default: a new one)."),
        click.option("--direct", is_flag=True, help=DIRECT),
        click.option(
            "--lock",
            is_flag=True,
            help="Nobody resumes before the account's next session; not for the whole, which has none.",
        ),
        click.option(
            "--reason", default="by hand", show_default=True, help="For the record, and for others."
        ),
    ):
        command = add(command)
    return command


@click.command()
@_shared
@_stops
@click.option("--flatten", "mode", flag_value="flatten", default="flatten", help="Close too. The default.")
@click.option("--cancel", "mode", flag_value="cancel", help="Halt and cancel, close nothing.")
@click.option("--reduce-only", "mode", flag_value="reduce-only", help="What `pause` does.")
@click.pass_context
def kill(ctx: click.Context, /, scope: str, mode: str, **given: Any) -> None:
    """Stop trading in SCOPE, cancel what works there, and close what is open. It asks nothing.

    SCOPE is everything by default, else the name of an account, or account:NAME, strategy:ACCOUNT:NAME,
    underlying:ACCOUNT:SYMBOL.
    """
    if mode == "reduce-only":
        _stop(ctx, "pause", scope, {}, **given)
    else:
        _stop(ctx, "kill", scope, {} if mode == "flatten" else {"flatten": False}, **given)


@click.command()
@_shared
@_stops
@click.option(
    "--until", metavar="TIME", help="It ends then by itself (RFC 3339, such as 2026-11-20T16:00:00Z)."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0.1, max=10_080), help="It ends by itself after so long."
)
@click.pass_context
def pause(ctx: click.Context, /, scope: str, until: str | None, minutes: float | None, **given: Any) -> None:
    """Let through in SCOPE only what reduces risk, and cancel working orders that may add some."""
    if until and minutes:
        raise click.UsageError("--until and --minutes say the same: give one")
    if minutes is not None and math.isnan(minutes):  # within every range
        raise click.UsageError("--minutes is no number of minutes: give 0.1 to 10080")
    ends = _moment(until) if until else None
    if minutes:
        ends = _now() + timedelta(minutes=minutes)
    _stop(ctx, "pause", scope, {"until": utc_text(ends)} if ends else {}, **given)


@click.command()
@_shared
@click.option("--reason", prompt=True, help="Why it may go on: for the record.")
@click.option("--confirm", metavar="TEXT", help='"RESUME SCOPE" in so many words; without it you are asked.')
@click.option("--expected-epoch", type=int, help="The epoch that you have seen (default: the one shown now).")
@click.option("--request-id", help="The same again counts once (default: a new one).")
@click.pass_context
def resume(
    ctx: click.Context,
    scope: str,
    as_json: bool,
    reason: str,
    confirm: str | None,
    expected_epoch: int | None,
    request_id: str | None,
) -> None:
    """Let trading in SCOPE go on. The whole, and what a drawdown stopped, takes two people within ten minutes."""
    ask = over_http()
    seen = _asked(ask, "status", None, scope)
    if confirm is None:
        _show(seen)
        confirm = click.prompt(f"Type RESUME {scope} to let it go on", err=True)
    body = {
        "request_id": request_id or _new_id("resume"),
        "scope": scope,
        "reason": reason,
        "expected_epoch": seen["epoch"] if expected_epoch is None else expected_epoch,
        "confirm": confirm,
    }
    quiet = [hold["request_id"] for hold in seen["holds"].values() if hold.get("quiet")]
    if quiet and expected_epoch is None:  # who names an epoch of before has seen what it was then
        body["lifts"] = quiet
    answer = _asked(ask, "resume", body, scope)
    if as_json:
        print_json(answer)
    elif answer["pending"]:
        click.echo(
            f"noted, {scope} is still {answer['state']}: a second person must resume within 10 minutes"
        )
    else:
        click.echo(_standing(answer))
        still = answer.get("still_stopped", {})
        for part, state in (still or {}).items():
            click.echo(f"  still stopped: {part} {state}")
        if still is None:
            click.echo("what else is stopped is unknown: it cannot be read now")
    if answer.get("warning") and not as_json:
        click.echo(f"LOOK AT THE BROKER: {answer['warning']}")


@click.command()
@_shared
@click.option("--direct", is_flag=True, help=DIRECT)
@click.pass_context
def status(ctx: click.Context, scope: str, as_json: bool, direct: bool) -> None:
    """Show what holds for SCOPE (default: everything), who stopped it, what ends it, and what is still open."""
    answer = _asked(directly(ctx) if direct else over_http(), "status", None, scope)
    if as_json:
        print_json(answer)
    else:
        _show(answer)


def _stop(
    ctx: click.Context,
    action: str,
    scope: str,
    more: Mapping[str, Any],
    *,
    reason: str,
    lock: bool,
    direct: bool,
    request_id: str | None,
    as_json: bool,
) -> None:
    """Ask for a kill or a pause. Raises Failure or BadInput where it is not known that it holds."""
    id_ = request_id or _new_id(action)
    body = {"request_id": id_, "scope": scope, "reason": reason, **more, **({"lock": True} if lock else {})}
    if lock and scope == GLOBAL:
        raise BadInput(
            f"NOT STOPPED: --lock ends with an account's session, and the whole has none: `stopline {action} ACCOUNT "
            f"--lock`, or `stopline {action}` without it"
        )
    try:
        ask = directly(ctx) if direct else over_http()
        answer = _asked(ask, action, body, scope)
    except Exception as problem:  # noqa: BLE001 - whatever it is: whoever pulls the switch must hear that it did not work
        told = as_failure(problem)
        if isinstance(told, BadInput):
            raise BadInput(f"NOT STOPPED: {told.message}") from None
        raise Failure(_second_path(action, body, direct, told.message)) from None
    if as_json:
        print_json(answer)
    else:
        _tell(ask, action, answer, id_)
    if answer["delivery"] != UNPERSISTED and not _holds(action, answer):
        is_stopped = answer["state"] in STOPPED[action]
        what = "NOT CLOSED" if is_stopped else "NOT STOPPED"
        raise Failure(
            f"{what}: {scope} is {answer['state']}{', and nothing closes it' if is_stopped else ''}. An id counts once, and "
            f"{id_} was carried out before: `stopline {action} {scope}` without --request-id"
        )
    if answer.get("warning"):
        raise Failure(
            f"NOTHING STOPPED THAT IS HELD: {scope} is {answer['state']}, and {answer['warning']}. If the name was "
            "mistyped, stop what you meant now"
        )


def _holds(action: str, answer: Mapping[str, Any]) -> bool:
    """Tell whether what was asked for holds now. A state alone says little: a halt may close nothing."""
    return answer["state"] in STOPPED[action] and bool(answer.get("in_force", True))


def _tell(ask: Ask, action: str, answer: Mapping[str, Any], id_: str) -> None:
    """Say what was stored, who was told, and what is open."""
    if answer["delivery"] == UNPERSISTED:
        click.echo(f"{answer['scope']}: the adapters are told to halt and cancel, request {id_}")
        click.echo(
            "NOT stored yet: the state cannot be written now, and is as soon as it can. Closing begins then."
        )
        return
    click.echo(_standing(answer))
    if not _holds(action, answer):
        return
    used = answer.get("carried_out_as")
    click.echo(f"stored: yes, request {f'{used}: {id_} was used, or is none' if used else id_}")
    late = "the state is stored, the commands follow with the next sweep"
    click.echo(f"told: {'yes' if answer['delivery'] == 'published' else late}")
    unheard = answer.get("unheard")
    if unheard:
        names = f"{', '.join(unheard[:SHOWN])}{f' and {len(unheard) - SHOWN} more' if len(unheard) > SHOWN else ''}"
        click.echo(f"NOBODY MAY HEAR IT: no adapter of {names} has a lease now. Do it at the broker by hand.")
    _show_open(ask, answer)


def _show_open(ask: Ask, answer: Mapping[str, Any]) -> None:
    """Say what is open in the accounts that a stop concerns; what cannot be read is said to be unknown."""
    told, scope = answer["closing"], answer["scope"]
    for account, how_far in list(told.items())[:SHOWN]:
        try:
            code, facts = ask("status", None, f"account:{account}" if scope == GLOBAL else scope)
        except Exception:  # noqa: BLE001 - the stop itself is stored
            code, facts = 0, {}
        known = code == 200 and facts.get("open_positions") is not None
        left = f"{facts['open_positions']} positions open" if known else "what is open is unknown"
        click.echo(f"{account}: {how_far}, {left}")
    if len(told) > SHOWN:
        click.echo(f"and {len(told) - SHOWN} more accounts: {answer['counts']}")
    if "CLOSING" in told.values():
        click.echo("flat is said when the fills prove it: `stopline status ACCOUNT`")


def _asked(ask: Ask, name: str, body: Mapping[str, Any] | None, scope: str) -> dict[str, Any]:
    """Return the answer of the kill switch. Raises Failure or BadInput that say why there is none."""
    code, answer = ask(name, body, scope)
    fields = {"scope", "delivery"} if answer.get("delivery") == UNPERSISTED else STANDING | MORE[name]
    if code in (200, 202) and fields <= answer.keys() and answer["scope"] == scope:
        return answer
    is_ours = code == 400 and answer.get("title") != bearer.FOREIGN
    raise BadInput(said(code, answer)) if is_ours else Failure(said(code, answer))


def _second_path(action: str, body: Mapping[str, Any], direct: bool, problem: str) -> str:
    """Say what is left to do where the kill switch does not answer: the very same request, or one past it, which is of
    another person and so another request.
    """
    words = ["stopline", action, body["scope"], *([] if body.get("flatten", True) else ["--cancel"])]
    words += ["--lock"] if body.get("lock") else []
    words += [word for name in ("until", "reason") if name in body for word in (f"--{name}", str(body[name]))]
    same = shlex.join(words)
    again = f"{same} --request-id {body['request_id']}{' --direct' if direct else ''}"
    past = "" if direct else f"; past it, with credentials for the project: `{same} --direct`"
    return (
        f"NOT KNOWN TO BE STOPPED: {problem[:300]}. The same again is safe: `{again}`{past}. "
        "Adapters that get no lease add no risk after a minute. At the broker: cancel all orders and close. "
        "docs/kill-switch.md has more"
    )


# --- for people ---


def _show(facts: Mapping[str, Any]) -> None:
    """Print where a scope stands."""
    click.echo(_standing(facts))
    for key, hold in facts["holds"].items():
        who = hold["actor"] if key == "person" else key
        ends = f", until {hold['until']}" if hold["until"] else ""
        locked = f", nobody lifts it before {hold['locked_until']}" if hold["locked_until"] else ""
        people = ", two people must resume" if hold["people"] > 1 else ""
        click.echo(
            f"  {hold['state']} since {hold['since']} by {who}: {hold['reason']}{ends}{locked}{people}"
        )
    pending = facts["pending"]
    if pending:
        click.echo(f"  {pending['actor']} asked to resume at {pending['at']}: a second person must agree")
    if "effective_state" not in facts:
        return
    if facts["effective_state"] != facts["state"]:
        click.echo(f"what holds there is {facts['effective_state']}: something above it is stopped")
    for part, state in facts.get("parts", {}).items():
        if state != "ACTIVE":
            click.echo(f"  {part} {state}")
    if facts.get("unread"):
        click.echo(f"not shown, because it cannot be read now: {', '.join(facts['unread'])}")
    if facts.get("warning"):
        click.echo(f"nothing is stopped here that is held: {facts['warning']}")
    closing = facts["closing"]
    if closing and not facts["flat"] and facts["effective_state"] == "HALTED":
        click.echo(f"closing: {closing['status']}, commands sent: {closing['sent']}")
    if facts["flat"]:
        by = f", confirmed by {closing['confirmed_by']}" if closing["confirmed_at"] else ""
        since = (
            f" since {closing['flat_at']}" if closing["flat_at"] else ""
        )  # not where another part is closing
        click.echo(f"flat{since}: the fills prove it{by}")
    elif facts["open_positions"] is None:
        click.echo("what is open is unknown: the book cannot be read now")
    else:
        kept = facts["state"] == "HALTED" and not facts["flatten"]
        click.echo(f"{facts['open_positions']} positions open{', and nothing closes them' if kept else ''}")


def _standing(facts: Mapping[str, Any]) -> str:
    state, size = facts["state"], facts["size"]
    half = f" at {size} of the usual size" if state == "ACTIVE" and size != "1" else ""
    was = f" (was {facts['previous']})" if facts["previous"] != state else ""
    return f"{facts['scope']} is {state}{half}{was}, epoch {facts['epoch']}"


def _new_id(action: str) -> str:
    return f"cli-{action}-{secrets.token_hex(8)}"


def _now() -> datetime:
    from stopline.adapters.clock import SystemClock

    return SystemClock().now().astimezone(UTC).replace(microsecond=0)


def _moment(text: str) -> datetime:
    try:
        return parse_utc(text)
    except ValueError as problem:
        raise BadInput(f"--until {problem}") from None
