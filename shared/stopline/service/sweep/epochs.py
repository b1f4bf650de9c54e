"""The epochs of trading states as the last round of the sweep saw them: one that went back has lost what stopped it."""

import logging
from collections.abc import Mapping

import orjson

from stopline.model.scopes import has_document
from stopline.ports import Document
from stopline.service.documents.aggregate import DAMAGED

log = logging.getLogger("stopline")
Epochs = Mapping[str, int]
"""By the scope of a control document; one at 0 was never set, and is not there."""


def epochs_of(beat: Document | None) -> Epochs:
    """Return what a heartbeat says of documents that can be; nothing where nobody can read it."""
    try:
        noted = orjson.loads(beat.data.get("epochs") or "{}") if beat else {}
        return {scope: int(epoch) for scope, epoch in noted.items() if has_document(scope)}
    except DAMAGED:
        log.exception("heartbeat: the epochs cannot be read")
        return {}


def went_back(known: Epochs, now: Epochs) -> list[str]:
    """Return the scopes whose epoch is below the one that was seen before, or that are gone."""
    return [scope for scope in known if now.get(scope, 0) < known[scope]]


def epochs_text(known: Epochs, now: Epochs) -> str:
    """Write the highest ones as the heartbeat's field."""
    scopes = sorted(known.keys() | now.keys())
    highest = {scope: max(known.get(scope, 0), now.get(scope, 0)) for scope in scopes}
    return orjson.dumps({scope: epoch for scope, epoch in highest.items() if epoch}).decode()
