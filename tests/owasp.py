"""The OWASP Secure Headers Project's list (ci/headers_add.json there), and what each kind of our answers says to it."""

from httpx2 import Response

# Header: of data, of a page. None: not sent.
TABLE: dict[str, tuple[str | None, str | None]] = {
    "x-content-type-options": ("nosniff", "nosniff"),
    "referrer-policy": ("no-referrer", "no-referrer"),
    "cross-origin-resource-policy": ("same-origin", "same-origin"),
    "content-security-policy": ("default-src 'none'; frame-ancestors 'none'", "default-src 'none'; "),
    # What follows says something of pages alone, and data are none: their policy lets them load and run nothing.
    "cross-origin-embedder-policy": (None, "require-corp"),
    "cross-origin-opener-policy": (None, "same-origin"),
    "permissions-policy": (None, "accelerometer=(), autoplay=(), camera=(), "),
    "x-frame-options": (None, "DENY"),
    "x-permitted-cross-domain-policies": (None, "none"),
    # Over https alone.
    "strict-transport-security": (None, None),
    # There are no cookies and no storage to be cleared.
    "clear-site-data": (None, None),
    "set-cookie": (None, None),
    # What tells an attacker what is behind (ci/headers_remove.json).
    "server": (None, None),
    "x-powered-by": (None, None),
}
# A page's own rules follow.
BEGIN = {"content-security-policy", "permissions-policy"}


def check(response: Response) -> None:
    """Fail unless an answer carries what its kind should, once each."""
    page = response.headers.get("content-type", "").startswith("text/html")
    if response.status_code == 304:  # says what that does which it stands for
        page = "style-src" in response.headers["content-security-policy"]
    for name, expected in TABLE.items():
        found = response.headers.get_list(name)
        wanted = expected[page]
        if page and response.status_code == 304 and name not in ("content-security-policy", "set-cookie"):
            continue
        if page and name in BEGIN:
            found = [one[: len(wanted or "")] for one in found]
        assert found == ([] if wanted is None else [wanted]), (response.url, name, found)
