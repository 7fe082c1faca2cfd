"""What a player sees in the terminal: what is heard, what is sent where, and a line to type into.

A typed line is a command of the protocol with spaces for slashes: `record posture rest` sends
/instrument/record "posture" "rest".
"""

import json
import shlex
import threading
from collections.abc import Callable, Iterator

from instrument.client import Client
from instrument.patch import Patch, Route
from instrument.project import Project
from instrument.protocol import COMMANDS, Command, Value

_PREFIX = "/instrument/"
_HIDDEN = ("trainer",)


def introduction(project: Project, patch: Patch, *, source: str, in_port: int) -> str:
    """What is played, what it hears, what it sends where, and what to type next."""
    lines = [f"{patch.name}  ({project.folder})"]
    if patch.about:
        lines.append(f"  {patch.about}")
    heard = "numbers, as /wek/inputs" if source == "osc" else f"{source} ({' and '.join(patch.listen.track)})"
    lines.append(f"  hears    {heard}; commands on port {in_port}")
    for output in patch.outputs:
        learns = ", ".join(output.classes) or "whatever you record" if output.kind == "class" else "a value"
        lines.append(f"  learns   {output.name}: {learns}")
    for destination in patch.destinations.values():
        where = (
            f"OSC to {destination.osc[0]}:{destination.osc[1]}" if destination.osc else f"MIDI to {destination.midi}"
        )
        sent = [_route_words(route) for route in patch.routes if route.destination == destination.name]
        if destination.name == "out" and patch.is_wekinator and patch.outputs:
            sent.insert(0, "/wek/outputs")
        if sent:
            lines.append(f"  sends    {where}: {', '.join(sent)}")
    return "\n".join(lines)


def next_steps(patch: Patch) -> str:
    """What to type next, made from the patch's own names."""
    if not patch.outputs:
        return "  type     status, help, quit"
    output = patch.outputs[0]
    target = (output.classes[0] if output.classes else "wave") if output.kind == "class" else f"{output.high:g}"
    target = shlex.quote(target)
    return (
        f"  type     record timed 3 2 {output.name} {target}   three seconds to get ready, then two are recorded\n"
        "           train     learn from all takes            undo      take the last take back\n"
        "           status, help, panic, quit"
    )


def _route_words(route: Route) -> str:
    if route.osc:
        return route.osc
    number = "" if route.midi == "program" else f" {route.number}"
    return f"{route.midi}{number} channel {route.channel + 1}"


def parse_line(line: str) -> tuple[Command, list[Value]]:
    """The command a typed line means, and its arguments.

    Raises ValueError with what could be meant.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"{error} in: {line}") from None
    for count in range(len(words), 0, -1):
        address = _PREFIX + "/".join(words[:count])
        if words[0].startswith("/"):
            address, count = words[0], 1
        if address in COMMANDS:
            return COMMANDS[address], [typed_value(word) for word in words[count:]]
    close = [name for name in command_words() if words and name.split()[0].startswith(words[0][:3])]
    raise ValueError(f"no such command: {line}" + (f"; perhaps: {', '.join(close)}" if close else "; type help"))


def typed_value(word: str) -> Value:
    """A word as int, float or text, whichever it looks like."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def fit_arguments(command: Command, values: list[Value]) -> list[Value]:
    """Texts that look like numbers, as the texts the command wants.

    Raises ValueError.
    """
    tags = [argument.tag for argument in command.arguments]
    if command.repeats:
        while len(tags) < len(values):
            tags += tags[-command.repeats :]
    fitted = [
        str(value) if tag == "s" and not isinstance(value, str) else value
        for value, tag in zip(values, [*tags, *"v" * len(values)], strict=False)
    ]
    return command.check(fitted)


def command_words() -> list[str]:
    """Every command as it is typed."""
    names = [address.removeprefix(_PREFIX).replace("/", " ") for address in COMMANDS if address.startswith(_PREFIX)]
    return [name for name in names if name.split()[0] not in _HIDDEN]


def help_text() -> str:
    """Every command with its arguments, a line each."""
    lines = []
    for name in command_words():
        command = COMMANDS[_PREFIX + name.replace(" ", "/")]
        lines.append(f"  {name} {command.signature}".ljust(52) + f" {command.about}")
    return "\n".join(lines)


def readable(command: Command, values: list[Value]) -> str:
    """An answer as a person reads it."""
    parts = []
    for value in values:
        if isinstance(value, str) and value[:1] in "[{":
            parts.append(json.dumps(json.loads(value), indent=2))
        else:
            parts.append(str(value))
    return " ".join(parts) or "done"


class LiveLine:
    """One line of text about now: what each output sees, frame rate and latency. Keeps itself fresh."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: dict[str, str] = {}
        self._latency = ""
        self._source = ""
        self._closing = threading.Event()
        threading.Thread(target=self._listen, name="live line", daemon=True).start()

    def text(self) -> str:
        words = [f"{output}: {said}" for output, said in self._seen.items()]
        return "   ".join([*words, self._latency, self._source]).strip() or "starting ..."

    def close(self) -> None:
        self._closing.set()

    def _listen(self) -> None:
        while not self._closing.is_set():
            with Client(port=self._port) as client:
                for address, values in self._messages(client):
                    self._take(address, values)
            self._seen.clear()
            self._latency = "the engine does not answer"
            self._closing.wait(0.5)

    def _messages(self, client: Client) -> Iterator[tuple[str, list[Value]]]:
        while not self._closing.is_set():
            try:
                client.send("/instrument/subscribe", "prediction", "latency", "source", "recording")
            except OSError:
                return
            is_heard = False
            for message in client.messages(timeout_s=2.0):
                is_heard = True
                yield message
            if not is_heard:
                return

    def _take(self, address: str, values: list[Value]) -> None:
        if address == "/instrument/prediction":
            name, *said = values
            self._seen[str(name)] = " ".join(one if isinstance(one, str) else f"{one:.2f}" for one in said)  # type: ignore[str-bytes-safe]
        elif address == "/instrument/latency" and values[0] == "total":
            self._latency = f"{values[1]:.1f} ms from picture to sound"
        elif address == "/instrument/source/state":
            state, detail = values
            self._source = "" if state == "playing" else f"source {state}: {detail}"
        elif address == "/instrument/recording":
            state, seconds = values
            if state == "idle":
                self._seen.pop("recording", None)
            else:
                self._seen["recording"] = f"{state} {seconds:.1f} s"


def prompt(port: int, *, stop: Callable[[], None]) -> Callable[[], None]:
    """A function that reads and does typed lines until `quit`, Ctrl-C or Ctrl-D; it ends by calling `stop`."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.patch_stdout import patch_stdout

    def read() -> None:
        live = LiveLine(port)
        session: PromptSession[str] = PromptSession(
            completer=WordCompleter([*command_words(), "help", "quit"], sentence=True),
            complete_while_typing=False,
            bottom_toolbar=live.text,
            refresh_interval=0.1,
        )
        with patch_stdout(raw=True), Client(port=port) as client:
            try:
                while (line := session.prompt("> ").strip()) != "quit":
                    if line:
                        print(_do(client, line))
            except (EOFError, KeyboardInterrupt):
                pass
            finally:
                live.close()
                stop()

    return read


def _do(client: Client, line: str) -> str:
    if line == "help":
        return help_text()
    try:
        command, values = parse_line(line)
        arguments = fit_arguments(command, values)
        if not command.is_answered:
            client.send(command.address, *arguments)
            return "sent"
        timeout_s = 120.0 if command.is_later else 5.0
        return readable(command, client.ask(command.address, *arguments, timeout_s=timeout_s))
    except (ValueError, RuntimeError, TimeoutError, OSError) as error:
        return f"! {error}"
    except KeyboardInterrupt:
        return "not waiting any longer"
