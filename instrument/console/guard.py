"""Keeps strangers out: other sites' pages, names made to point here, and, in a network, those without the token.

A browser lets any page on the web send requests to this computer. Such a page is told apart by the
`Origin` it comes from, and by a `Host` that is not ours (DNS rebinding). Everything the console
serves, WebSockets included, goes through here.
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "instrument_token"


class Guard:
    """An ASGI app around another that lets in only who may come in."""

    def __init__(self, app: App, *, token: str | None = None) -> None:
        """With a token, computers with any address may ask for it; without one, only this one is served."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, reason = self._verdict(scope, headers)
        if status == 200:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        elif status == 303:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            query.pop("token", None)
            where = scope["path"] + (f"?{urlencode(query, doseq=True)}" if query else "")
            cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            cookie += "; Secure" if scope.get("scheme") == "https" else ""
            await _answer(send, status, "", {"location": where, "set-cookie": cookie})
        else:
            await _answer(send, status, reason, {})

    def _verdict(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        host = headers.get("host", "")
        is_ours = _is_own_address(_name(host), is_network=self._token is not None)
        if not is_ours and self._token is None:
            return 403, "This console answers only to the address it was started on."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Another site's page may not talk to this console."
        if self._token is None or (is_ours and is_local(scope)):
            return 200, ""
        if _is_same(_cookie(headers.get("cookie", "")), self._token):
            return 200, ""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not given:
            return 401, "Open the link that `instrument play` printed: it carries a token."
        if not _is_same(given, self._token):
            return 403, "That token is not this console's. Open the link that `instrument play` printed."
        return 303, ""


def _is_own_address(name: str, *, is_network: bool) -> bool:
    """Whether that is an address of ours. Names other than localhost are not: they can be made to point anywhere."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback or is_network
    except ValueError:
        return False


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
    described = {"content-type": "text/plain; charset=utf-8", **headers}
    fields = [(name.encode(), value.encode("latin-1")) for name, value in described.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": text.encode()})
