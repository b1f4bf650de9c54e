"""Pieces of the report's page: tables that become cards on a phone, charts, and numbers. Texts must be escaped before."""

from collections.abc import Sequence
from html import escape

UNKNOWN = '<span class="unknown">unknown</span>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, grid: bool = False) -> str:
    """Return a table. A head that begins with > is of numbers, with ? of text that may break.

    On a phone each row becomes a card: its first cell the title, the others beside their heads. A `grid` stays one.
    """
    kinds = ["n" if head[:1] == ">" else "wide" if head[:1] == "?" else "" for head in heads]
    names = [head.lstrip(">?") for head in heads]
    marks = [f' class="{kind}"' if kind else "" for kind in kinds]
    labels = ["" if grid or not n else f' data-head="{name}"' for n, name in enumerate(names)]
    top = "".join(f"<th{mark}>{name}</th>" for name, mark in zip(names, marks, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{mark}{label}>{cell}</td>" for cell, mark, label in zip(row, marks, labels, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    kind = "grid" if grid else "cards-if-narrow"
    return f'<div class="scroll"><table class="{kind}"><tr>{top}</tr>{body}</table></div>'


def money(text: str | None) -> str:
    """Return an amount with two decimals."""
    return UNKNOWN if text is None else f"{float(text):,.2f}"


def signed(text: str | None) -> str:
    """Return an amount with its sign, red below zero."""
    if text is None:
        return UNKNOWN
    value = float(text)
    return f'<span class="{"bad" if value < 0 else "good"}">{value:+,.2f}</span>'


def number(text: str | None, places: int = 4) -> str:
    """Return a number with as many decimals as it has, at most `places`."""
    return UNKNOWN if text is None else f"{float(text):,.{places}f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return how long something took, in the largest unit that it fills."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:,.1f}&nbsp;{unit}"
    return f"{seconds:,.0f}&nbsp;s"


def heat(value: float, share: float, shown: str) -> str:
    """Return a number on a ground that is the deeper the larger its share of the largest, from 0 to 1."""
    side = "loss" if value < 0 else "gain"
    return f'<span class="heat {side}" style="--part:{100 * min(share, 1.0):.0f}%">{shown}</span>'


def meter(share: float, level: str) -> str:
    """Draw how much of a limit is used, from 0 to 1."""
    colour = {"breach": "var(--bad)", "warn": "var(--warn)"}.get(level, "var(--good)")
    return (
        f'<svg width="90" height="10" role="img" aria-label="{share:.0%} of the limit">'
        '<rect width="90" height="10" rx="3" fill="var(--line)"/>'
        f'<rect width="{90 * share:.1f}" height="10" rx="3" fill="{colour}"/></svg>'
    )


def bars(title: str, items: Sequence[tuple[str, float]]) -> str:
    """Draw bars to the right for losses and to the left for what makes money; text keeps its size on a phone."""
    if not items:
        return ""
    most = max(abs(value) for _, value in items) or 1.0
    rows = []
    for name, value in items:
        width = 50 * abs(value) / most
        left, colour = (50.0, "var(--bad)") if value >= 0 else (50.0 - width, "var(--good)")
        rows.append(
            f"<dt>{escape(name)}</dt><dd>"
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-hidden="true">'
            f'<rect x="{left:.2f}" y="0" width="{width:.2f}" height="10" fill="{colour}"/>'
            '<rect x="49.9" y="0" width="0.2" height="10" fill="var(--soft)"/></svg>'
            f"<span>{value:,.2f}</span></dd>"
        )
    return f'<p class="soft">{title}</p><dl class="bars">{"".join(rows)}</dl>'


def line(title: str, unit: str, points: Sequence[tuple[str, float]], each: str = "session") -> str:
    """Draw one metric over its sessions, or what `each` point is, with its last, lowest and highest value; one is a dot."""
    if not points:
        return ""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span, step = (high - low) or 1.0, 300 / max(len(points) - 1, 1)
    places = [(step * n, 60 - 50 * (value - low) / span) for n, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    count = f"1 {each}" if len(points) == 1 else f"{len(points)} {each}s"
    return (
        f'<figure><figcaption class="soft"><b>{escape(title)}</b>: {values[-1]:,.2f} {escape(unit)} on '
        f"{escape(points[-1][0])}, {low:,.2f} to {high:,.2f} in {count}</figcaption>"
        f'<svg viewBox="-4 0 312 66" width="312" role="img" aria-label="{escape(title)}">'
        f'<polyline points="{path}" fill="none" stroke="var(--ink)" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--ink)"/></svg></figure>'
    )
