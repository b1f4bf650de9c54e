"""Orders as files: the JSON that the API takes."""

from typing import Any, TypeVar

import click

from stopline.cli.failures import BadInput, one_line
from stopline.cli.ledger import file_name
from stopline.model.errors import Rejected
from stopline.model.wire import Message, decode_object, validate

M = TypeVar("M", bound=Message)


def read_order(file: Any, model: type[M]) -> M:
    """Read a file as a message. Raises BadInput that names the file and the field."""
    try:
        return validate(model, decode_object(file.read()))
    except Rejected as refused:
        raise BadInput(one_line(f"{file_name(file)}: {refused.detail}")) from None


def show_decision(facts: dict[str, Any]) -> None:
    """Print a decision for a person."""
    word = "approved" if facts["approved"] else "refused"
    click.echo(f"{word}: {facts['quantity']} (largest that passes: {facts['largest']})")
    risk = [f"{name} {facts[name]} {facts['currency']}" for name in ("loss", "reward") if facts[name]]
    if risk:
        click.echo(", ".join(risk))
    for reason in facts["reasons"]:
        numbers = [
            f"{name} {reason[name]}{reason['unit'] if reason['unit'] in ('%', 'x') else ''}"
            for name in ("current", "limit", "after")
            if reason[name] is not None
        ]
        click.echo(
            f"- {reason['code']} {reason['object']}: {reason['detail']} ({', '.join(numbers)})".replace(
                " ()", ""
            )
        )
