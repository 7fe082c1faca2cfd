"""The engine as a process: `python -m instrument.engine_process`, started by the supervisor.

Its stdout is a pipe to the supervisor, which holds the MIDI ports and remembers the session. On its
stdin the supervisor says how those ports and the other processes fare; the end of stdin means that the supervisor is
gone, and the engine ends too.
"""

import argparse
import contextlib
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instrument.logs import set_up_logging
from instrument.picture_stream import SECRET_VARIABLE

if TYPE_CHECKING:
    from instrument.engine import Engine
    from instrument.midi import PipedMidi

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

    try:
        midi = PipedMidi(pipe, {})
        engine = Engine(
            _options(arguments.options),
            midi=midi,
            report=lambda session: midi.tell("session", session),
            listen=lambda inputs: midi.tell("inputs", inputs),
        )
    except (PatchError, SourceError, PortInUse, TakesError, AssetError) as error:
        print(f"instrument: {error}", file=sys.stderr)
        return EXIT_CANNOT_START

    def quit_engine(*_: object) -> None:
        engine.is_quitting = True

    gc.collect()
    gc.freeze()  # what is there now stays: collecting garbage later need not look at it between two frames
    signal.signal(signal.SIGTERM, quit_engine)
    threading.Thread(target=_hear_supervisor, args=(midi, engine, quit_engine), name="stdin", daemon=True).start()
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
    return EngineOptions(**options, secret=os.environ.get(SECRET_VARIABLE, ""))


def _hear_supervisor(midi: "PipedMidi", engine: "Engine", quit_engine: Callable[[], None]) -> None:
    """Takes in how MIDI ports and processes fare, a line of JSON each time that changes, until stdin ends."""
    lines = os.fdopen(os.dup(0), "rb")  # not sys.stdin, whose lock would hang the exit
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            said = json.loads(line)
            midi.hear({name: (port, reason) for name, (port, reason) in said["midi"].items()})
            engine.health.restarts = said["restarts"]
            inputs = {name: (port, reason) for name, (port, reason) in said["inputs"].items()}
            if inputs != engine.pedals.ports:
                engine.pedals.ports = inputs
    quit_engine()


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stderr.flush()
    # A camera's thread may hang in OpenCV for ever; leaving Python in order would wait for it, or abort.
    os._exit(exit_code)
