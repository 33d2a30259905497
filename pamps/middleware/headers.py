"""What browsers may do with our answers: the OWASP Secure Headers Project's list, as far as it says something of each.

A header costs an answer about a microsecond, and more the longer it is: what only matters to a page, pages alone have.
"""

import re
from base64 import b64encode
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = b"content-security-policy"
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Whom CORS lets in this does not keep out: it is for what is asked for without CORS, as by <img> and <script>.
    (b"cross-origin-resource-policy", b"same-origin"),
]
DATA = [*ALWAYS, (POLICY, b"default-src 'none'; frame-ancestors 'none'")]
FEATURES = (
    "accelerometer autoplay camera clipboard-read clipboard-write display-capture encrypted-media fullscreen gamepad "
    "geolocation gyroscope hid idle-detection magnetometer microphone midi payment picture-in-picture "
    "publickey-credentials-get screen-wake-lock serial sync-xhr usb xr-spatial-tracking"
)
# Swagger UI copies an example to the clipboard, which its page therefore may; nothing else is asked of any browser.
OF_PAGES = {
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        f"{feature}={'(self)' if feature == 'clipboard-write' else '()'}" for feature in FEATURES.split()
    ),
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
}


def page(*sources: str) -> dict[str, str]:
    """The headers of a page for people that may load from these sources alone."""
    nowhere = ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
    return {"Content-Security-Policy": "; ".join(["default-src 'none'", *sources, *nowhere]), **OF_PAGES}


def inline(tag: str, html: str) -> str:
    """The sources that let in what stands inside a page's own <script> or <style>, by its hash."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return "".join(f" 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in found)


class Headers:
    """ASGI middleware: an answer that does not say for itself what it may load is data, and may load nothing.

    Strict-Transport-Security is sent over https alone (RFC 6797, section 7.2), and not at all for an age of 0.
    """

    def __init__(self, app: ASGIApp, hsts_max_age: int):
        self.app = app
        self.hsts = [(b"strict-transport-security", b"max-age=%d" % hsts_max_age)] if hsts_max_age else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])  # the message may be another request's as well
                headers += ALWAYS if any(name == POLICY for name, _ in headers) else DATA
                if scope["scheme"] == "https":
                    headers += self.hsts
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, with_headers)
