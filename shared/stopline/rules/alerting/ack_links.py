"""Links that acknowledge an alert: signed, expiring, for one message to one address."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

from stopline.model.errors import Rejected

VALID_FOR = timedelta(hours=24)
PATH = "/v1/ack"
_TOKEN = re.compile(r"([A-Za-z0-9._:#@+=~-]{1,128})\.([0-9a-f]{16})\.([0-9a-f]{8})\.([A-Za-z0-9_-]{22})")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a link is for: the message's id, and the mark of the address that it was sent to."""

    notice_id: str
    mark: str


@dataclass(frozen=True, slots=True)
class AckLinks:
    """Makes and reads links. `base_url` is where the function `api` is reached; `secret` signs."""

    base_url: str
    secret: str = field(repr=False)

    def url(self, notice_id: str, mark: str, now: datetime) -> str:
        """Return the link for a message to an address, good for 24 hours."""
        body = f"{notice_id}.{mark}.{int((now + VALID_FOR).timestamp()):08x}"
        return f"{self.base_url}{PATH}?t={quote(f'{body}.{self._sign(body)}', safe='')}"

    def read(self, token: str, now: datetime) -> Taken:
        """Return what a token is for. Raises Rejected BAD_LINK or LINK_EXPIRED."""
        match = _TOKEN.fullmatch(token)
        if match is None or not hmac.compare_digest(self._sign(token.rpartition(".")[0]), match[4]):
            raise Rejected("BAD_LINK", "the link is not one of ours, or it was cut")
        if now.timestamp() > int(match[3], 16):
            raise Rejected("LINK_EXPIRED", "the link has expired")
        return Taken(match[1], match[2])

    def _sign(self, body: str) -> str:
        """Return 132 bits of HMAC-SHA-256."""
        signed = hmac.new(
            self.secret.encode(), b"stopline.ack.v1\x1f" + body.encode(), hashlib.sha256
        ).digest()
        return base64.urlsafe_b64encode(signed).decode()[:22]
