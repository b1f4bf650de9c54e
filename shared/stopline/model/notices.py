"""What the function `alerts` tells itself: a notice to deliver, and the wish to look after an account's alerts."""

from typing import Annotated, Final, Literal

from pydantic import Field

from stopline.model.ids import Id, Name
from stopline.model.messages import Alert, Severity
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

Ring = Literal["usual", "quiet", "phone"]
"""As the routes say; without SMS and calls; or by these alone."""

NOTICE_TYPE: Final = "stopline.notice.v1"
CHECK_TYPE: Final = "stopline.alert_check.v1"


class Part(Message):
    """What routes look at in an alert that comes in a message with others."""

    severity: Severity
    kind: Name


class Notice(Message):
    """One alert that people are told of now, or several in one.

    `stage` 0 goes to those whom the routes name, 1 and more to the next person. `lines` are the single alerts of a
    digest, the worst first, `total` how many there are (0: as many as lines); `covers` their ids, `more` how many it counts
    without their ids. `parts`: what it tells of, for the routes; none: the alert alone. `leave_out`: the mark of an address
    that knows already.
    """

    type: Literal["stopline.notice.v1"] = NOTICE_TYPE
    alert: Alert
    incident: str = Field(default="", max_length=64)
    stage: Annotated[int, Field(ge=0, le=20)] = 0
    note: Text = ""
    lines: tuple[Text, ...] = Field(default=(), max_length=20)
    total: Annotated[int, Field(ge=0)] = 0
    covers: tuple[Id, ...] = Field(default=(), max_length=2000)
    more: Annotated[int, Field(ge=0)] = 0
    parts: tuple[Part, ...] = Field(default=(), max_length=2000)
    decided_at: UtcText | None = None
    ring: Ring = "usual"
    leave_out: str = Field(default="", max_length=64)


class AlertCheck(Message):
    """Look after the alerts of an account (None: the operator's) whose time has come."""

    type: Literal["stopline.alert_check.v1"] = CHECK_TYPE
    account: Name | None = None
