"""Where a request begins and ends, read as every other server on the way reads it."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pamps import errors
from pamps.errors import PampsError


class Refused(Exception):
    """What a client sent is not read on."""

    def __init__(self, error: PampsError):
        self.error = error


class Framing(HttpToolsProtocol):
    """uvicorn's protocol, without what could hide one request in another, or a header from a proxy."""

    in_head = True
    upgrading = False  # what is being parsed asks for another protocol

    def parse(self, data: bytes) -> None:
        """Have what has come parsed.

        A client may ask for another protocol, and goes on in this one where the answer does not switch (RFC 9110, 7.8).
        The parser then takes what follows for the other protocol's, the body too: it is told of the request again, as
        of one that did not ask.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                first = b"%b %b HTTP/%b\r\n" % (
                    self.parser.get_method(),
                    self.url,
                    self.parser.get_http_version().encode(),
                )
                data = b"".join([first, *lines, b"\r\n", data[upgrade.args[0] :]])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head = True
        self.upgrading = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # what may follow a body in chunks is no header of the request (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.check_head()
        self.upgrading = self.parser.should_upgrade()
        if not self.upgrading:
            self.in_head = False
            super().on_headers_complete()

    def check_head(self) -> None:
        """Refuse what another server on the way may have understood in another way."""
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if version not in ("1.0", "1.1") or self.parser.get_method() == b"CONNECT":
            raise Refused(errors.MalformedRequest())
        if hosts > 1 or (not hosts and version == "1.1"):  # RFC 9112, section 3.2
            raise Refused(errors.MalformedRequest("a request names its host once"))
        if b"transfer-encoding" in names:  # RFC 9112, section 6.1
            encodings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
            if version == "1.0" or encodings != [b"chunked"]:
                raise Refused(errors.MalformedRequest("a body comes as it is or in chunks, and in no other encoding"))

    def on_message_complete(self) -> None:
        if not self.upgrading:  # else only its head has been, and comes again
            self.in_head = True
            super().on_message_complete()
