"""stopline margin: legs in; margin, max loss, max profit and breakevens out."""

from decimal import DecimalException
from typing import Annotated, Any, Literal

import click
from pydantic import Field

from stopline.cli.failures import BadInput, one_line
from stopline.cli.ledger import file_name, read_object
from stopline.cli.show import print_json
from stopline.ledger.payoff import Leg, Margin, margin_of
from stopline.model.decimals import ZERO, DecimalText, decimal_text
from stopline.model.errors import Rejected
from stopline.model.wire import Message, validate


class LegText(Message):
    """One option leg as a person writes it; `quantity` is negative when short, `price` the premium a unit."""

    right: Literal["C", "P"]
    strike: DecimalText
    quantity: DecimalText
    price: DecimalText | None = None
    multiplier: DecimalText = Field(default="100", validate_default=True)


class Legs(Message):
    """Legs on one underlying and expiry. `spot` is needed for naked calls; `style` chooses their rule."""

    legs: Annotated[tuple[LegText, ...], Field(min_length=1, max_length=200)]
    spot: DecimalText | None = None
    style: Literal["equity", "index"] = "equity"
    fees: DecimalText = ZERO


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/ledger.md).")
def margin(file: Any, as_json: bool) -> None:
    """Work out what option legs bind, and what they can lose and make (`-`: standard input).

    Margin and max loss are two numbers: the margin is before premiums.
    """
    try:
        asked = validate(Legs, read_object(file))
        for leg in asked.legs:
            if leg.strike <= 0 or not leg.quantity or leg.multiplier <= 0:
                raise Rejected("BAD_LEG", "strike and multiplier must be above 0, and quantity must not be 0")
            if leg.price is not None and leg.price < 0:
                raise Rejected("BAD_LEG", f"price must be 0 or above, was {leg.price}")
        if asked.spot is not None and asked.spot <= 0:
            raise Rejected(
                "BAD_SPOT", f"spot must be above 0, was {asked.spot}: leave it out if it is not known"
            )
    except Rejected as refused:
        raise BadInput(one_line(f"{file_name(file)}: {refused.detail}")) from None
    legs = [Leg(leg.right, leg.strike, leg.quantity, leg.multiplier) for leg in asked.legs]
    try:
        found = margin_of(legs, [leg.price for leg in asked.legs], asked.fees, asked.spot, asked.style)
    except DecimalException:
        raise BadInput(
            f"{one_line(file_name(file))}: the numbers are beyond what can be computed exactly"
        ) from None
    if as_json:
        print_json(_facts(found))
        return
    for name, value in _words(found):
        click.echo(f"{name:<12}{value}")


def _facts(found: Margin) -> dict[str, Any]:
    def text(value: Any) -> str | None:
        return None if value is None else decimal_text(value)

    return {
        "net_credit": text(found.net_credit),
        "margin": text(found.margin),
        "margin_rule": found.rule,
        "max_loss": text(found.max_loss),
        "max_profit": text(found.max_profit),
        "breakevens": None
        if found.net_credit is None
        else [decimal_text(price) for price in found.breakevens],
        "loss_unbounded": found.slope < 0,
        "profit_unbounded": found.slope > 0,
    }


def _words(found: Margin) -> list[tuple[str, str]]:
    facts = _facts(found)
    unpriced = "unknown: a leg has no price"
    return [
        ("net credit", facts["net_credit"] or unpriced),
        (
            "margin",
            f"{facts['margin']} ({found.rule})"
            if facts["margin"] is not None
            else "unknown: a naked call needs `spot`, and what is naked its price",
        ),
        ("max loss", "unbounded" if found.slope < 0 else facts["max_loss"] or unpriced),
        ("max profit", "unbounded" if found.slope > 0 else facts["max_profit"] or unpriced),
        ("breakevens", unpriced if facts["breakevens"] is None else ", ".join(facts["breakevens"]) or "none"),
    ]
