import asyncio
from typing import Any

import pytest

from instrument.console.guard import COOKIE, Guard

HERE, ELSEWHERE = ("127.0.0.1", 50000), ("192.168.1.20", 50000)
NETWORK: dict[str, Any] = {"host": "192.168.1.5:6481", "client": ELSEWHERE, "token": "right"}


def answer(**asked: Any) -> dict[str, Any]:
    """The first message a request is answered with; from inside the guard, it has the status 200."""
    return answers(**asked)[0]


def page(**asked: Any) -> str:
    """The page a request is answered with."""
    return answers(**asked)[1]["body"].decode()


def answers(
    *,
    host: str = "127.0.0.1:6480",
    origin: str | None = None,
    client: tuple[str, int] = HERE,
    token: str | None = None,
    query: str = "",
    cookie: str | None = None,
    kind: str = "http",
    scheme: str = "http",
    path: str = "/",
    fetch: tuple[str, str, str] | None = None,
) -> list[dict[str, Any]]:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    headers += [(b"cookie", cookie.encode())] if cookie is not None else []
    if fetch is not None:
        headers += [
            (b"sec-fetch-" + name, one.encode()) for name, one in zip((b"site", b"mode", b"dest"), fetch, strict=True)
        ]
    scope = {
        "type": kind,
        "scheme": scheme,
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "client": client,
    }
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(Guard(inside, token=token)(scope, receive, send))
    return sent


@pytest.mark.parametrize("host", ["127.0.0.1:6480", "localhost:6480", "[::1]:6480", "127.0.0.1"])
def test_this_computer_is_let_in_by_every_name_that_can_only_be_its_own(host: str) -> None:
    assert answer(host=host)["status"] == 200


@pytest.mark.parametrize(
    "host", ["evil.example:6480", "192.168.1.5:6480", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert answer(host=host)["status"] == 403


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:6480", ""),
        *("http://[", "//127.0.0.1:6480", "https://127.0.0.1:6480", "http://127.0.0.1:6480@evil.example"),
    ],
)
def test_another_sites_page_is_refused(origin: str) -> None:
    assert answer(origin=origin)["status"] == 403


def test_the_consoles_own_page_is_let_in() -> None:
    assert answer(origin="http://127.0.0.1:6480")["status"] == 200


@pytest.mark.parametrize(
    "fetch",
    [("cross-site", "no-cors", "image"), ("same-site", "no-cors", "script"), ("cross-site", "navigate", "iframe")],
)
def test_what_another_sites_page_embeds_is_refused(fetch: tuple[str, str, str]) -> None:
    assert answer(fetch=fetch)["status"] == 403


@pytest.mark.parametrize("fetch", [("cross-site", "navigate", "document"), ("same-origin", "cors", "empty")])
def test_a_link_on_another_sites_page_may_be_followed(fetch: tuple[str, str, str]) -> None:
    assert answer(fetch=fetch)["status"] == 200


def test_the_networks_own_page_is_let_in_by_tls_only() -> None:
    asked: dict[str, Any] = {**NETWORK, "cookie": f"{COOKIE}=right", "kind": "websocket", "scheme": "wss"}
    assert answer(**asked, origin="https://192.168.1.5:6481")["status"] == 200
    assert answer(**asked, origin="http://192.168.1.5:6481")["type"] == "websocket.close"


def test_the_connection_of_who_is_refused_is_not_kept() -> None:
    assert (b"connection", b"close") in answer(**NETWORK)["headers"]


def test_a_web_socket_from_another_sites_page_is_closed_before_it_opens() -> None:
    assert answer(origin="https://evil.example", kind="websocket")["type"] == "websocket.close"


def test_another_computer_without_a_token_gets_401_and_with_a_wrong_one_403() -> None:
    network: dict[str, Any] = {"host": "192.168.1.5:6480", "client": ELSEWHERE, "token": "right"}
    assert answer(**network)["status"] == 401
    assert answer(**network, query="token=wrong")["status"] == 403
    assert answer(**network, cookie=f"{COOKIE}=wrong")["status"] == 401


def badge(**asked: Any) -> tuple[int, dict[str, str]]:
    first = answer(**NETWORK, **asked)
    return first["status"], {name.decode(): value.decode() for name, value in first["headers"]}


def test_the_token_in_the_link_becomes_a_cookie_that_lets_in() -> None:
    status, headers = badge(query="token=right&x=1", scheme="https")
    assert status == 200
    for said in ("HttpOnly", "SameSite=Strict", "Secure"):
        assert f"; {said}" in headers["set-cookie"]
    assert headers["referrer-policy"] == "no-referrer"
    assert "right" not in page(**NETWORK, query="token=right&x=1")
    assert "url=/?x=1" in page(**NETWORK, query="token=right&x=1")
    assert answer(**NETWORK, cookie=headers["set-cookie"].partition(";")[0])["status"] == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", '/"><script>alert(1)</script>'])
def test_the_link_leads_to_no_other_site_and_is_no_script(path: str) -> None:
    written = page(**NETWORK, query="token=right", path=path)
    where = written.partition("url=")[2].partition('"')[0]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert "<script" not in written


def test_a_token_in_the_address_opens_no_web_socket() -> None:
    assert answer(**NETWORK, query="token=right", kind="websocket")["type"] == "websocket.close"


@pytest.mark.parametrize("cookie", [None, f"{COOKIE}=right"])
def test_a_name_made_to_point_here_is_refused_with_a_token_too(cookie: str | None) -> None:
    assert answer(host="evil.example:6481", token="right", cookie=cookie)["status"] == 403  # noqa: S106


def test_this_computer_needs_the_token_too_where_the_network_comes_in() -> None:
    assert answer(host="127.0.0.1:6481", token="right")["status"] == 401  # noqa: S106


def test_no_other_site_may_frame_a_page() -> None:
    assert (b"x-frame-options", b"SAMEORIGIN") in answer()["headers"]


def test_what_is_refused_says_nothing_of_the_instrument() -> None:
    assert "instrument" not in str(answer(host="evil.example")["headers"])
