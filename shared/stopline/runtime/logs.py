"""Logs as JSON lines that Cloud Logging reads, with every secret taken out."""

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_NAME = r"(?:password|passwd|secret|token|api[_-]?key)"
_QUOTE = r"[\\\"']*+"  # also as it stands in JSON inside JSON
_SECRETS = re.compile(
    r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|(authorization\W{1,8}basic\s+)[A-Za-z0-9._~+/=-]+"
    r"|(/api/webhooks/[0-9]+/)[A-Za-z0-9_-]+"
    rf"|({_NAME}{_QUOTE}\s*[=:]\s*{_QUOTE})(?:[^\s\"',;&\\]|\\++[^\s\"'\\])+"
    r"|(://[^\s/:@\"']{0,64}:)[^\s/@\"']+(?=@)"
)
_SECRET_FIELD = re.compile(rf"(?i){_NAME}$")


def redact(text: str) -> str:
    """Return text with bearer tokens, webhook tokens, passwords in URLs and `secret=...` values replaced by
    [redacted].
    """
    return _SECRETS.sub(lambda m: f"{next(filter(None, m.groups()))}[redacted]", text)


def _clean(value: Any) -> Any:
    """Return plain data with every secret taken out, also those in fields that are called so."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            redact(str(key)): "[redacted]" if _SECRET_FIELD.search(str(key)) else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return redact(str(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: severity, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(_clean(entry), ensure_ascii=True)


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Own the root logger. Not basicConfig: the framework may have put a handler there that swallows INFO."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("stopline").disabled = False
