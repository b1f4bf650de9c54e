"""What a message to people carries beside its alert. A module of its own: every port knows it, few write texts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Around:
    """What a message carries beside its alert: how to acknowledge it, and the single alerts of a digest, of which there are
    `total` (0: as many as lines).
    """

    ack_url: str = ""
    lines: tuple[str, ...] = ()
    incident: str = ""
    total: int = 0

    @property
    def count(self) -> int:
        """How many alerts it tells by lines, those without a line too."""
        return max(self.total, len(self.lines))

    @property
    def unnamed(self) -> int:
        """How many have no line."""
        return self.count - len(self.lines) if self.lines else 0


ALONE = Around()
