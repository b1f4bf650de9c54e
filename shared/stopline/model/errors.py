"""The error tree is the retry policy.

    StoplineError
    ├── Rejected    can never succeed: quarantine with the reason, alert, acknowledge
    ├── Transient   a later try may succeed: do not acknowledge, Pub/Sub delivers again
    │   ├── Contended   other writers kept winning for all our tries
    │   ├── Conflict    another writer won, or the store said so (`ports`)
    │   └── Unreadable  stored state of a later version, or damaged: no message is to blame for it
    └── InsufficientData   a measure has no answer: the caller shows UNKNOWN with the reason, never 0

Everything else that is raised is unknown, is not acknowledged, and ends in the dead letter after its tries.
Never classify by ValueError: the Firestore client raises it for outages.
"""


class StoplineError(Exception):
    """Root of everything that Stopline raises on purpose."""


class Rejected(StoplineError):
    """The input can never succeed, however often it is tried.

    `reason` is a stable code (`BAD_DECIMAL`, `UNKNOWN_ACCOUNT`, ...); `detail` is one line for a person that
    says what was wrong and where.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Transient(StoplineError):
    """A dependency may recover: do not acknowledge."""


class Contended(Transient):
    """Other writers won every one of our tries on a document."""


class Unreadable(Transient):
    """A stored state that this version cannot read. Another version may be able to: the message that needs it waits."""


class InsufficientData(StoplineError):
    """A risk measure has no answer for these data: too few of them, or nothing to divide by.

    The text says which measure and what it needs. A caller tells UNKNOWN with this reason: never zero, never OK.
    """
