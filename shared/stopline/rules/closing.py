"""What to send to close a book, and when to send it again. Level-triggered: from what is open, not from what
was sent.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.control import CloseOrder, Closing, ClosingStatus
from stopline.model.ids import digest
from stopline.model.messages import Command, CommandAction

VALID = timedelta(seconds=30)  # how long a close command may be worked on
GRACE = timedelta(seconds=5)  # and how long after that the next one waits: no two are alive at once


def advance(
    account: str, closing: Closing | None, epoch: int, book: Book, now: datetime
) -> tuple[Closing, list[Command]]:
    """Return the closing as it stands now, and the commands to send.

    A closing of an older epoch, or none, begins anew with a cancel of all working orders. It is FLAT when the
    book, that is the fills, says so; never because commands were sent. A position whose command has run out
    is given the next.
    """
    commands: list[Command] = []
    if closing is None or closing.epoch != epoch:
        closing = Closing(epoch=epoch, status=ClosingStatus.CLOSING, since=now)
        commands.append(
            _command(account, CommandAction.CANCEL_ALL, epoch, digest("cancel", account, str(epoch)), now)
        )
    closing = closing.model_copy(update={"book_revision": book.revision})
    positions = {position.key: position for position in book.open_positions()}
    if not positions:
        flat_at = closing.flat_at or now
        return closing.model_copy(
            update={"status": ClosingStatus.FLAT, "flat_at": flat_at, "orders": {}}
        ), commands
    sent = closing.sent
    orders = {key: order for key, order in closing.orders.items() if key in positions}
    for position in in_closing_order(list(positions.values())):
        order = orders.get(position.key)
        if order is not None and now < order.expires_at + GRACE:
            continue
        round_ = order.round + 1 if order else 1
        sent += 1
        command = _close(account, position, epoch, sent, now)
        commands.append(command)
        orders[position.key] = CloseOrder(
            command_id=command.command_id,
            round=round_,
            quantity=abs(position.quantity),
            expires_at=command.expires_at,
        )
    return closing.model_copy(
        update={"status": ClosingStatus.CLOSING, "flat_at": None, "orders": orders, "sent": sent}
    ), commands


def in_closing_order(positions: Sequence[Position]) -> list[Position]:
    """Short positions first: a spread's long leg protects until its short leg is gone."""
    return sorted(positions, key=lambda p: (p.quantity > 0, p.key))


def _close(account: str, position: Position, epoch: int, serial: int, now: datetime) -> Command:
    id_ = digest("close", account, str(epoch), position.key, str(serial))
    command = _command(account, CommandAction.CLOSE, epoch, id_, now)
    return command.model_copy(
        update={
            "strategy": position.strategy,
            "instrument": position.instrument,
            "side": "SELL" if position.quantity > 0 else "BUY",
            "quantity": abs(position.quantity),
        }
    )


def _command(account: str, action: CommandAction, epoch: int, id_: str, now: datetime) -> Command:
    return Command(
        command_id=id_,
        account=account,
        action=action,
        epoch=epoch,
        reason="trading halted",
        issued_at=now,
        expires_at=now + VALID,
    )
