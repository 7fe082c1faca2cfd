"""Keeps strangers out: other sites' pages, names made to point here, and, in a network, those without the token.

A browser lets any page on the web send requests to this computer. Such a page is told apart by the
`Origin` it comes from, and by a `Host` that is not ours (DNS rebinding). Everything the console
serves, WebSockets included, goes through here.
"""

import hmac
import html
import ipaddress
from collections.abc import Awaitable, Callable, Container, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "instrument_token"
COOKIE_S = 30 * 24 * 3600
LET_IN, BADGE = 200, 201
"""Verdicts: it may come in; it comes with the token and gets the cookie."""
SAFE = "/?=&%"
"""What stands in the address as it is."""
_CAREFUL = [
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """An ASGI app around another that lets in only who may come in."""

    def __init__(self, app: App, *, token: str | None = None, names: Container[str] = ("localhost",)) -> None:
        """Without a token only this computer's own page is served, by a loopback address or one of those names.

        With one, whoever has it is: under any address, or one of those names.
        """
        self._app = app
        self._token = token
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, reason = self._verdict(scope, headers)
        if status == LET_IN:
            await self._app(scope, receive, _careful(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        elif status == BADGE:
            await self._give_cookie(scope, send)
        else:
            await _answer(send, status, f"{reason}\n", {"connection": "close"})

    def _verdict(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            return 403, "This console answers only to the address it was started on."
        scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        if headers.get("origin", f"{scheme}://{host}") != f"{scheme}://{host}" or _is_from_another_site(headers):
            return 403, "Another site's page may not talk to this console."
        if self._token is None or _is_same(_cookie(headers.get("cookie", "")), self._token):
            return LET_IN, ""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not given:
            return 401, "Open the link that `instrument play` printed: it carries a token."
        if not _is_same(given, self._token):
            return 403, "That token is not this console's. Open the link that `instrument play` printed."
        return BADGE, ""

    def _is_ours(self, name: str) -> bool:
        """Whether that is a name of ours: others could be made to point here (DNS rebinding), addresses cannot."""
        try:
            return ipaddress.ip_address(name).is_loopback or self._token is not None
        except ValueError:
            return name in self._names

    async def _give_cookie(self, scope: Scope, send: Send) -> None:
        """Takes the token out of the address and into a cookie.

        By a page that leads on rather than a redirect: a browser that followed the link from another site would
        not send a strict cookie along with that.
        """
        query = parse_qs(scope["query_string"].decode("latin-1"))
        query.pop("token", None)
        where = "/" + scope["path"].lstrip("/\\") + (f"?{urlencode(query, doseq=True)}" if query else "")
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(quote(where, safe=SAFE))}">'
        cookie = f"{COOKIE}={self._token}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        cookie += "; Secure" if scope.get("scheme") == "https" else ""
        await _answer(send, 200, page, {"content-type": "text/html; charset=utf-8", "set-cookie": cookie})


def _careful(send: Send) -> Send:
    """Has every answer say that no other site may frame it or learn its address."""

    async def send_carefully(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_CAREFUL]
        await send(message)

    return send_carefully


def _is_from_another_site(headers: dict[str, str]) -> bool:
    """Whether another site's page asks, as browsers say of what carries no `Origin`: pictures, scripts, frames.

    A link there that is followed is welcome.
    """
    is_link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _name(host: str) -> str:
    """A `Host` header without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def is_local(scope: Scope) -> bool:
    """Whether that request comes from this computer."""
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0].split("%")[0]).is_loopback
    except ValueError:
        return False


def _cookie(header: str) -> str:
    found = [part.strip().partition("=") for part in header.split(";")]
    return next((value for name, _, value in found if name == COOKIE), "")


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


async def _answer(send: Send, status: int, text: str, headers: dict[str, str]) -> None:
    described = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", **headers}
    fields = [(name.encode(), value.encode("latin-1")) for name, value in described.items()] + _CAREFUL
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": text.encode()})
