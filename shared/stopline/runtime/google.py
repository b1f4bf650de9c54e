"""The app over Google's services: clients are built lazily, once a process, after the server has forked."""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stopline.ports import Channel, Clock
from stopline.runtime import logs
from stopline.runtime.app import App
from stopline.runtime.auth import DevOf, EmailOf
from stopline.runtime.ports import Ports
from stopline.runtime.settings import Settings, read_settings, settings

if TYPE_CHECKING:
    from stopline.rules.alerting.ack_links import AckLinks
    from stopline.runtime.rotation import Rotating

KILL_STORE_S = 2.0  # for one call; then a kill takes the second path, and anything else is answered 503
KILL_BUS_S = 3.0  # the state is stored before: what is not published in time the sweep publishes
_lock = threading.Lock()


def app() -> App:
    """Return this process's app."""
    with _lock:
        return _app()


@cache
def _app() -> App:
    from stopline.adapters.beacon import HttpBeacon
    from stopline.adapters.firestore import FirestoreStore
    from stopline.adapters.pubsub import PubSubBus
    from stopline.adapters.threads import Threads

    chosen = settings()
    return App(
        Ports(
            store=FirestoreStore(project=chosen.project, database=chosen.database),
            bus=PubSubBus(project=chosen.project, prefix=chosen.prefix),
            clock=clock(chosen),
            operator=chosen.operator,
            operator_alerts=chosen.operator_alerts,
            broker_secrets={"kite": chosen.kite_secret} if chosen.kite_secret else {},
            resume_people=chosen.resume_people,
            links=ack_links(chosen),
            beacon=HttpBeacon(chosen.heartbeat_url) if chosen.heartbeat_url else None,
            subscriptions=f"projects/{chosen.project}/subscriptions/{chosen.prefix}",
            database=f"{chosen.project}/{chosen.database}",
            replayed=bool(chosen.clock_file),
            each=Threads(),
            looks=Threads(),
        )
    )


def ack_links(chosen: Settings) -> "AckLinks | None":
    """Return the maker of links to acknowledge; None where it is not set up."""
    from stopline.rules.alerting.ack_links import AckLinks

    return AckLinks(chosen.api_url, chosen.ack_secret) if chosen.api_url and chosen.ack_secret else None


@cache
def identity() -> EmailOf | None:
    """Return what reads Google's identity tokens; None where no audience is set, and none is taken."""
    chosen = settings()
    if not chosen.audience:
        return None
    from stopline.runtime.identity import GoogleIdentity

    return GoogleIdentity(chosen.audience, clock(chosen)).email


@cache
def developer() -> DevOf | None:
    """Return what reads development tokens; None but on emulators."""
    chosen = settings()
    if not chosen.dev_key:
        return None
    from stopline.runtime.dev_tokens import read

    return lambda token: read(chosen.dev_key, token, clock(chosen).now())


def clock(chosen: Settings) -> Clock:
    """Return the machine's clock, or the replay's where one is set."""
    from stopline.adapters.clock import ReplayClock, SystemClock

    return ReplayClock(Path(chosen.clock_file)) if chosen.clock_file else SystemClock()


@cache
def kill_app() -> App:
    """Return the app of the kill switch: it waits for nobody long, because a kill has a second path."""
    from stopline.adapters.firestore import FirestoreStore
    from stopline.adapters.pubsub import PubSubBus

    base, chosen = app(), settings()
    store = FirestoreStore(project=chosen.project, database=chosen.database, timeout_s=KILL_STORE_S)
    bus = PubSubBus(project=chosen.project, prefix=chosen.prefix, timeout_s=KILL_BUS_S)
    return App(replace(base.ports, store=store, bus=bus))


def alerts_app() -> App:
    """Return the app with its alert channels, for the function that delivers alerts: their secrets may rotate."""
    return _alerts_app().current(app().clock.now())


@cache
def _alerts_app() -> "Rotating[App]":
    from stopline.runtime.rotation import Rotating, Secrets

    base = app()

    def build(environment: Mapping[str, str]) -> App:
        chosen = read_settings(environment)
        logs.hide(chosen.secrets())
        return App(replace(base.ports, channels=channels(chosen)))

    return Rotating(Secrets(os.environ), build)


@cache
def history_app() -> App:
    """Return the app with BigQuery, for the function that keeps history."""
    from stopline.adapters.bigquery import BigQueryHistory

    base, chosen = app(), settings()
    history = BigQueryHistory(project=chosen.project, dataset=chosen.dataset)
    return App(replace(base.ports, history=history))


def channels(chosen: Settings) -> dict[str, Channel]:
    """Return the channels that are configured, each with an end to every send; one without settings is left out, and
    routing falls over.
    """
    from stopline.adapters.apprise import AppriseChannel
    from stopline.adapters.deadline import InTime
    from stopline.adapters.discord import DiscordChannel
    from stopline.adapters.email import EmailChannel
    from stopline.adapters.sms import SmsChannel, VoiceChannel
    from stopline.adapters.telegram import TelegramChannel

    result: dict[str, Channel] = {
        "discord": DiscordChannel(base_url=chosen.discord_url or None),
        "apprise": AppriseChannel(),
    }
    if chosen.twilio_sid and chosen.twilio_token and chosen.twilio_from:
        twilio = (chosen.twilio_sid, chosen.twilio_token, chosen.twilio_from)
        result["sms"] = SmsChannel(*twilio, base_url=chosen.twilio_url or None)
        if chosen.twilio_voice:
            result["voice"] = VoiceChannel(*twilio, base_url=chosen.twilio_url or None)
    if chosen.telegram_token:
        result["telegram"] = TelegramChannel(chosen.telegram_token, base_url=chosen.telegram_url or None)
    if chosen.smtp_host and chosen.smtp_from:
        result["email"] = EmailChannel(
            chosen.smtp_host,
            chosen.smtp_from,
            port=chosen.smtp_port,
            username=chosen.smtp_user,
            password=chosen.smtp_password,
            tls=mail_tls(chosen),
        )
    return {name: InTime(channel) for name, channel in result.items()}


def mail_tls(chosen: Settings) -> Literal["starttls", "implicit", "none"]:
    """Return how mail is encrypted: always, unless the settings say that it is not."""
    if not chosen.smtp_starttls:
        return "none"
    return "implicit" if chosen.smtp_port == 465 else "starttls"
