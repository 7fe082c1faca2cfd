"""The console's web app: pages, the live WebSocket, and the files they need; everything behind the guard."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi import Path as Within
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from nicegui import ui
from starlette.requests import ClientDisconnect

from instrument.blame import blame
from instrument.client import CommandFailed, NoAnswer
from instrument.console.frame import Page, framed
from instrument.console.guard import App, is_local
from instrument.console.health import HealthKeeper
from instrument.console.hub import REMOTE, Hub, topics_there_are
from instrument.console.network import Door, qr_code
from instrument.console.phone import PhoneRelay
from instrument.console.takes import STRIP_FRAMES, RunThroughs, take_frames, take_strip
from instrument.console.uploads import UploadError, take_project, take_video, uploaded_projects
from instrument.console.viewer import Viewer
from instrument.models.fitting import Cancelled, TrainingError
from instrument.models.trained import ModelError
from instrument.patch import PatchError
from instrument.project import Project
from instrument.protocol import COMMANDS
from instrument.report import report_text
from instrument.takes import TakesError

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
REPORTS = {"txt": "text/plain", "json": "application/json"}
MOST_ASKED = 32
"""Commands of one page that may wait for their answers."""
MOST_A_SECOND, IN_ADVANCE_S = 100, 1.0
"""What one page may ask, and how far it may run ahead of that: a flood of it waits in the flooder's own network."""
ONLY_FROM_HERE = ("/instrument/project/", "/instrument/quit")
"""What only a page on this computer may ask for, besides what the engine does for none that is `remote`."""
TakeNumber = Annotated[int, Within(ge=0, lt=2**31)]


def console_app(hub: Hub, pages: Sequence[Page], *, secret: str = "", door: Door | None = None) -> App:
    """The app that serves those pages about that engine, to be put behind a Guard. One to a process: NiceGUI keeps
    its own state.

    `secret` is what console and engine know each other by when pictures are handed over; `door`, how others come in.
    """
    health = HealthKeeper(hub)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_running(hub, health))
    app.mount("/static", StaticFiles(directory=STATIC), name="console")

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await _serve(socket, hub)

    link = door.link("/camera") if door else ""
    hub.tell("network", {"url": link, "fingerprint": door.certificate.fingerprint} if door else None)
    relay = PhoneRelay(hub.engine[1], secret, lambda camera: hub.tell("phone", camera))

    @app.websocket("/camera/pictures")
    async def pictures(socket: WebSocket) -> None:
        await socket.accept()
        await relay.serve(socket)

    @app.get("/health/rows")
    async def rows() -> JSONResponse:
        return JSONResponse(health.shown())

    @app.get("/health/report.{kind}")
    async def report(kind: str) -> Response:
        if kind not in REPORTS:
            return Response(status_code=404)
        try:
            answer = await hub.ask("/instrument/status", timeout_s=2.0)
            found = {"status": json.loads(str(answer[0])), "health": health.shown()}
        except (NoAnswer, CommandFailed) as error:  # then, of all times, the hour before is wanted
            found = {"status": None, "why": str(error), "health": health.shown()}
        text = json.dumps(found, indent=2) if kind == "json" else report_text(found)
        named = f'attachment; filename="instrument-report-{time.strftime("%Y-%m-%d-%H%M%S")}.{kind}"'
        return Response(text, media_type=REPORTS[kind], headers={"content-disposition": named})

    @app.get("/network/qr.svg")
    async def qr() -> Response:
        return Response(qr_code(link), media_type="image/svg+xml", headers={"cache-control": "no-store"})

    uploading = asyncio.Lock()

    @app.post("/uploads/{kind}")
    async def upload(kind: str, request: Request, name: str = "") -> JSONResponse:
        if not is_local(request.scope):
            return _refused(403, "only a page on the instrument's own computer may send files")
        if uploading.locked():
            return _refused(409, "another file is being sent; wait until it is there")
        async with uploading:
            try:
                if kind == "project":
                    made = await take_project(hub, request.stream(), name, uploaded_projects())
                elif kind == "video":
                    made = await take_video(hub, request.stream(), name)
                else:
                    return _refused(404, "only a project or a video can be sent")
            except (UploadError, CommandFailed, NoAnswer, OSError) as error:
                return _refused(422, str(error))
            except ClientDisconnect:  # it was cancelled
                return _refused(499, "")
        return JSONResponse({"name": made.name, "path": str(made)})

    async def project_folder() -> Path:
        try:
            return Path((await hub.status())["project"])
        except (NoAnswer, CommandFailed) as error:
            raise TakesError(
                f"the engine does not say which project it plays ({error}); ask again in a second"
            ) from None

    @app.get("/takes/{take}/strip")
    async def strip(take: TakeNumber, frames: int = STRIP_FRAMES) -> JSONResponse:
        try:
            found = await asyncio.to_thread(take_strip, await project_folder(), take, max(frames, 1))
        except (TakesError, OSError) as error:
            return _refused(404, str(error))
        return JSONResponse(found)

    @app.get("/takes/{take}/frames")
    async def stretch(take: TakeNumber, from_s: float = 0.0, to_s: float = 20.0) -> JSONResponse:
        try:
            found = await asyncio.to_thread(take_frames, await project_folder(), take, from_s, to_s)
        except (TakesError, OSError) as error:
            return _refused(404, str(error))
        return JSONResponse(found)

    run_throughs = RunThroughs()

    @app.get("/takes/{take}/along")
    async def along(take: TakeNumber, request: Request) -> JSONResponse:
        is_left = threading.Event()
        try:
            folder = await project_folder()
        except TakesError as error:
            return _refused(404, str(error))
        work = asyncio.create_task(asyncio.to_thread(lambda: run_throughs.of(folder, take, is_left.is_set)))
        while not work.done():
            await asyncio.wait({work}, timeout=0.25)
            if await request.is_disconnected():
                is_left.set()
        try:
            return JSONResponse(work.result())
        except Cancelled:
            return _refused(499, "")
        except (PatchError, TakesError, OSError) as error:
            return _refused(422, str(error))

    @app.get("/takes/{take}/blame")
    async def blamed(take: TakeNumber, output: str, at_s: float = 0.0) -> JSONResponse:
        try:
            found = await asyncio.to_thread(blame, Project(await project_folder()), take, at_s, output)
        except KeyError as error:
            return _refused(422, str(error.args[0]))
        except (PatchError, TakesError, ModelError, TrainingError, OSError) as error:
            return _refused(422, str(error))
        return JSONResponse(found)

    for page in pages:
        ui.page(page.path, title=page.title)(framed(page, pages))
    ui.run_with(app, dark=True, tailwind=False, gzip_middleware_factory=None, show_welcome_message=False)
    return cast(App, app)


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"reason": reason}, status_code=status)


def _running(hub: Hub, health: HealthKeeper) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.run()), asyncio.create_task(health.run())]
        yield
        for task in tasks:
            task.cancel()

    return lifespan


async def _serve(socket: WebSocket, hub: Hub) -> None:
    """One page's live WebSocket, until it is closed."""
    viewer = Viewer()
    hub.add(viewer)
    sending = asyncio.create_task(_send(socket, viewer))
    asking: set[asyncio.Task[None]] = set()
    pace = Pace()
    try:
        while not viewer.is_deaf:
            text = await socket.receive_text()
            if text == "+":
                viewer.acknowledge()
                continue
            await pace.keep()
            try:
                said = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if not isinstance(said, dict):
                continue
            if isinstance(said.get("want"), list):
                viewer.topics = topics_there_are(said["want"])
                hub.want()
            if isinstance(said.get("ask"), list):
                number = said.get("id") if isinstance(said.get("id"), int | str) else None
                if len(asking) >= MOST_ASKED:
                    viewer.answer(number, fail="too many commands wait for their answers")
                    continue
                task = asyncio.create_task(_ask(hub, viewer, said["ask"], number, is_local(socket.scope)))
                asking.add(task)
                task.add_done_callback(asking.discard)
    except (WebSocketDisconnect, KeyError, RuntimeError):  # KeyError: it sent bytes
        pass
    finally:
        hub.remove(viewer)
        sending.cancel()
        for task in asking:
            task.cancel()
        if viewer.recording is not None:  # nobody holds the card any more
            with contextlib.suppress(CommandFailed, NoAnswer):
                await hub.ask("/instrument/record/stop", viewer.recording, timeout_s=5.0)


class Pace:
    """Has whoever asks faster than MOST_A_SECOND wait."""

    def __init__(self) -> None:
        self._due_s = 0.0

    async def keep(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._due_s = max(self._due_s, now_s - IN_ADVANCE_S) + 1 / MOST_A_SECOND
        if self._due_s > now_s:
            await asyncio.sleep(self._due_s - now_s)


async def _send(socket: WebSocket, viewer: Viewer) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
        while True:
            for message in await viewer.next():
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_text(message)


async def _ask(hub: Hub, viewer: Viewer, asked: list[Any], to: object, is_from_here: bool) -> None:
    """Passes one command on to the engine, checked, and its answer back."""
    try:
        command = COMMANDS.get(str(asked[0])) if asked else None
        if command is None or not command.is_answered or "subscribe" in command.address or command.address == REMOTE:
            raise CommandFailed(f"no such command: {str(asked[:1])[:80]}")
        if command.address.startswith(ONLY_FROM_HERE) and not is_from_here:
            raise CommandFailed("only a page on the instrument's own computer may ask for this")
        arguments = command.check([one for one in asked[1:] if isinstance(one, str | int | float)])
        if command.address in ("/instrument/record", "/instrument/record/stop"):
            viewer.recording = 0 if command.address == "/instrument/record" else None
        done = await hub.ask(command.address, *arguments, is_remote=not is_from_here)
        if command.address == "/instrument/record":
            viewer.recording = int(done[1])
        viewer.answer(to, done=done)
    except (CommandFailed, NoAnswer, ValueError) as error:
        viewer.answer(to, fail=str(error))
