"""Who may do what over HTTP: tokens and their roles, and what a browser may be made to send.

1. Without a token file whoever reaches the port may do everything, so it must be on loopback, and
   a request must name it so: a page from elsewhere whose name was pointed at 127.0.0.1 does not.
2. With one, a request brings its token as a bearer, or in the cookie that a login set; one for
   `/metrics`, too.
3. Behind a proxy that logs people in, a header names them; it is believed from that proxy alone.
4. A change takes JSON, a header that no form of another site can send, and this origin.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import threading
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from raftwork.errors import RaftworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

log = logging.getLogger("raftwork.web")

COOKIE: Final = "raftwork_token"
#: Our own header, which a form of another site cannot send.
HEADER: Final = "x-raftwork"
#: Lines of a token file, and bytes of it.
TOKENS_MAX: Final = 1_000
_FILE_BYTES_MAX: Final = 1024 * 1024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LOOPBACK: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)


class Role(IntEnum):
    """What one may do; each also what those before it may."""

    VIEWER = 1  # look, but not at the contents of tasks
    OPERATOR = 2  # look at everything; cancel, retry, pause, resume
    ADMIN = 3  # all there is

    @property
    def word(self) -> str:
        """As people write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    name: str
    role: Role


class TokensRefused(RaftworkError):
    """A token file cannot be used; the text says which line is wrong."""


class Forbidden(RaftworkError):
    """A request may not be carried out, whoever sends it (`status` 403), or not so (401)."""

    def __init__(self, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.status = status


def read_tokens(path: str) -> dict[str, Visitor]:
    """By the SHA-256 of each token. Raises TokensRefused."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise TokensRefused(f"{path}: {error}") from None
    lines = [(n, line.split()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, words) for n, words in lines if words and not words[0].startswith("#")]
    if len(text) > _FILE_BYTES_MAX or len(lines) > TOKENS_MAX:
        raise TokensRefused(f"{path}: at most {TOKENS_MAX} tokens are allowed, got {len(lines)}")
    found: dict[str, Visitor] = {}
    for number, words in lines:
        role = {each.word: each for each in Role}.get(words[0])
        if role is None or not 2 <= len(words) <= 3 or not _SHA256.fullmatch(words[1]):
            raise TokensRefused(
                f"{path}:{number}: a line is ROLE SHA256 [NAME], the role viewer, operator or admin"
            )
        found[words[1]] = Visitor(words[2] if len(words) == 3 else role.word, role)
    return found


def sha256(token: str) -> str:
    """As it stands in a token file."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """A token file, read again when it changes. One that cannot be read then changes nothing."""

    def __init__(self, path: str) -> None:
        """Raises TokensRefused."""
        self._path, self._lock = path, threading.Lock()
        self._stamp = self._now()
        self._known = read_tokens(path)

    def visitor(self, token: str) -> Visitor | None:
        """Whose it is."""
        with self._lock:
            stamp = self._now()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._known = read_tokens(self._path)
                except TokensRefused as error:
                    if stamp is None:
                        self._known = {}  # the file is gone: nobody is let in by it
                    now = "as they were" if self._known else "good for nothing"
                    log.warning("the tokens are %s: %s", now, error)
            digest, found = sha256(token), None
            for known, visitor in self._known.items():  # all of them: time tells nothing
                if hmac.compare_digest(known, digest):
                    found = visitor
            return found

    def _now(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How this process lets people in."""

    tokens: Tokens | None = None
    read_only: bool = False
    #: Whether contents of tasks are shown to nobody.
    no_payloads: bool = False
    #: The header in which a proxy names who is logged in; empty: there is none.
    auth_header: str = ""
    auth_role: Role = Role.VIEWER
    trust: Sequence[IPv4Network | IPv6Network] = ()
    #: Where a proxy puts this page, such as `/queue`; empty: at the top.
    root_path: str = ""

    @property
    def asks_who(self) -> bool:
        """Whether who looks has to say who they are."""
        return self.tokens is not None or bool(self.auth_header)

    def visitor(self, request: Request) -> Visitor | None:
        """Who sends it; None for one that has to log in. Raises Forbidden."""
        if (named := self._by_proxy(request)) is not None:
            return named
        if self.tokens is not None:
            token = bearer(request) or request.cookies.get(COOKIE, "")
            return self.tokens.visitor(token) if token else None
        if self.auth_header:
            return None
        host = request.headers.get("host", "")
        if not _LOOPBACK.fullmatch(host):
            raise Forbidden(
                f"this address is {host!r:.100}: without a token file only loopback is served"
            )
        return Visitor("local", Role.ADMIN)

    def _by_proxy(self, request: Request) -> Visitor | None:
        names = request.headers.getlist(self.auth_header) if self.auth_header else []
        if not any(names) or request.client is None:
            return None
        try:
            peer = ip_address(request.client.host)
        except ValueError:
            return None
        if not any(peer in network for network in self.trust):
            return None
        if len(names) > 1:  # the first would be what the visitor sent
            raise Forbidden(
                f"{self.auth_header} is in this request {len(names)} times: the proxy is to replace"
                " what visitors send, not to add to it"
            )
        return Visitor(names[0][:255], self.auth_role)

    def require(self, visitor: Visitor | None, least: Role, *, changes: bool) -> Visitor:
        """The visitor, who may do it. Raises Forbidden."""
        if visitor is None:
            raise Forbidden("a token is needed: log in, or send it as a bearer", 401)
        if changes and self.read_only:
            raise Forbidden("this dashboard is read-only")
        if visitor.role < least:
            raise Forbidden(f"{visitor.name} is {visitor.role.word}, and this takes {least.word}")
        return visitor

    def shows_payloads(self, visitor: Visitor) -> bool:
        """Whether arguments, results and logs of tasks may be shown."""
        return not self.no_payloads and visitor.role >= Role.OPERATOR


def bearer(request: Request) -> str:
    """The token that it sends itself; empty if it sends none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def by_tls(request: Request) -> bool:
    """Whether the browser that sends it speaks TLS, if only with a proxy before this process."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.lower().startswith("https://")


def require_own_page(request: Request) -> None:
    """Refuse what another site may have made a browser send. Raises Forbidden."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Forbidden("a change takes Content-Type: application/json", 415)
    if bearer(request):
        return  # no browser adds one by itself
    if HEADER not in request.headers:
        raise Forbidden("a change takes the header X-Raftwork: 1")
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "")
    host = request.headers.get("host", "")
    same = origin.partition("://")[2].lower() == host.lower()
    if site != "same-origin" and not (site == "none" and not origin):
        raise Forbidden(f"this came from another site ({site})")
    # A proxy may pass on another Host than the browser knows: then Sec-Fetch-Site alone tells.
    if origin and not same and "sec-fetch-site" not in request.headers:
        raise Forbidden(f"this came from {origin!r:.100}")


def networks(text: str) -> Sequence[IPv4Network | IPv6Network]:
    """From `10.0.0.1,10.1.0.0/16`. Raises ValueError."""
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
