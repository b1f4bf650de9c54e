"""Where a token may be sent."""

import urllib.parse


def check_token_url(url: str) -> str:
    """Return the address of a service that is sent a token, without a slash at its end. Raises ValueError unless it is over
    https, or on this machine.
    """
    parts = urllib.parse.urlsplit(url)
    is_here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if parts.scheme != "https" and not is_here:
        raise ValueError(f"a token is sent only over https, not to {url}")
    return url.rstrip("/")
