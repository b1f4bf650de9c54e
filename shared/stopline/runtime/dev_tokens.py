"""Tokens of a Stopline on this machine: signed with a key that `stopline up` makes and forgets, and they expire.

Production has no such key, and settings refuse one where no emulator is (see settings): a token from a laptop opens
nothing there.
"""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from stopline.model.ids import Id
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, decode_object, validate
from stopline.runtime.auth import Principal, Right, Unauthenticated

PREFIX = "dev."
LONGEST = timedelta(hours=24)


class Claims(Message):
    """What a token says of its bearer."""

    name: Id
    rights: tuple[Right, ...]
    accounts: tuple[str, ...] = ()
    expires_at: UtcText


def issue(key: str, principal: Principal, now: datetime, lasts: timedelta) -> str:
    """Return a token for a principal."""
    facts = principal.model_dump(mode="json", include={"name", "rights", "accounts"})
    body = canonical({**facts, "expires_at": utc_text(now + min(lasts, LONGEST))})
    return f"{PREFIX}{_text(body)}.{_text(_mac(key, body))}"


def read(key: str, token: str, now: datetime) -> Principal:
    """Return whom a token is for. Raises Unauthenticated for one that is forged, damaged or over."""
    body, _, mac = token.removeprefix(PREFIX).partition(".")
    try:
        raw = _bytes(body)
        genuine = hmac.compare_digest(_mac(key, raw), _bytes(mac))
    except ValueError:
        genuine = False
    if not genuine:
        raise Unauthenticated("the development token is not valid here")
    claims = validate(Claims, decode_object(raw))
    if now >= claims.expires_at:
        raise Unauthenticated("the development token has expired: make one with `stopline token`")
    return Principal(name=claims.name, rights=claims.rights, accounts=claims.accounts)


def _mac(key: str, body: bytes) -> bytes:
    return hmac.digest(key.encode(), body, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
