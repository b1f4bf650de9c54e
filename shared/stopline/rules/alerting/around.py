"""What a message to people carries beside its alert. A module of its own: every port knows it, few write texts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Around:
    """What a message carries beside its alert: how to acknowledge it, and the single alerts of a digest."""

    ack_url: str = ""
    lines: tuple[str, ...] = ()
    incident: str = ""


ALONE = Around()
