"""What the sweep remembers of what it has told, in a document of its own whose outbox carries the alerts."""

from collections.abc import Sequence
from datetime import datetime

from stopline.model.messages import Effect
from stopline.ports import AlreadyExists, Conflict, Create, Data, Document, Path, Store, Update
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields


def store_and_tell(
    store: Store,
    relay: Relay,
    path: Path,
    before: Document | None,
    data: Data,
    effects: Sequence[Effect],
    now: datetime,
) -> None:
    """Write a document over what was read of it (`before`), and publish its effects with what was still due. Where another
    sweep was faster nothing is written or told. Raises Unavailable, or Unpublished: it stands, and is told later.
    """
    due = (*relay.unpublished(decode_outbox(before.data)), *effects) if before else effects
    data = {**data, **outbox_fields(due, now)}
    try:
        store.commit([Update(path, data, before.version) if before else Create(path, data)])
    except (AlreadyExists, Conflict):
        return
    relay.publish(due)
