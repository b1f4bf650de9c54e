"""A control document that a hand outside Stopline deleted, or put back as it was: its audit trail goes on where the document
does not know, so that nothing could ever be stopped again.
"""

import logging

import orjson

from stopline.model.control import Control
from stopline.ports import Store, Where
from stopline.rules.trading.state import AHEAD
from stopline.service.audit.chain import COLLECTION, row_path
from stopline.service.documents.aggregate import Aggregates, Change

log = logging.getLogger("stopline")


def regrow(store: Store, documents: Aggregates[Control], scope: str) -> bool:
    """Give a control document the end of its chain again, under an epoch above all of before, where the audit trail has rows
    that it does not know; tell whether that was so. What it had held is not known any more: whoever stops it now stops it.
    """
    known = documents.read(scope)
    seq = known.chain_seq if known else 0
    is_ahead = store.get(row_path(scope, seq + 1)) is not None
    if not is_ahead or documents.read(scope) != known:
        return False
    rows = [orjson.loads(d.data["row"]) for d in store.query(COLLECTION, [Where("chain", "==", scope)])]
    last = max(rows, key=lambda row: int(row["seq"]))
    epoch = max(int(row["epoch"]) for row in rows) + AHEAD

    def decide(control: Control | None, attempt: int) -> Change[Control] | None:
        if control != known:
            return None
        before = control or Control(scope=scope)
        head = {"chain_seq": int(last["seq"]), "chain_hash": last["hash"], "epoch": epoch}
        return Change(before.model_copy(update=head))

    documents.change(scope, decide)
    log.error("a control had lost its place in the audit trail", extra={"scope": scope, "row": last["seq"]})
    return True
