"""Logs as JSON lines that Cloud Logging reads, with every secret taken out."""

import json
import logging
import re
import sys
from typing import Any, TextIO

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRETS = re.compile(
    r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|(/api/webhooks/[0-9]+/)[A-Za-z0-9_-]+"
    r"|((?:password|passwd|secret|token|api[_-]?key|auth[_-]?token)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+"
)


def redact(text: str) -> str:
    """Return text with bearer tokens, webhook tokens and `secret=...` values replaced by [redacted]."""
    return _SECRETS.sub(lambda m: (m[1] or m[2] or m[3] or "") + "[redacted]", text)


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
        return redact(json.dumps(entry, default=str, ensure_ascii=True))


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Own the root logger. Not basicConfig: the framework may have put a handler there that swallows INFO."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("stopline").disabled = False
