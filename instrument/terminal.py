"""What a player sees in the terminal: what is heard, what is sent where, and a line to type into.

A typed line is a command of the protocol with spaces for slashes: `record posture rest` sends
/instrument/record "posture" "rest".
"""

import re
import shlex
import textwrap
import threading
from collections.abc import Callable, Iterator

from instrument.client import Client
from instrument.patch import NO_CLASS, Patch, Route
from instrument.project import Project
from instrument.protocol import PREFIX, SECTIONS, Command, Value, parse_line
from instrument.report import answer_text

PROMPT_AGAIN_S = 0.3
"""How long a typed command may take before the next one can be typed."""
_INDENT = " " * 6
_HARD_SPACE = "\u00a0"
_TAG = re.compile(r":[ifsv]\b")


def introduction(project: Project, patch: Patch, *, source: str, in_port: int) -> str:
    """What is played, what it hears, what it sends where, and what to type next."""
    lines = [f"{patch.name}  ({project.folder})"]
    if patch.about:
        lines.append(f"  {patch.about}")
    heard = "numbers, as /wek/inputs" if source == "osc" else f"{source} ({' and '.join(patch.listen.track)})"
    lines.append(f"  hears    {heard}; commands on port {in_port}")
    for output in patch.outputs:
        learns = "a value" if output.kind == "continuous" else ", ".join(output.classes) or "whatever you record"
        lines.append(f"  learns   {output.name}: {learns}")
    for destination in patch.destinations.values():
        if destination.is_page:
            where = "sound in the page"
        elif destination.osc:
            where = f"OSC to {destination.osc[0]}:{destination.osc[1]}"
        else:
            where = f"MIDI to {destination.midi}"
        sent = [_route_words(route) for route in patch.routes if route.destination == destination.name]
        if destination.name == "out" and patch.is_wekinator and patch.outputs:
            sent.insert(0, "/wek/outputs")
        if sent:
            lines.append(f"  sends    {where}: {', '.join(sent)}")
    for number, pedal in enumerate(patch.pedals, start=1):
        heard = f"{pedal.midi} {pedal.number}" if pedal.midi else f"not learned yet: pedal learn {number}"
        lines.append(f"  pedal    {pedal.name}: {heard}")
    return "\n".join(lines)


def next_steps(patch: Patch) -> str:
    """What to type next, made from the patch's own names."""
    if not patch.outputs:
        return "  type     status, help, quit"
    output = patch.outputs[0]
    target = f"{output.high:g}" if output.kind == "continuous" else output.classes[0] if output.classes else "wave"
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


def command_words() -> list[str]:
    """Every command as it is typed."""
    return [_as_typed(row) for rows in _typed_sections().values() for row in rows]


def help_text(about: str = "") -> str:
    """The commands there are; or, with their arguments and what they do, those about one word, or `all` of them."""
    if not about:
        return _overview()
    lines = []
    for title, rows in _typed_sections().items():
        is_whole = about == "all" or about in title.lower()
        wanted = rows if is_whole else [row for row in rows if about in _as_typed(row)]
        lines += ["", title] if wanted else []
        for row in wanted:
            lines.append(f"  {_as_typed(row)} {_TAG.sub('', row.signature)}".rstrip())
            lines += textwrap.wrap(row.about.replace("`", ""), 84, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return "\n".join(lines) or f"nothing about '{about}'; `help` shows what there is"


def _overview() -> str:
    lines = []
    for title, rows in _typed_sections().items():
        names = ", ".join(_as_typed(row).replace(" ", _HARD_SPACE) for row in rows)  # no line ends within one
        wrapped = textwrap.wrap(names, 84, initial_indent="  ", subsequent_indent="  ")
        lines += ["", title, *(line.replace(_HARD_SPACE, " ") for line in wrapped)]
    more = "help WORD, such as help record, says what the commands with it do; help all, every one"
    return "\n".join([*lines, "", more])


def _typed_sections() -> dict[str, list[Command]]:
    """The commands a player types, by section: not those for programs."""
    sections = {title: [row for row in rows if row.is_answered] for title, rows in SECTIONS.items()}
    return {title: rows for title, rows in sections.items() if rows and title != "Telemetry"}


def _as_typed(command: Command) -> str:
    return command.address.removeprefix(PREFIX).replace("/", " ")


class LiveLine:
    """One line of text about now: what each output sees, frame rate and latency. Keeps itself fresh."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: dict[str, str] = {}
        self._played: dict[str, str] = {}
        self._latency = ""
        self._source = ""
        self._recording = ""
        self._was_heard = False
        self._closing = threading.Event()
        threading.Thread(target=self._listen, name="live line", daemon=True).start()

    def text(self) -> str:
        if self._source:
            return self._source
        words = [f"{output}: {said}{self._played.get(output, '')}" for output, said in self._seen.items()]
        return "   ".join([self._recording, *words, self._latency]).strip() or "starting ..."

    def close(self) -> None:
        self._closing.set()

    def _listen(self) -> None:
        while not self._closing.is_set():
            with Client(port=self._port) as client:
                for address, values in self._messages(client):
                    self._take(address, values)
            self._seen.clear()
            self._latency = "the engine does not answer" if self._was_heard else ""
            self._closing.wait(0.5)

    def _messages(self, client: Client) -> Iterator[tuple[str, list[Value]]]:
        while not self._closing.is_set():
            try:
                client.send("/instrument/subscribe", "prediction", "movement", "latency", "source", "recording")
            except OSError:
                return
            is_heard = False
            for message in client.messages(timeout_s=2.0):
                is_heard = True
                yield message
            if not is_heard:
                return

    def _take(self, address: str, values: list[Value]) -> None:
        words = [f"{one:.2f}" if isinstance(one, float) else str(one) for one in values]
        self._was_heard = True
        if address == "/instrument/prediction":
            is_none = len(values) == 4 and words[1] == NO_CLASS
            self._seen[words[0]] = f"{NO_CLASS} (familiarity {words[3]})" if is_none else " ".join(words[1:3])
        elif address == "/instrument/movement" and words[1] == "hit":
            self._played[words[0]] = f" (played {words[2]} {words[3]})"
        elif address == "/instrument/latency" and words[0] == "total":
            self._latency = f"{words[1]} ms from picture to sound"
        elif address == "/instrument/source/state":
            self._source = "" if words[0] == "playing" else f"SOURCE {words[0].upper()}: {words[1]}"
        elif address == "/instrument/recording":
            names = {"idle": "", "count_in": f"GET READY {words[1]} s", "recording": f"RECORDING {words[1]} s"}
            self._recording = names.get(words[0], "")


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
        with patch_stdout(raw=True):
            try:
                while (line := session.prompt("> ").strip()) != "quit":
                    if line:
                        # In a thread of its own, so that `panic` can be typed while a take is awaited.
                        doing = threading.Thread(
                            target=lambda typed: print(_do(port, typed)), args=(line,), daemon=True
                        )
                        doing.start()
                        doing.join(PROMPT_AGAIN_S)
            except (EOFError, KeyboardInterrupt):
                pass
            finally:
                live.close()
                stop()

    return read


def _do(port: int, line: str) -> str:
    if line.split()[0] == "help":
        return help_text(line.removeprefix("help").strip().lower())
    try:
        command, arguments = parse_line(line)
        with Client(port=port) as client:
            if not command.is_answered:
                client.send(command.address, *arguments)
                return "sent"
            timeout_s = 24 * 3600.0 if command.is_later else 5.0
            return answer_text(command.address, client.ask(command.address, *arguments, timeout_s=timeout_s))
    except (ValueError, RuntimeError, TimeoutError, OSError) as error:
        return f"! {error}"
