"""Look at messages as their readers do: `python -m emulators.previews FOLDER` draws mails and Discord embeds.

The mail is shown as it is sent, the Discord message as Discord lays it out on a phone: the line, then the card with
its colour, its fields and its footer. With chromium installed the four sheets (light and dark) become pictures too;
each screen is 390 px wide.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from emulators.samples import SAMPLES
from stopline.rules.alerting.texts import discord_payload, email_parts

WIDTH, HEIGHT = 390, 844  # of a phone
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
_MARK = re.compile(r"\\(.)|\*\*(.+?)\*\*|\[([^\]]+)\]\((https?://[^)\s]+)\)|(\n)|([^\\*\[\n]+|.)", re.S)
_COLOURS = {False: ("#ffffff", "#f2f3f5", "#060607"), True: ("#313338", "#2b2d31", "#dbdee1")}


def mail_page(case: str) -> str:
    """Return the HTML of a case's mail."""
    alert, zone, around = SAMPLES[case]
    return email_parts(alert, zone, around)[2]


def discord_page(case: str, dark: bool) -> str:
    """Return a page that shows a case's Discord message."""
    alert, zone, around = SAMPLES[case]
    payload: Any = discord_payload(alert, zone, around)
    page, card, ink = _COLOURS[dark]
    embeds = "".join(_embed(embed, card) for embed in payload["embeds"])
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"></head>
<body style="margin:0;padding:12px;background:{page};color:{ink};font:16px/1.375 'gg sans','Noto Sans',Arial,sans-serif;
overflow-wrap:break-word"><b>Stopline</b> <span style="font-size:12px;opacity:.6">APP&nbsp; today at 10:02</span>
<div style="margin:2px 0 6px 0">{_shown(payload["content"])}</div>{embeds}</body></html>"""


def sheet(channel: str, dark: bool) -> str:
    """Return one page with the messages of all cases, each on a screen of a phone."""
    screens = ""
    for case in SAMPLES:
        page = mail_page(case) if channel == "email" else discord_page(case, dark)
        screens += (
            f'<figure style="margin:8px;float:left"><figcaption>{case}</figcaption><iframe width="{WIDTH}" '
            f'height="{HEIGHT}" style="border:1px solid #888" srcdoc="{escape(page)}" data-case="{case}"></iframe></figure>'
        )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><body style="margin:0">{screens}</body></html>'
    )


def pictures(folder: Path) -> list[Path]:
    """Write the sheets, and their pictures where there is chromium; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for channel in ("email", "discord"):
        for dark in (False, True):
            page = folder / f"{channel}.{'dark' if dark else 'light'}.html"
            page.write_text(sheet(channel, dark), "utf-8")
            written.append(page)
            if CHROMIUM:
                written.append(_picture(page, dark))
    return written


def browse(page: Path, dark: bool, *arguments: str) -> bytes:
    """Open a page without a window; return what chromium prints."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    fixed = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", scheme]
    command = [CHROMIUM, *fixed, *arguments, page.resolve().as_uri()]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def _picture(page: Path, dark: bool) -> Path:
    picture = page.with_suffix(".png")
    columns = 6
    width, height = columns * (WIDTH + 24), -(-len(SAMPLES) // columns) * (HEIGHT + 44)
    browse(page, dark, f"--screenshot={picture}", f"--window-size={width},{height}")
    return picture


def _embed(embed: Mapping[str, Any], card: str) -> str:
    fields = "".join(
        f'<div style="flex:1 1 {"40%" if field["inline"] else "100%"};min-width:0">'
        f'<div style="font-size:14px;font-weight:bold">{_shown(field["name"])}</div>'
        f'<div style="font-size:14px">{_shown(field["value"])}</div></div>'
        for field in embed["fields"]
    )
    return (
        f'<div style="border-left:4px solid #{embed["color"]:06x};border-radius:4px;background:{card};'
        f'padding:8px 16px 12px 12px"><div style="display:flex;flex-wrap:wrap;gap:8px">{fields}</div>'
        f'<div style="font-size:12px;margin-top:8px">{_shown(embed["footer"]["text"])}</div></div>'
    )


def _shown(text: str) -> str:
    """Write Discord's markdown as HTML, as far as our messages use it."""

    def one(match: re.Match[str]) -> str:
        escaped, bold, label, url, line, plain = match.groups()
        if bold is not None:
            return f"<b>{_shown(bold)}</b>"
        if label is not None:
            return f'<a href="{escape(url)}" style="color:#00a8fc">{escape(label)}</a>'
        return "<br>" if line else escape(escaped if escaped is not None else plain)

    return _MARK.sub(one, text)


if __name__ == "__main__":
    for path in pictures(Path(sys.argv[1] if len(sys.argv) > 1 else "previews")):
        print(path)
