import asyncio
from typing import Any

import pytest

from instrument.console.guard import COOKIE, Guard

HERE, ELSEWHERE = ("127.0.0.1", 50000), ("192.168.1.20", 50000)


def answer(
    *,
    host: str = "127.0.0.1:6480",
    origin: str | None = None,
    client: tuple[str, int] = HERE,
    token: str | None = None,
    query: str = "",
    cookie: str | None = None,
    kind: str = "http",
) -> dict[str, Any]:
    """The first message a request is answered with; from inside the guard, it has the status 200."""

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    headers += [(b"cookie", cookie.encode())] if cookie is not None else []
    scope = {"type": kind, "path": "/", "query_string": query.encode(), "headers": headers, "client": client}
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(Guard(inside, token=token)(scope, receive, send))
    return sent[0]


@pytest.mark.parametrize("host", ["127.0.0.1:6480", "localhost:6480", "[::1]:6480", "127.0.0.1"])
def test_this_computer_is_let_in_by_every_name_that_can_only_be_its_own(host: str) -> None:
    assert answer(host=host)["status"] == 200


@pytest.mark.parametrize(
    "host", ["evil.example:6480", "192.168.1.5:6480", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert answer(host=host)["status"] == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:6480", ""]
)
def test_another_sites_page_is_refused(origin: str) -> None:
    assert answer(origin=origin)["status"] == 403


def test_the_consoles_own_page_is_let_in() -> None:
    assert answer(origin="http://127.0.0.1:6480")["status"] == 200


def test_a_web_socket_from_another_sites_page_is_closed_before_it_opens() -> None:
    assert answer(origin="https://evil.example", kind="websocket")["type"] == "websocket.close"


def test_another_computer_without_a_token_gets_401_and_with_a_wrong_one_403() -> None:
    network: dict[str, Any] = {"host": "192.168.1.5:6480", "client": ELSEWHERE, "token": "right"}
    assert answer(**network)["status"] == 401
    assert answer(**network, query="token=wrong")["status"] == 403
    assert answer(**network, cookie=f"{COOKIE}=wrong")["status"] == 401


def test_the_token_in_the_link_becomes_a_cookie_that_lets_in() -> None:
    network: dict[str, Any] = {"host": "192.168.1.5:6480", "client": ELSEWHERE, "token": "right"}
    first = answer(**network, query="token=right&x=1")
    headers = {name.decode(): value.decode() for name, value in first["headers"]}
    assert (first["status"], headers["location"]) == (303, "/?x=1")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert answer(**network, cookie=headers["set-cookie"].partition(";")[0])["status"] == 200


def test_a_name_made_to_point_here_needs_the_token_even_from_this_computer() -> None:
    assert answer(host="evil.example:6480", token="right")["status"] == 401  # noqa: S106


def test_what_is_refused_says_nothing_of_the_instrument() -> None:
    assert set(answer(host="evil.example")) == {"type", "status", "headers"}
