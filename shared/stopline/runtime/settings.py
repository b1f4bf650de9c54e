"""Settings from the environment: one place, checked once, secrets never shown."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from stopline.model.errors import Rejected
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import Message, decode_object, validate
from stopline.runtime import logs
from stopline.runtime.auth import Principal

_HTTPS = re.compile(
    r"https://(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?::[0-9]{2,5})?(?:/[A-Za-z0-9._~/-]{0,300})?"
)
M = TypeVar("M", bound=Message)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEPARATORS = re.compile(r"[/@:?&=]+")
_TOKEN = 16  # characters from which a part of an address is no word
NO_ACCOUNTS = (
    '%s: %s names no "accounts", and may do nothing by this setting: ["*"] is all of them and the whole, [] says that '
    "only grants count"
)

log = logging.getLogger("stopline")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a function needs to know of its environment. Fields with `repr=False` are secrets."""

    project: str
    database: str = "(default)"
    dataset: str = "stopline"
    prefix: str = ""  # of topics and subscriptions: one project can hold several environments
    log_level: str = "INFO"
    clock_file: str = ""  # a replay's clock; empty in production
    operator: Recipients = field(default_factory=Recipients, repr=False)
    operator_alerts: OperatorAlerts = field(default_factory=OperatorAlerts, repr=False)
    principals: Mapping[str, object] = field(default_factory=dict, repr=False)
    audience: str = ""  # of Google identity tokens; empty: none are taken
    dev_key: str = field(default="", repr=False)  # signs development tokens; only where emulators are
    resume_people: int = 2  # who must agree to resume the whole, and what a drawdown stopped
    twilio_sid: str = ""
    twilio_token: str = field(default="", repr=False)
    twilio_from: str = ""
    twilio_url: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_password: str = field(default="", repr=False)
    smtp_from: str = ""
    smtp_starttls: bool = True
    twilio_voice: bool = False  # call people where an SMS fails or a route says so
    discord_url: str = ""
    telegram_token: str = field(default="", repr=False)
    telegram_url: str = ""
    api_url: str = ""  # where the function `api` is reached from outside: in links to acknowledge
    ack_secret: str = field(default="", repr=False)  # signs those links
    heartbeat_url: str = field(default="", repr=False)  # pinged by each sweep: whoever watches it misses us
    kite_secret: str = field(default="", repr=False)  # what Zerodha signs postbacks with

    def secrets(self) -> frozenset[str]:
        """Return what no line of a log may show: the secrets themselves, and of secret addresses also their long parts."""
        people = (self.operator, *(person.recipients for person in self.operator_alerts.people))
        addresses = [self.heartbeat_url, *(url for one in people for url in (*one.discord, *one.apprise))]
        parts = [part for address in addresses for part in _parts(address)]
        keys = (self.dev_key, self.ack_secret, self.kite_secret, self.twilio_token, self.telegram_token)
        hashes = (key for key in self.principals if "@" not in key)
        return frozenset({*keys, self.smtp_password, *hashes, *addresses, *parts} - {""})


def _parts(address: str) -> list[str]:
    """Return what may be a token in an address; an https one has none in its host."""
    scheme, _, rest = address.partition("://")
    path = rest.partition("/")[2] if scheme == "https" else rest
    return [part for part in _SEPARATORS.split(path) if len(part) >= _TOKEN]


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read settings from variables; a missing or malformed one raises Rejected BAD_SETTING that names it."""
    get = environment.get
    project = get("GOOGLE_CLOUD_PROJECT", "")
    if not project:
        raise Rejected(
            "BAD_SETTING", "GOOGLE_CLOUD_PROJECT is not set: it names the project of Firestore and Pub/Sub"
        )
    return Settings(
        project=project,
        database=get("STOPLINE_DATABASE") or "(default)",
        dataset=get("STOPLINE_DATASET", "stopline"),
        prefix=get("STOPLINE_PREFIX", ""),
        log_level=_level("STOPLINE_LOG_LEVEL", get("STOPLINE_LOG_LEVEL") or "INFO"),
        clock_file=get("STOPLINE_CLOCK_FILE", ""),
        operator=_document("STOPLINE_OPERATOR", get("STOPLINE_OPERATOR", ""), Recipients),
        operator_alerts=_document(
            "STOPLINE_OPERATOR_ALERTS", get("STOPLINE_OPERATOR_ALERTS", ""), OperatorAlerts
        ),
        principals=_principals("STOPLINE_PRINCIPALS", get("STOPLINE_PRINCIPALS", "")),
        audience=get("STOPLINE_AUDIENCE", ""),
        dev_key=_dev_key("STOPLINE_DEV_KEY", environment),
        resume_people=_people("STOPLINE_RESUME_PEOPLE", get("STOPLINE_RESUME_PEOPLE") or "2"),
        twilio_sid=get("TWILIO_ACCOUNT_SID", ""),
        twilio_token=get("TWILIO_AUTH_TOKEN", ""),
        twilio_from=get("TWILIO_FROM", ""),
        twilio_url=get("STOPLINE_TWILIO_URL", ""),
        smtp_host=get("SMTP_HOST", ""),
        smtp_port=_port("SMTP_PORT", get("SMTP_PORT") or "587"),
        smtp_user=get("SMTP_USER", ""),
        smtp_password=get("SMTP_PASSWORD", ""),
        smtp_from=get("SMTP_FROM", ""),
        smtp_starttls=get("SMTP_STARTTLS", "1") != "0",
        twilio_voice=get("TWILIO_VOICE", "0") == "1",
        discord_url=get("STOPLINE_DISCORD_URL", ""),
        telegram_token=get("TELEGRAM_TOKEN", ""),
        telegram_url=get("STOPLINE_TELEGRAM_URL", ""),
        api_url=_https("STOPLINE_API_URL", get("STOPLINE_API_URL", "")),
        ack_secret=_secret("STOPLINE_ACK_SECRET", get("STOPLINE_ACK_SECRET", "")),
        heartbeat_url=_https("STOPLINE_HEARTBEAT_URL", get("STOPLINE_HEARTBEAT_URL", "")),
        kite_secret=get("STOPLINE_KITE_SECRET", ""),
    )


@cache
def settings() -> Settings:
    """Return this process's settings. Whoever asks has its logs set up by them; while they are refused, as by default."""
    logs.configure()
    chosen = read_settings(os.environ)
    logs.configure(chosen.log_level, secrets=chosen.secrets())
    return chosen


def _port(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65_536:
        raise Rejected("BAD_SETTING", f"{name} must be a port, a number from 1 to 65535")
    return int(text)


def _people(name: str, text: str) -> int:
    if text not in ("1", "2"):
        raise Rejected("BAD_SETTING", f"{name} must be 1 or 2")
    return int(text)


def _https(name: str, text: str) -> str:
    """An https address of a named host: no user, no query, no address by number."""
    if text and not _HTTPS.fullmatch(text):
        raise Rejected(
            "BAD_SETTING", f"{name} must be an https address such as https://stopline.example.com/path"
        )
    return text.rstrip("/")


def _secret(name: str, text: str) -> str:
    if text and len(text) < 32:
        raise Rejected("BAD_SETTING", f"{name} must have 32 characters or more")
    return text


def _dev_key(name: str, environment: Mapping[str, str]) -> str:
    key = _secret(name, environment.get(name, ""))
    if key and not environment.get("FIRESTORE_EMULATOR_HOST"):
        raise Rejected(
            "BAD_SETTING", f"{name} is for a Stopline on emulators: production takes no development tokens"
        )
    return key


def _level(name: str, text: str) -> str:
    levels = logging.getLevelNamesMapping()
    if text not in levels:
        raise Rejected("BAD_SETTING", f"{name} must be one of {', '.join(levels)}")
    return text


def _document(name: str, text: str, kind: type[M]) -> M:
    """Read a variable that holds JSON; empty: all defaults."""
    try:
        return validate(kind, decode_object(text.encode()) if text else {})
    except Rejected as refused:
        raise Rejected("BAD_SETTING", f"{name}: {refused.detail}") from None


def _principals(name: str, text: str) -> Mapping[str, object]:
    """`{"<sha256 of the token, hex>": {"name": ..., "rights": [...], "accounts": [...]}}`; see auth."""
    if not text:
        return {}
    try:
        value = decode_object(text.encode())
        if not all(_SHA256.fullmatch(key) or ("@" in key and key == key.lower()) for key in value):
            raise Rejected(
                "BAD_SETTING",
                "every key must be the SHA-256 of a token, in 64 lower-case hex digits, or a lower-case e-mail address",
            )
        found = {key: validate(Principal, principal) for key, principal in value.items()}
    except Rejected as refused:
        raise Rejected("BAD_SETTING", f"{name}: {refused.detail}") from None
    _check_names(name, found)
    for principal in found.values():
        if "accounts" not in principal.model_fields_set:
            log.warning(NO_ACCOUNTS, name, principal.name)
    return found


def _check_names(name: str, found: Mapping[str, Principal]) -> None:
    """Refuse one name of two persons. A token without a person counts as whoever else has its name."""
    persons: dict[str, str] = {}
    for key, principal in found.items():
        person = (principal.person or (key if "@" in key else "")).casefold()
        if person and persons.setdefault(principal.name.casefold(), person) != person:
            raise Rejected(
                "BAD_SETTING",
                f"{name}: the name {principal.name} is of two persons: the audit trail could not tell them apart, nor "
                'could what takes two people; give each a name, or say "person" where it is one',
            )
