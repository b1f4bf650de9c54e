"""Logs as JSON lines that Cloud Logging reads, with every secret taken out: those that the settings hold wherever they
stand, others by the words around them.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO
from urllib.parse import quote

from stopline.model.settings.recipients import APPRISE_SCHEMES

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_NAME = r"(?:password|passwd|secret|token|api[_-]?key)"
_QUOTE = r"[\\\"']*+"  # also as it stands in JSON inside JSON
_SECRETS = re.compile(
    r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|(authorization\W{1,8}basic\s+)[A-Za-z0-9._~+/=-]+"
    r"|(/api/webhooks/[0-9]+/)[A-Za-z0-9_-]+"
    r"|(/bot[0-9]{5,20}:)[A-Za-z0-9_-]+"
    rf"|((?:{'|'.join(APPRISE_SCHEMES)})://)[A-Za-z0-9@:/_.~%+-]+"
    rf"|({_NAME}{_QUOTE}\s*[=:]\s*{_QUOTE})(?:[^\s\"',;&\\]|\\++[^\s\"'\\])+"
    r"|(://[^\s/:@\"']{0,64}:)[^\s/@\"']+(?=@)"
)
_SECRET_FIELD = re.compile(rf"(?i){_NAME}$")
_SHORTEST = 8  # characters: what is shorter is maybe also a word, and a gap in its place would tell it


def redact(text: str) -> str:
    """Return text with bearer tokens, webhook tokens, bots' tokens, Apprise URLs, passwords in URLs and `secret=...` values
    replaced by [redacted].
    """
    return _SECRETS.sub(lambda m: f"{next(filter(None, m.groups()))}[redacted]", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: severity, message, and the record's extra fields, without any of the `secrets`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Take these out as well, from now on: as they are, and as addresses, JSON and Python write them."""
        self._secrets |= {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(self._clean(entry), ensure_ascii=True)

    def _clean(self, value: Any) -> Any:
        """Return plain data with every secret taken out, also those in fields that are called so."""
        if isinstance(value, str):
            return self._redacted(value)
        if isinstance(value, Mapping):
            return {
                self._redacted(str(key)): "[redacted]"
                if _SECRET_FIELD.search(str(key))
                else self._clean(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        if (
            value is None
            or isinstance(value, bool | int)
            or (isinstance(value, float) and math.isfinite(value))
        ):
            return value
        return self._redacted(str(value))

    def _redacted(self, text: str) -> str:
        return redact(self._pattern.sub("[redacted]", text) if self._pattern else text)


def _forms(secret: str) -> set[str]:
    quoted = secret.replace("\\", "\\\\").replace("'", "\\'")  # where a double quote is near, too
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], quoted}


def configure(level: str = "INFO", stream: TextIO | None = None, secrets: Iterable[str] = ()) -> None:
    """Own the root logger. Not basicConfig: the framework may have put a handler there that swallows INFO."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("stopline").disabled = False


def hide(secrets: Iterable[str]) -> None:
    """Take these out of this process's logs as well: secrets that were not known when they were configured."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.formatter.hide(secrets)
