"""Brings the pictures of a camera page to the engine: newest wins, one under way to the engine, two from the page.

    from the page, binary   u32 number, i32 how many ms old such pictures were when they arrived (-1: not known yet),
                            both little-endian; then the JPEG
    to the page, text       JSON: {"taken": number} once the engine has that picture, which answers for those before it;
                            {"watched": whether the engine's source is `phone`}, and until it is nothing is to be sent

See instrument/picture_stream.py for the way from here to the engine.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import struct
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect

from instrument.picture_stream import CHALLENGE_BYTES, HEAD, MOST_BYTES, PROOF_BYTES, TAKEN, is_proven, proof

log = logging.getLogger(__name__)

RETRY_S = 0.3
PATIENCE_S = 2.0
"""An engine that has not taken a picture by then is asked afresh."""
TOLD_EVERY_S = 1.0
REPLACED = 4001
"""The WebSocket's close code when another page has become the camera."""
_NUMBER = struct.Struct("<Ii")

Tell = Callable[[dict[str, float] | None], None]


class PhoneRelay:
    """At most one camera page; another one that comes takes its place."""

    def __init__(self, port: int, secret: str, tell: Tell) -> None:
        """`port` is the engine's; `tell` gets, once a second, how the camera does, and None when it has gone."""
        self._port = port
        self._secret = secret
        self._tell = tell
        self._current: _Camera | None = None

    async def serve(self, socket: WebSocket) -> None:
        """Relays this page's pictures until it is closed."""
        if self._current is not None:
            self._current.end()
        camera = self._current = _Camera(socket, self._port, self._secret, self._tell)
        try:
            await camera.run()
        finally:
            if self._current is camera:
                self._current = None
                self._tell(None)


class _Camera:
    def __init__(self, socket: WebSocket, port: int, secret: str, tell: Tell) -> None:
        self._socket = socket
        self._port = port
        self._secret = secret
        self._tell = tell
        self._newest: tuple[int, int, bytes] | None = None
        self._bell = asyncio.Event()
        self._is_watched = False
        self._taken = 0
        self._delay_ms = -1
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self._tasks = [asyncio.create_task(one()) for one in (self._relay, self._report)]
        try:
            while True:
                message = await self._socket.receive_bytes()
                if _NUMBER.size < len(message) <= MOST_BYTES:
                    self._newest = (*_NUMBER.unpack_from(message), message[_NUMBER.size :])
                    self._bell.set()
        except (WebSocketDisconnect, RuntimeError, KeyError):  # KeyError: it sent text
            pass
        finally:
            self._stop()

    def end(self) -> None:
        """Another page is the camera now. It may be the same phone, whose old connection answers nothing any more."""
        self._stop()
        self._tasks = [asyncio.create_task(self._close())]

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _close(self) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
            await self._socket.close(REPLACED)

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        count, at_s = 0, loop.time()
        while True:
            await asyncio.sleep(TOLD_EVERY_S)
            now_s = loop.time()
            self._tell({"rate_hz": round((self._taken - count) / (now_s - at_s), 1), "delay_ms": self._delay_ms})
            count, at_s = self._taken, now_s

    async def _relay(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._say(watched=False)
            while True:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        reader, writer = await self._meet_engine()
                except (OSError, TimeoutError, asyncio.IncompleteReadError):  # its source is not the phone
                    await asyncio.sleep(RETRY_S)
                    continue
                self._newest = None
                await self._say(watched=True)
                try:
                    await self._pass_on(reader, writer)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    log.debug("phone: %r", error)
                finally:
                    writer.close()
                await self._say(watched=False)

    async def _meet_engine(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which both have proven who they are.

        Raises OSError or IncompleteReadError.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            challenge = await reader.readexactly(CHALLENGE_BYTES)
            ours = secrets.token_bytes(CHALLENGE_BYTES)
            writer.write(proof(self._secret, "console", challenge) + ours)
            if not is_proven(self._secret, "engine", ours, await reader.readexactly(PROOF_BYTES)):
                raise ConnectionRefusedError("somebody else listens on the engine's port")
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands pictures over until the engine goes, which shows also while none comes."""
        is_taken = asyncio.Event()

        async def hear() -> None:
            while True:
                await reader.readexactly(len(TAKEN))
                is_taken.set()

        async def hand_over() -> None:
            while True:
                await self._bell.wait()
                self._bell.clear()
                if self._newest is None:
                    continue
                (number, self._delay_ms, picture), self._newest = self._newest, None
                is_taken.clear()
                writer.write(HEAD.pack(len(picture), self._delay_ms) + picture)
                async with asyncio.timeout(PATIENCE_S):
                    await is_taken.wait()
                self._taken += 1
                await self._say(taken=number)

        both = [asyncio.create_task(hear()), asyncio.create_task(hand_over())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                if task.done():
                    task.result()
        finally:
            for task in both:
                task.cancel()

    async def _say(self, **words: object) -> None:
        await self._socket.send_text(json.dumps(words))
