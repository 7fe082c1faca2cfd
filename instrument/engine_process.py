"""The engine as a process: `python -m instrument.engine_process`, started by the supervisor.

Its stdout is a pipe to the supervisor, which holds the MIDI ports and remembers the session; its
stdin is held open by the supervisor, so the end of stdin means the supervisor is gone, and the
engine ends too.
"""

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instrument.logs import set_up_logging

log = logging.getLogger(__name__)

EXIT_CANNOT_START = 3
"""The exit code when starting again would fail in the same way; the reason is on stderr."""


def main(argv: Sequence[str] | None = None) -> int:
    """Plays until told to quit; gives the exit code."""
    parser = argparse.ArgumentParser(prog="instrument.engine_process", description="The instrument's engine.")
    parser.add_argument("--options", required=True, help="EngineOptions as JSON")
    parser.add_argument("--quiet", action="store_true", help="log warnings only")
    arguments = parser.parse_args(argv)
    if "INSTRUMENT_LOG" not in os.environ:
        silence_native_logs()
    faulthandler.enable(sys.stderr)
    set_up_logging(is_quiet=arguments.quiet)

    from instrument.kernels.threads import use_one_thread

    use_one_thread()

    from instrument.assets import AssetError
    from instrument.engine import Engine
    from instrument.midi import PipedMidi
    from instrument.patch import PatchError
    from instrument.server import PortInUse
    from instrument.source import SourceError
    from instrument.takes import TakesError

    pipe = sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up in the pipe

    def report(session: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):
            pipe.write(f"session {json.dumps(session)}\n".encode("ascii"))
            pipe.flush()

    try:
        engine = Engine(_options(arguments.options), midi=PipedMidi(pipe, {}), report=report)
    except (PatchError, SourceError, PortInUse, TakesError, AssetError) as error:
        print(f"instrument: {error}", file=sys.stderr)
        return EXIT_CANNOT_START

    def quit_engine(*_: object) -> None:
        engine.is_quitting = True

    signal.signal(signal.SIGTERM, quit_engine)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the supervisor ends this one
    threading.Thread(target=_quit_with_stdin, args=(quit_engine,), name="stdin", daemon=True).start()
    engine.run()
    return 0


def silence_native_logs() -> None:
    """Keeps what MediaPipe's and OpenCV's C++ write to stderr off the terminal; Python goes on writing there."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _options(text: str) -> Any:
    from instrument.engine import EngineOptions

    options = json.loads(text)
    options["folder"] = Path(options["folder"])
    if options.get("out") is not None:
        options["out"] = tuple(options["out"])
    return EngineOptions(**options)


def _quit_with_stdin(quit_engine: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):  # not sys.stdin, whose lock would hang the exit
            pass
    quit_engine()


if __name__ == "__main__":
    sys.exit(main())
