"""What each Pub/Sub function does with one delivery: decode it, call its use case, quarantine what is
refused.

A return is an acknowledgement. Transient and unknown errors pass through: the delivery is not acknowledged.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from stopline.brokers import decode, parse, read_statement
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.messages import (
    CONTROL_TYPE,
    REPORT_TYPE,
    Alert,
    ControlMessage,
    ExecutionReport,
    History,
    Severity,
    Sweep,
)
from stopline.model.notices import CHECK_TYPE, NOTICE_TYPE, AlertCheck, Notice
from stopline.model.wire import canonical, decode_object, validate
from stopline.rules.watching.deliveries import behind, given_up
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.service.documents.outbox import typed
from stopline.service.fills.quarantine import Refusal

log = logging.getLogger("stopline")
Counts = Mapping[str, int]
Handler = Callable[[App, Envelope], Counts]

CRITICAL_REASONS = {
    "CONFLICTING_DUPLICATE",
    "UNKNOWN_ACCOUNT",
    "CONTRACT_CHANGED",
    "ALREADY_SPLIT",
    "SETTLED_TWICE",
    "UNPLACED_ROW",
    "TOO_OLD",
    "OFF_STEP",
    "BOOK_FULL",
    "NOT_YET_FOLDED",
}
ALSO_CRITICAL = {
    ("fills", "IN_THE_FUTURE")
}  # the position lacks it; of prices and statements newer ones come
BY_THE_CLOCK = {"fills", "prices", "sweeps"}  # what they decide needs a clock that is right


def receive(app: App, source: str, envelope: Envelope) -> None:
    """Handle one delivery for a function; log one line about it."""
    counts = handle(app, source, envelope)
    log.info(
        "handled",
        extra={"source": source, "message_id": envelope.message_id, "attempt": envelope.attempt, **counts},
    )


def handle(app: App, source: str, envelope: Envelope) -> Counts:
    """Handle one delivery for a function, or keep it as refused. Raises Transient: do not acknowledge it."""
    try:
        if source in BY_THE_CLOCK and not app.ports.replayed:
            _demand_the_time(app, source, envelope)
        return HANDLERS[source](app, envelope)
    except Rejected as refused:
        quarantine(app, source, envelope, refused)
        return {"quarantined": 1}


def _demand_the_time(app: App, source: str, envelope: Envelope) -> None:
    """Raise Transient, and tell it, where the clock here is behind: but for a kill that waits to be stored, which no clock
    may hold up. Raises Rejected where it cannot be told what a message is.
    """
    skewed = behind(source, envelope.published_at, app.clock.now())
    if skewed is None or (source == "sweeps" and _is_kill(envelope.data)):
        return
    app.ports.bus.publish([typed("alerts", skewed)])
    raise Transient(skewed.summary)


def _is_kill(data: bytes) -> bool:
    return CONTROL_TYPE.encode() in data and decode_object(data).get("type") == CONTROL_TYPE


def quarantine(app: App, source: str, envelope: Envelope, refused: Rejected) -> None:
    """Keep a refused message, and tell the operator."""
    _keep(app, source, envelope, [Refusal(envelope.data, refused)])


def _keep(app: App, source: str, envelope: Envelope, items: Sequence[Refusal]) -> None:
    """Keep refused items of a message, and tell the operator."""
    refusals = [
        one._replace(severity=Severity.CRITICAL)
        if one.why.reason in CRITICAL_REASONS or (source, one.why.reason) in ALSO_CRITICAL
        else one
        for one in items
    ]
    app.quarantine.keep_all(source, envelope.message_id, refusals, envelope.attributes)


def on_fills(app: App, envelope: Envelope) -> Counts:
    """Book the fills of one message, or take what a broker says about a command or of what it holds."""
    if REPORT_TYPE.encode() in envelope.data:
        value = decode_object(envelope.data)
        if value.get("type") == REPORT_TYPE:
            report = validate(ExecutionReport, value)
            known = _reported(app, report)
            return {"reports": 1, "unknown": 0 if known else 1}
    value = decode(envelope.data, envelope.attributes)
    items = parse(value, envelope.attributes, app.ports.broker_secrets)
    statement = read_statement(value, envelope.attributes)
    fills = [item.fill for item in items if item.fill is not None]
    outcomes = iter(app.recorder.record(fills, envelope.message_id) if fills else [])
    counts = {"applied": 0, "duplicate": 0, "quarantined": 0}
    kept: list[Refusal] = []
    for index, item in enumerate(items):
        outcome = next(outcomes) if item.fill is not None else None
        refused = item.refused if outcome is None else outcome.refused
        if refused is not None:
            read = item.fill.text if item.fill is not None else ""
            kept.append(Refusal(canonical(item.raw), refused, index, fill=read))
            counts["quarantined"] += 1
        elif outcome is not None:
            counts[outcome.result.value] += 1
    _keep(app, "fills", envelope, kept)
    if statement is not None:  # after the fills that came with it
        counts["statements"] = int(app.statement_recorder.record(statement))
    return counts


def _reported(app: App, report: ExecutionReport) -> bool:
    """Take what a broker says about a command of the closings, or a cancel of a stop; False: neither is known."""
    try:
        if app.closer.report(report):
            return True
    except Unreadable:  # of damaged closings: a cancel that is refused is heard all the same
        if app.cancel_watcher.report(report):
            return True
        raise
    return app.cancel_watcher.report(report)


def on_prices(app: App, envelope: Envelope) -> Counts:
    """Take one price batch."""
    from stopline.model.prices import parse_price_batch

    batch = parse_price_batch(decode_object(envelope.data))
    refused = app.marker.mark(batch)
    app.sweep.watchdog.watch_sweep()
    if refused:
        text = "; ".join(f"{symbol}: {reason}" for symbol, reason in refused[:10])
        reason = Rejected("BAD_PRICES", f"{len(refused)} prices of {batch.source} were not used: {text}")
        quarantine(app, "prices", envelope, reason)
    try:
        app.closer.advance_due()
    except Transient:  # the prices are taken; the sweep goes on with closings too
        log.warning("closings that are due could not be advanced", exc_info=True)
    return {"prices": len(batch.quotes), "refused": len(refused)}


def on_sweep(app: App, envelope: Envelope) -> Counts:
    """Run one sweep, for the minute in which it was published; or store a kill that could not be stored at once, and carry
    it through.
    """
    value = decode_object(envelope.data)
    if value.get("type") == CONTROL_TYPE:
        from stopline.service.trading.emergency_halt import persist_halt

        message, at = validate(ControlMessage, value), envelope.published_at or app.clock.now()
        app.halts.advance(persist_halt(app.trading, message, envelope.attributes, at))
        return {"controls": 1}
    sweep = validate(Sweep, value)
    published: datetime = envelope.published_at or app.clock.now()
    app.sweeper.run(sweep, published.replace(second=0, microsecond=0), envelope.message_id)
    return {"swept": 1}


def on_alert(app: App, envelope: Envelope) -> Counts:
    """Take one alert in, deliver one notice, look after an account's alerts, or tell of a dead letter."""
    dead = given_up(envelope.attributes, app.ports.subscriptions.rpartition("/")[2], app.clock.now())
    body = decode_object(envelope.data) if dead is None else {}
    with app.dispatcher.one_request():
        if dead is not None:
            app.alert_desk.receive(dead)
        elif body.get("type") == NOTICE_TYPE:
            app.dispatcher.deliver(validate(Notice, body))
        elif body.get("type") == CHECK_TYPE:
            app.alert_desk.check(validate(AlertCheck, body).account)
        else:
            app.alert_desk.receive(validate(Alert, body))
    return {"alerts": 1}


def on_history(app: App, envelope: Envelope) -> Counts:
    """Append one message's rows to BigQuery."""
    message = validate(History, decode_object(envelope.data))
    app.history_keeper.keep(message, envelope.message_id)
    return {"rows": len(message.rows)}


HANDLERS: Mapping[str, Handler] = {
    "fills": on_fills,
    "prices": on_prices,
    "sweeps": on_sweep,
    "alerts": on_alert,
    "history": on_history,
}
