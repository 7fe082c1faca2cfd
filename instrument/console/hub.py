"""What the console knows of the engine: the newest telemetry, and the state behind it, for every page that is open.

One UDP socket hears the engine. It asks for the topics some page wants, and for none while no page
is open. Whatever moves is kept only until it is handed on, newest wins; the state (status, routes,
takes) is asked for anew when the engine says that it changed.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instrument import osc
from instrument.client import CommandFailed, NoAnswer
from instrument.console.takes import take_rows
from instrument.console.viewer import Moving, Viewer
from instrument.protocol import TOPICS, Value
from instrument.takes import TakesError

log = logging.getLogger(__name__)

ALWAYS = (
    "frame",
    "prediction",
    "movement",
    "control",
    "source",
    "latency",
    "training",
    "coaching",
    "recording",
    "pedal",
    "changes",
)
"""Topics that are small: subscribed to as long as a page is open. Pages ask for the others."""
RENEW_S = 3.0
SILENT_S = 0.3
"""Without a word for so long, the engine is asked again: a new one knows of no subscription."""
GONE_S = 1.5
"""Without a word for so long, although asked, the engine is gone."""
STATUS_EVERY_S = 2.0
TICK_S = 0.1
BETWEEN_FRAMES_S = 0.05
"""How long what is sent waits for its frame; without a camera there is none."""
ANSWER_S = 24 * 3600.0
"""A command such as a timed recording may take as long as it likes."""
STATUS_ANSWER_S = 2.0
ASKED_ANEW = {
    "takes": ("takes", "status"),
    "patch": ("status", "routes", "scenes", "pedals", "takes"),
    "pedals": ("pedals",),
    "routes": ("routes", "scenes", "status"),
    "models": ("status",),
    "running": ("status",),
}
"""What is asked for when the engine says that something changed."""
ASKED_FIRST = ("status", "routes", "scenes", "pedals", "takes")
REMOTE = "/instrument/remote"
MOST_BYTES = 65507
"""Of a datagram."""

_TOPIC_OF = {topic[0]: name for name, topic in TOPICS.items()}


class Hub(asyncio.DatagramProtocol):
    """The console's end of the protocol. Lives in one asyncio loop; `run` until cancelled."""

    def __init__(self, host: str, port: int) -> None:
        self.engine = (host, port)
        self.state: dict[str, Any] = {"engine": "starting"}
        """The newest of everything that changes now and then, by name; every new page begins with it."""
        self._viewers: set[Viewer] = set()
        self._moving = Moving()
        self._waiting: asyncio.TimerHandle | None = None
        self._latency: dict[str, tuple[float, float]] = {}
        self._curves: dict[str, dict[str, Any]] = {}
        """Of each output, what its last training reported: `steps`, and rows of step, loss and validation."""
        self._transport: asyncio.DatagramTransport | None = None
        self._heard_at_s = 0.0
        self._subscribed: tuple[frozenset[str], float] = (frozenset(), 0.0)
        self._due = set(ASKED_FIRST)
        self._status_at_s = 0.0
        self._bell = asyncio.Event()
        self._asked: set[asyncio.Future[list[Value]]] = set()

    # Pages

    def add(self, viewer: Viewer) -> None:
        """A page has opened: it gets the state now, and what moves from now on."""
        self._viewers.add(viewer)
        viewer.state(self.state)
        self._bell.set()

    def remove(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._bell.set()

    def want(self) -> None:
        """Some page wants other topics than before."""
        self._bell.set()

    def tell(self, name: str, value: Any) -> None:
        """Has every page know something of the console's own, as part of the state."""
        self._set(name, value)

    async def ask(
        self, address: str, *arguments: Value, timeout_s: float = ANSWER_S, is_remote: bool = False
    ) -> list[Value]:
        """Sends a command, from a port of its own, and gives what its `/done` carries.

        With `is_remote` it is asked for by another computer. Raises CommandFailed with the reason, or NoAnswer.
        """
        datagram = osc.encode(*((REMOTE, (address, *arguments)) if is_remote else (address, arguments)))
        if len(datagram) > MOST_BYTES:
            raise CommandFailed(f"{address}: more than fits into a datagram")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Value]] = loop.create_future()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Answer(address, answer), remote_addr=self.engine
            )
        except OSError as error:
            raise NoAnswer(str(error)) from None
        self._asked.add(answer)
        try:
            transport.sendto(datagram)
            async with asyncio.timeout(timeout_s):
                return await answer
        except NoAnswer:
            raise
        except TimeoutError:
            raise NoAnswer(f"no answer to {address} within {timeout_s:g} s") from None
        finally:
            self._asked.discard(answer)
            transport.close()

    async def status(self) -> dict[str, Any]:
        """What the engine says of itself; while a page is open, what pages were told last.

        Raises NoAnswer and CommandFailed.
        """
        if self._viewers and "status" in self.state:
            return dict(self.state["status"])
        answer = await self.ask("/instrument/status", timeout_s=STATUS_ANSWER_S)
        return dict(json.loads(str(answer[0])))

    # The engine

    async def run(self) -> None:
        """Subscribes, renews, asks for state that has changed, notices that the engine is gone or back."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self.engine)
        asking = asyncio.create_task(self._keep_state())
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):  # Python 3.11's wait_for may swallow a cancellation
                        await self._bell.wait()
                self._bell.clear()
                self._subscribe(loop.time())
                if self._viewers and loop.time() - self._heard_at_s > GONE_S:
                    self._set_engine("gone")
        finally:
            asking.cancel()
            self._transport.close()

    def _subscribe(self, now_s: float) -> None:
        assert self._transport is not None
        wanted = frozenset[str]()
        if self._viewers:
            wanted = frozenset(ALWAYS).union(*(viewer.topics for viewer in self._viewers)) & TOPICS.keys()
        topics, renewed_at_s = self._subscribed
        is_heard = now_s - self._heard_at_s < SILENT_S
        if wanted == topics and (not wanted or (is_heard and now_s - renewed_at_s < RENEW_S)):
            return
        if wanted and not topics:
            self._heard_at_s = now_s  # nobody listened, so nothing was missed
            self._due |= set(ASKED_FIRST)
        self._subscribed = (wanted, now_s)
        command = ("/instrument/subscribe", sorted(wanted)) if wanted else ("/instrument/unsubscribe", [])
        self._transport.sendto(osc.encode(*command))

    def datagram_received(self, datagram: bytes, _: object) -> None:
        try:
            messages = osc.decode(datagram)
        except osc.OscError:
            return
        self._heard_at_s = asyncio.get_running_loop().time()
        self._set_engine("here")
        for address, values in messages:
            if (topic := _TOPIC_OF.get(address)) is not None:
                self._take(topic, values)

    def error_received(self, _: Exception) -> None:
        self._set_engine("gone")  # the port is closed
        for answer in self._asked:
            _give_up(answer)  # what an engine that dies has taken in is never answered

    def _take(self, topic: str, values: tuple[Value, ...]) -> None:
        match topic:
            case "frame":
                self._moving.frame = (int(values[0]), int(values[1]))
                self._hand_on()
            case "prediction":
                self._moving.predictions[str(values[0])] = values[1:]
            case "control":
                self._moving.controls.append(values)
                if self._waiting is None:
                    self._waiting = asyncio.get_running_loop().call_later(BETWEEN_FRAMES_S, self._hand_on)
            case "movement":
                self._moving.movements.append(values)
            case "landmarks":
                self._moving.blobs[str(values[0])] = bytes(values[1])  # type: ignore[arg-type]
            case "features":
                self._moving.blobs["features"] = bytes(values[0])  # type: ignore[arg-type]
            case "preview":
                picture = Moving(picture=int(values[0]), blobs={"preview": bytes(values[1])})  # type: ignore[arg-type]
                for viewer in self._viewers:
                    if "preview" in viewer.topics:  # the others need not carry it, and may be far away
                        viewer.move(picture)
            case "latency":
                self._latency[str(values[0])] = (float(values[1]), float(values[2]))
                if values[0] == "beyond_tracking":  # the last of them
                    self._set("latency", dict(self._latency))
            case "coaching":
                self._set("coaching", json.loads(str(values[0])))
            case "training":
                self._set("training", list(values))
                self._add_point(*values)
            case "pedal":  # a moment, and nothing that a page which opens later should hear of
                for viewer in self._viewers:
                    viewer.state({"pedal": list(values)})
            case "changes":
                self._due |= set(ASKED_ANEW.get(str(values[0]), ()))
                if values[0] == "maps":
                    self._drawn_anew()
            case _:
                self._set(topic, list(values))

    def _add_point(self, output: Value, step: Value, steps: Value, loss: Value, validation: Value) -> None:
        """One more point of a curve; an earlier step than the last begins another."""
        rows = self._curves.get(str(output), {"rows": []})["rows"]
        if rows and rows[-1][0] >= int(step):
            rows = []
        self._curves[str(output)] = {"steps": steps, "rows": [*rows, [step, loss, validation]]}
        self._set("curves", dict(self._curves))

    def _hand_on(self) -> None:
        """Gives every page what is new since the last time."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        for viewer in self._viewers:
            viewer.move(self._moving)
        self._moving = Moving()

    def _set_engine(self, state: str) -> None:
        if self.state["engine"] != state:
            self._set("engine", state)
            if state == "here":
                self._due |= set(ASKED_FIRST)
            self._bell.set()

    def _drawn_anew(self) -> None:
        """Has pages ask anew for what models see."""
        self._set("maps", self.state.get("maps", 0) + 1)

    def _set(self, name: str, value: Any) -> None:
        self.state[name] = value
        for viewer in self._viewers:
            viewer.state({name: value})

    # The state behind

    async def _keep_state(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.1)
            if not self._viewers or self.state["engine"] != "here":
                continue
            if loop.time() - self._status_at_s > STATUS_EVERY_S:
                self._due.add("status")
            due, self._due = self._due, set()
            for name in sorted(due):  # status before takes
                try:
                    await self._refresh(name)
                except (NoAnswer, CommandFailed, TakesError, OSError, ValueError, KeyError) as error:
                    log.debug("%s: %s", name, error)
                    self._due.add(name)

    async def _refresh(self, name: str) -> None:
        if name == "takes":
            project = Path(self.state["status"]["project"])
            self._set("takes", await asyncio.to_thread(take_rows, project))
            return
        answer = await self.ask(f"/instrument/{name}", timeout_s=2.0)
        found = json.loads(str(answer[0]))
        if name == "status":
            self._status_at_s = asyncio.get_running_loop().time()
            before = self.state.get("status", {})
            if found["project"] != before.get("project"):
                self._due.add("takes")
                if before:  # what another project's training reported
                    self._curves = {}
                    self._set("curves", {})
            if found["changes"] != before.get("changes"):  # what said so may have been lost on the way
                self._due |= {"takes", "routes", "scenes", "pedals"}
                self._drawn_anew()
            if self.state.get("coaching") != found["coaching"]:
                self._set("coaching", found["coaching"])
        self._set(name, found)


class _Answer(asyncio.DatagramProtocol):
    """Waits for the answer to one command."""

    def __init__(self, address: str, answer: "asyncio.Future[list[Value]]") -> None:
        self._address = address
        self._answer = answer

    def datagram_received(self, datagram: bytes, _: object) -> None:
        with contextlib.suppress(osc.OscError):
            for address, values in osc.decode(datagram):
                if self._answer.done() or not values or values[0] not in (self._address, REMOTE):
                    continue
                if address == "/done":
                    self._answer.set_result(list(values[1:]))
                elif address == "/fail":
                    self._answer.set_exception(CommandFailed(str(values[1]) if len(values) > 1 else "no reason given"))

    def error_received(self, _: Exception) -> None:
        _give_up(self._answer)


def _give_up(answer: "asyncio.Future[list[Value]]") -> None:
    if not answer.done():
        answer.set_exception(NoAnswer("the engine does not answer; it is started again by itself"))


def topics_there_are(topics: Iterable[object]) -> frozenset[str]:
    """Those of them that can be subscribed to."""
    return frozenset(str(one) for one in topics) & TOPICS.keys()
