"""Trading states that were lost since the last round of the sweep: found by what its heartbeat has noted, and stopped."""

import logging
from dataclasses import dataclass

from stopline.model.control import GLOBAL
from stopline.model.scopes import scope_account
from stopline.ports import Data, Document, Store
from stopline.service.sweep.chain_ends import ends_of, ends_text, not_gone_on, put_back
from stopline.service.sweep.epochs import epochs_of, epochs_text, went_back
from stopline.service.trading.control_documents import marks
from stopline.service.trading.set_back import SetBack

log = logging.getLogger("stopline")


@dataclass(slots=True)
class Noted:
    """What is known of all control documents, by scope: their highest epochs, and the ends of their audit trails."""

    epochs: dict[str, int]
    ends: dict[str, str]

    @property
    def fields(self) -> Data:
        """The fields of the heartbeat."""
        return {"epochs": epochs_text(self.epochs, {}), "chain_ends": ends_text(self.ends)}


def noted_of(beat: Document | None) -> Noted:
    """Return what a heartbeat says."""
    return Noted(dict(epochs_of(beat)), ends_of(beat))


class LostStates:
    """Takes up what was lost."""

    def __init__(self, store: Store, set_back: SetBack | None) -> None:
        self._store = store
        self._set_back = set_back

    def take_up(self, noted: Noted) -> dict[str, str]:
        """Stop what has lost its trading state, before anything in the round can change one: a new document soon has the
        epoch that the lost one had. What an earlier round took up that noted nothing is left alone. Return what could not
        be, by account. Raises Unavailable.
        """
        epochs, ends = marks(self._store)
        failed: dict[str, str] = {}
        for scope in sorted({*self._lost(noted, epochs, ends), *self._put_back(ends)}):
            try:
                if self._set_back:
                    self._set_back.take_up(scope, noted.epochs.get(scope, epochs.get(scope, 0)))
                noted.ends.pop(scope, None)  # it begins anew where the trail was lost too
            except Exception as problem:
                log.exception("sweep: a lost trading state cannot be taken up", extra={"scope": scope})
                failed[scope_account(scope) or GLOBAL] = f"{type(problem).__name__}: {problem}"
        return failed

    def note(self, noted: Noted) -> None:
        """Note where the documents are at the end of a round, but for what was lost meanwhile: the next round finds it.
        Raises Unavailable.
        """
        epochs, ends = marks(self._store)
        lost = set(self._lost(noted, epochs, ends))
        noted.epochs |= {s: max(epoch, noted.epochs.get(s, 0)) for s, epoch in epochs.items()}
        noted.ends |= {scope: end for scope, end in ends.items() if scope not in lost}

    def _lost(self, noted: Noted, epochs: dict[str, int], ends: dict[str, str]) -> list[str]:
        return sorted({*went_back(noted.epochs, epochs), *not_gone_on(self._store, noted.ends, ends)})

    def _put_back(self, ends: dict[str, str]) -> list[str]:
        """Return what was put back to where the last round saw it: that noted nothing of what came since."""
        found = put_back(self._store, ends)
        now = marks(self._store)[1] if found else {}
        return [scope for scope in found if now.get(scope) == ends[scope]]
