"""Mails and Discord embeds in a real browser, as wide as a phone: nothing is cut off, and what counts needs no scrolling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulators.previews import CHROMIUM, HEIGHT, WIDTH, browse, sheet
from emulators.samples import SAMPLES

MEASURE = """<script>window.onload = () => document.querySelectorAll("iframe").forEach(frame => {
  const page = frame.contentDocument, root = page.documentElement;
  const named = [...page.querySelectorAll("td, div")].filter(e => e.children.length == 0 && e.textContent == "When");
  frame.dataset.wide = Math.max(root.scrollWidth, ...[...page.querySelectorAll("*")].map(
    e => Math.ceil(e.getBoundingClientRect().right)));
  frame.dataset.fold = named.length ? Math.ceil(named[0].getBoundingClientRect().top) : -1;
})</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: nothing draws the pages")
@pytest.mark.timeout(150)
@pytest.mark.parametrize("channel", ["email", "discord"])
def test_every_message_fits_a_phone(channel: str, tmp_path: Path) -> None:
    """R6.1: 390 px are wide enough, and all that comes before the time is on the first screen."""
    page = tmp_path / "sheet.html"
    page.write_text(sheet(channel, dark=False).replace("</body>", MEASURE + "</body>"), "utf-8")
    text = browse(page, False, "--dump-dom", "--window-size=2484,4000").decode()
    found = {
        case: (int(wide), int(fold))
        for case, wide, fold in re.findall(r'data-case="(\w+)" data-wide="(\d+)" data-fold="(-?\d+)"', text)
    }
    assert set(found) == set(SAMPLES)
    assert {case: wide for case, (wide, _) in found.items() if wide > WIDTH} == {}
    below = {case for case, (_, fold) in found.items() if not 0 < fold < HEIGHT}
    assert below == {"long"}  # of whose 500 letters everywhere no message can be short
