"""The console as a process: `python -m instrument.console.process`, started by the supervisor.

It says on stdout where its page is, as a line `page URL`, then where other computers find it, if
they may, as `network URL FINGERPRINT`, every second that it lives, as `here`, and ends with its stdin. Without NiceGUI
it says so and ends with EXIT_CANNOT_START: the instrument plays on without a page.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instrument.console.network import (
    Door,
    in_brackets,
    is_loopback,
    kept_certificate,
    kept_token,
    own_names,
    reached_address,
    settings_folder,
)
from instrument.engine_process import EXIT_CANNOT_START
from instrument.logs import set_up_logging
from instrument.osc import parse_host_port
from instrument.picture_stream import SECRET_VARIABLE
from instrument.priority import lower_priority

log = logging.getLogger(__name__)

PORTS_TRIED = 20
LIFE_SIGN_EVERY_S = 1.0
MOST_CONNECTIONS = 200
"""From the network; each page holds three or four."""
ASKS_WITHIN_S = 10.0
"""A connection from the network that has asked for nothing by then is closed: strangers could hold them all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page until the supervisor is gone; gives the exit code."""
    lower_priority()  # before anything that takes long: the engine is about to play its first frame
    parser = argparse.ArgumentParser(prog="instrument.console.process", description="The instrument's web page.")
    parser.add_argument("--engine", required=True, type=parse_host_port, help="HOST:PORT the engine listens on")
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        help="the address to serve on; others than this computer get TLS on the port after",
    )
    parser.add_argument("--port", required=True, type=int, help="the port to serve on")
    parser.add_argument("--is-fixed", action="store_true", help="that port and no other")
    parser.add_argument("--page", action="append", default=[], type=Path, help="a file that makes one more page")
    arguments = parser.parse_args(argv)
    set_up_logging(is_quiet=True)
    is_network = not is_loopback(arguments.listen)
    here = "127.0.0.1" if is_network else arguments.listen
    try:
        listener = _bind(here, arguments.port, tries=1 if arguments.is_fixed else PORTS_TRIED)
    except OSError as error:
        print(f"instrument: no page: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        advice = "install it with: pip install nicegui"
        print(f"instrument: no page: {error}; {advice}. It plays on without.", file=sys.stderr)
        return EXIT_CANNOT_START
    door, outside = None, None
    if is_network:
        try:
            outside = _bind(arguments.listen, listener.getsockname()[1] + 1, tries=1)
            door = _open_door(outside)
        except (OSError, ImportError) as error:
            outside = None
            print(f"instrument: the page is served to this computer only: {error}", file=sys.stderr)
    asyncio.run(_serve(listener, outside, door, arguments.engine, arguments.page))
    return 0


def _open_door(outside: socket.socket) -> Door:
    host, port = outside.getsockname()[:2]
    folder = settings_folder()
    return Door(
        host=reached_address() if host in ("0.0.0.0", "::") else host,  # noqa: S104
        port=port,
        token=kept_token(folder),
        certificate=kept_certificate(folder),
    )


async def _serve(
    listener: socket.socket,
    outside: socket.socket | None,
    door: Door | None,
    engine: tuple[str, int],
    own_pages: Sequence[Path],
) -> None:
    import uvicorn

    from instrument.console.app import console_app
    from instrument.console.guard import Guard
    from instrument.console.hub import Hub
    from instrument.console.own_page import OwnPageError, own_page
    from instrument.console.pages import PAGES

    pages = list(PAGES)
    for file in own_pages:
        try:
            pages.append(own_page(file, pages))
        except OwnPageError as error:
            print(f"instrument: a page is left out: {error}", file=sys.stderr)
    settings: dict[str, Any] = {
        "log_level": "warning",
        "log_config": None,
        "access_log": False,
        "ws_per_message_deflate": False,
        "ws_max_size": 1 << 20,
        "forwarded_allow_ips": "127.0.0.1",  # whatever the environment says: who is local is judged by it
        "timeout_graceful_shutdown": 1,
    }
    app = console_app(Hub(*engine), pages, secret=os.environ.get(SECRET_VARIABLE, ""), door=door)
    server = uvicorn.Server(uvicorn.Config(Guard(app), **settings))
    serving = {asyncio.create_task(server.serve(sockets=[listener]))}
    if outside is not None and door is not None:
        guarded = Guard(app, token=door.token, names=own_names())
        settings |= {"ssl_certfile": door.certificate.file, "ssl_keyfile": door.certificate.key_file}
        # The app begins and ends with the other server; what strangers can hold open is bounded.
        config = uvicorn.Config(guarded, lifespan="off", limit_concurrency=MOST_CONNECTIONS, **settings)
        config.load()
        config.http_protocol_class = _hurried(config.http_protocol_class)
        serving.add(asyncio.create_task(uvicorn.Server(config).serve(sockets=[outside])))
    while not server.started and not any(one.done() for one in serving):
        await asyncio.sleep(0.01)
    host, port = listener.getsockname()[:2]
    print(f"page http://{in_brackets(host)}:{port}/", flush=True)
    if door is not None:
        print(f"network {door.link()} {door.certificate.fingerprint}", flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, _wait_for_stdin)
    while not (ended.done() or any(one.done() for one in serving)):
        with contextlib.suppress(OSError):
            print("here", flush=True)
        await asyncio.wait({*serving, ended}, timeout=LIFE_SIGN_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError, TimeoutError):
        await asyncio.wait(serving, timeout=1.0)
    logging.shutdown()
    os._exit(0)  # a browser that holds its connection open is not waited for


def _hurried(protocol: Any) -> Any:
    """That protocol of uvicorn's, closing what is opened and not used."""

    class Hurried(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._closing = asyncio.get_running_loop().call_later(ASKS_WITHIN_S, self._close_unused, transport)

        def connection_lost(self, error: Exception | None) -> None:
            self._closing.cancel()  # which would keep a closed connection's buffers
            super().connection_lost(error)

        def _close_unused(self, transport: asyncio.Transport) -> None:
            if transport.is_closing() or transport.get_protocol() is not self:  # that has become a WebSocket
                return
            if self.cycle is None:  # no whole request has come
                transport.abort()

    return Hurried


def _bind(host: str, port: int, *, tries: int) -> socket.socket:
    """A listening socket on that port, or one of those after it.

    Raises OSError with what to do.
    """
    family, kind, proto, _, _ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    for one in range(port, port + tries):
        listener = socket.socket(family, kind, proto)
        if os.name != "nt":  # there it would let two programs have the same port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, one))
            listener.listen(64)
            return listener
        except OSError:
            listener.close()
    raise OSError(f"port {port} of {host} cannot be listened on; choose another with --console-port")


def _wait_for_stdin() -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass


if __name__ == "__main__":
    sys.exit(main())
