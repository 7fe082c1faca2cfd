"""What lets others in: files of the user's, and a real `instrument play` that the network may open."""

import contextlib
import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from browsing import Program, camera_clip, chromium, fake_camera
from clients import PATIENCE_S, require_client, wait_until

from instrument.console.network import kept_certificate, kept_token, own_names, qr_code, reached_address
from instrument.projects import new_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Files


def test_a_token_is_kept_and_long(tmp_path: Path) -> None:
    token = kept_token(tmp_path / "settings")
    assert len(token) >= 24
    assert kept_token(tmp_path / "settings") == token
    assert kept_token(tmp_path / "others") != token


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_may_read_token_and_key(tmp_path: Path) -> None:
    kept_token(tmp_path)
    kept_certificate(tmp_path)
    assert {file.stat().st_mode & 0o77 for file in tmp_path.iterdir()} == {0}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("name", ["console-token", "console-key.pem"])
def test_what_others_could_have_read_is_made_anew(tmp_path: Path, name: str) -> None:
    def made() -> tuple[str, str]:
        return kept_token(tmp_path), kept_certificate(tmp_path).fingerprint

    before = made()
    assert made() == before
    (tmp_path / name).chmod(0o644)
    assert made() != before


def test_files_that_are_damaged_are_made_anew(tmp_path: Path) -> None:
    before = kept_token(tmp_path), kept_certificate(tmp_path).fingerprint
    for file in tmp_path.iterdir():
        file.write_bytes(b"\xff\x00")
    after = kept_token(tmp_path), kept_certificate(tmp_path).fingerprint
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_certificate_names_this_computer(tmp_path: Path) -> None:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(kept_certificate(tmp_path).file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == own_names()
    assert reached_address() in [str(one) for one in names.get_values_for_type(x509.IPAddress)]


def test_a_qr_code_is_a_picture() -> None:
    assert qr_code("https://192.168.1.5:6481/camera?token=abc").lstrip().startswith(b"<")


# The program


class OpenProgram(Program):
    """`instrument play --console-listen 0.0.0.0`, with the user's settings in a folder of the test's."""

    @property
    def network(self) -> tuple[str, str, str]:
        """Where others find it (https://HOST:PORT), the token and the fingerprint."""
        said = r"network +(https://\S+?)/\?token=(\S+)[\s\S]*SHA-256 (\S+)"
        wait_until(lambda: re.search(said, "\n".join(self.lines)), "the link for others")
        found = re.search(said, "\n".join(self.lines))
        assert found is not None
        return found[1], found[2], found[3]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenProgram]:
    project = new_project(tmp_path_factory.mktemp("projects") / "piece", "three-postures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        with OpenProgram(project.folder, "--source", "phone", "--console-listen", "0.0.0.0") as program:  # noqa: S104
            yield program


def get(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    kind, _, where = url.partition("://")
    trusting = ssl._create_unverified_context()  # noqa: S323  (the certificate is looked at below)
    connection = (
        http.client.HTTPSConnection(where, timeout=PATIENCE_S, context=trusting)
        if kind == "https"
        else http.client.HTTPConnection(where, timeout=PATIENCE_S)
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
PATHS = ["/", "/camera", "/static/live.js", "/static/console.css", "/takes/1/strip", "/network/qr.svg", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_told(program: OpenProgram, path: str) -> None:
    url, token, _ = program.network
    for given, status in (("", 401), ("?token=wrong", 403), (f"?token={token[:-1]}", 403)):
        answer = get(url, path + given)
        assert answer[0] == status
        assert len(answer[2]) < 100
        assert token.encode() not in answer[2]
        assert "set-cookie" not in answer[1]


@pytest.mark.parametrize("path", ["/live", "/camera/pictures", "/_nicegui_ws/socket.io/?transport=websocket&EIO=4"])
def test_no_web_socket_opens_without_the_cookie_or_for_another_site(program: OpenProgram, path: str) -> None:
    url, token, _ = program.network
    assert get(url, path, **UPGRADE)[0] in (401, 403)
    cookie = f"instrument_token={token}"
    assert get(url, path, Cookie=cookie, Origin="https://evil.example", **UPGRADE)[0] == 403
    assert get(url, path, Cookie=cookie, Host="evil.example", **UPGRADE)[0] == 403


def test_the_link_lets_in_by_a_cookie_only_tls_carries(program: OpenProgram) -> None:
    url, token, _ = program.network
    status, headers, _ = get(url, f"/camera?token={token}")
    assert status == 200
    cookie = headers["set-cookie"]
    assert all(f"; {word}" in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))
    assert get(url, "/camera", Cookie=cookie.partition(";")[0])[0] == 200
    assert get(url, "/camera", Cookie=cookie.partition(";")[0], Host="evil.example")[0] == 403


def test_the_fingerprint_that_is_printed_is_the_certificates(program: OpenProgram) -> None:
    import hashlib

    url, _, fingerprint = program.network
    host, port = url.removeprefix("https://").rsplit(":", 1)
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host.strip("[]"), int(port))))
    assert hashlib.sha256(certificate).hexdigest().upper() == fingerprint.replace(":", "")


def test_the_network_gets_nothing_without_tls(program: OpenProgram) -> None:
    url, _, _ = program.network
    with pytest.raises((http.client.HTTPException, OSError)):
        get(url.replace("https", "http"), "/")


def test_this_computer_needs_neither_token_nor_certificate(program: OpenProgram) -> None:
    assert get(program.url, "/")[0] == 200
    assert get(program.url, "/", Host="evil.example")[0] == 403
    assert b"<svg" in get(program.url, "/network/qr.svg")[2]


def test_a_console_that_is_started_again_keeps_link_and_certificate(program: OpenProgram) -> None:
    url, token, _ = program.network
    killed = program.child("console")
    program.kill("console")
    wait_until(lambda: program.child("console") not in (None, killed), "another console")

    def is_served() -> bool:
        with contextlib.suppress(OSError):
            return get(url, "/", Cookie=f"instrument_token={token}")[0] == 200
        return False

    wait_until(is_served, "the page")


def test_a_phone_in_the_network_becomes_the_camera_through_the_link(
    program: OpenProgram, tmp_path_factory: pytest.TempPathFactory
) -> None:
    require_client("chromium")
    clip = camera_clip(tmp_path_factory.mktemp("clips") / "performer.mjpeg")
    url, token, _ = program.network
    with chromium(*fake_camera(clip)) as browser:
        page = _phone(browser).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(f"{url}/camera?token={token}")
        page.get_by_role("button", name="Start this camera").click()
        page.locator("instrument-phone-camera[data-state=good]").wait_for()
        page.locator("instrument-recognised[data-said=up]").wait_for()
        assert page.url == f"{url}/camera"
        assert page.evaluate("document.cookie") == ""


def _phone(browser: "Browser"):
    return browser.new_context(ignore_https_errors=True, viewport={"width": 390, "height": 844})


# What listens


def listening(program: Program) -> set[str]:
    """The addresses that the program's processes listen on, TCP and UDP."""
    main = psutil.Process(program.process.pid)
    found = set()
    for process in [main, *main.children(recursive=True)]:
        for one in process.net_connections(kind="inet"):
            if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM:
                found.add(one.laddr.ip)
    return found


def test_by_default_nothing_listens_beyond_this_computer(tmp_path: Path) -> None:
    project = new_project(tmp_path / "piece", "three-postures")
    with Program(project.folder, "--source", "phone") as program:
        assert get(program.url, "/")[0] == 200
        assert listening(program) == {"127.0.0.1"}


def test_when_asked_only_the_page_listens_beyond_this_computer(program: OpenProgram) -> None:
    main = psutil.Process(program.process.pid)
    port = int(program.network[0].rpartition(":")[2])
    beyond = [
        one.laddr.port
        for process in main.children(recursive=True)
        for one in process.net_connections(kind="inet")
        if (one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM) and one.laddr.ip != "127.0.0.1"
    ]
    assert beyond == [port]
