"""Only we make links that acknowledge, and only for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.rules.alerting.ack_links import AckLinks, Taken

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)
LINKS = AckLinks("https://stopline.example.com", "a-secret-of-more-than-32-characters")
MARK = "0123456789abcdef"


def token(links: AckLinks = LINKS, notice: str = "1f2e3d4c") -> str:
    (found,) = parse_qs(urlsplit(links.url(notice, MARK, NOW)).query)["t"]
    return found


@pytest.mark.parametrize("notice", ["1f2e3d4c", "a.b.c", "A#1+2=3@x~"])
def test_a_link_says_what_it_was_made_for(notice: str) -> None:
    """R6.3"""
    assert LINKS.url(notice, MARK, NOW).startswith("https://stopline.example.com/v1/ack?t=")
    assert LINKS.read(token(notice=notice), NOW + timedelta(hours=23)) == Taken(notice, MARK)


def test_after_a_day_a_link_is_dead() -> None:
    """R6.3"""
    with pytest.raises(Rejected, match="LINK_EXPIRED"):
        LINKS.read(token(), NOW + timedelta(hours=24, seconds=1))


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_changed_link_is_refused(place: int, char: str) -> None:
    """B62: every character counts."""
    whole = token()
    at = place % len(whole)
    changed = whole[:at] + char + whole[at + 1 :]
    if changed == whole:
        return
    with pytest.raises(Rejected, match="BAD_LINK"):
        LINKS.read(changed, NOW)


def test_another_secret_makes_other_links() -> None:
    """F60: after the secret has changed the old links are dead."""
    other = AckLinks(LINKS.base_url, "another-secret-of-more-than-32-chars")
    with pytest.raises(Rejected, match="BAD_LINK"):
        LINKS.read(token(other), NOW)
    assert "another-secret" not in repr(other)
