"""Free text from outside: capped, printable, and harmless wherever it is shown."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(value: Any) -> str:
    """Accept one line of up to 500 printable characters; control characters and lone surrogates raise
    ValueError.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be text, was {type(value).__name__}")  # noqa: TRY004 - pydantic's
    if len(value) > 500:
        raise ValueError(f"must be at most 500 characters, was {len(value)}")
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, in whole characters, that has at most so many bytes."""
    return text.encode()[:most].decode(errors="ignore")


Text = Annotated[str, BeforeValidator(clean_text)]
