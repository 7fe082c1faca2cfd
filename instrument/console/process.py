"""The console as a process: `python -m instrument.console.process`, started by the supervisor.

It says on stdout where its page is, as a line `page URL`, and ends with its stdin. Without NiceGUI
it says so and ends with EXIT_CANNOT_START: the instrument plays on without a page.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Sequence

from instrument.engine_process import EXIT_CANNOT_START
from instrument.logs import set_up_logging
from instrument.patch import parse_host_port
from instrument.picture_stream import SECRET_VARIABLE
from instrument.trainer import lower_priority

log = logging.getLogger(__name__)

PORTS_TRIED = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page until the supervisor is gone; gives the exit code."""
    parser = argparse.ArgumentParser(prog="instrument.console.process", description="The instrument's web page.")
    parser.add_argument("--engine", required=True, type=parse_host_port, help="HOST:PORT the engine listens on")
    parser.add_argument("--listen", default="127.0.0.1", help="the address to serve on")
    parser.add_argument("--port", required=True, type=int, help="the port to serve on")
    parser.add_argument("--is-fixed", action="store_true", help="that port and no other")
    arguments = parser.parse_args(argv)
    set_up_logging(is_quiet=True)
    lower_priority()
    token = None if _is_loopback(arguments.listen) else secrets.token_urlsafe(16)
    try:
        listener = _bind(arguments.listen, arguments.port, tries=1 if arguments.is_fixed else PORTS_TRIED)
    except OSError as error:
        print(f"instrument: no page: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        advice = "install it with: pip install nicegui"
        print(f"instrument: no page: {error}; {advice}. It plays on without.", file=sys.stderr)
        return EXIT_CANNOT_START
    asyncio.run(_serve(listener, arguments.engine, token))
    return 0


async def _serve(listener: socket.socket, engine: tuple[str, int], token: str | None) -> None:
    import uvicorn

    from instrument.console.app import console_app
    from instrument.console.hub import Hub
    from instrument.console.pages import PAGES

    app = console_app(Hub(*engine), PAGES, secret=os.environ.get(SECRET_VARIABLE, ""), token=token)
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,
        access_log=False,
        ws_per_message_deflate=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    host, port = listener.getsockname()[:2]
    print(f"page {link(host, port, token)}", flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, _wait_for_stdin)
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    logging.shutdown()
    os._exit(0)  # a browser that holds its connection open is not waited for


def link(host: str, port: int, token: str | None) -> str:
    """What to open in a browser."""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = _own_address()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _own_address() -> str:
    """The address other computers in the network know this one by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _is_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


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
