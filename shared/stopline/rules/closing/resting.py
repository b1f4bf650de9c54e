"""What rests at a broker against a position that is to be closed: whether it is cancelled first. A resting stop that fills
as well would turn the position round.
"""

from collections.abc import Sequence
from decimal import Decimal

from stopline.ledger.position import Position
from stopline.rules.closing import alerts
from stopline.rules.closing.order import Situation
from stopline.rules.closing.targets import Wanted
from stopline.rules.closing.told import Told


def is_cancelled_first(some: Sequence[Wanted], s: Situation, told: Told, *, is_out: bool) -> bool:
    """Tell whether what works against a position is cancelled before parts of it, `some`, go for requests; note that it is,
    and tell people where they lose a stop by it. `is_out`: commands of ours work there, which end with it.

    Once a request where all of it goes. Where only a part does, each time that more is known to rest there than will be
    left. A halt of the whole account has cancelled everything.
    """
    requests = dict.fromkeys(id_ for one in some for id_ in one.requests)
    if not requests:
        return False
    position, units = some[0].position, sum(one.units for one in some)
    left = abs(position.quantity) - units
    if left > 0:
        return _is_in_the_way(position, left, s, told)
    marks = [f"cancel:{position.key}:{id_}" for id_ in requests]
    known = [mark in told.noted for mark in marks]
    if all(known) or (is_out and any(known)):
        return False
    told.note(*marks)
    return True


def _is_in_the_way(position: Position, left: Decimal, s: Situation, told: Told) -> bool:
    """Tell whether more is known to rest there than will be left, by a newer list than the last that was acted on."""
    mark = f"resting:{position.key}"
    resting = s.resting(position)
    if resting is None or resting.units <= left:
        return False
    cancelled_at = told.noted.get(mark)
    if cancelled_at is not None and cancelled_at >= resting.told_at:
        return False
    told.note(mark)
    told.alerts.append(alerts.resting(s.book.account, position, resting.units, left, s.now))
    return True
