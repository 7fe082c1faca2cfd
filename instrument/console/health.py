"""Keeps the last hour in the console, so that it outlives an engine, and what went wrong in it. Never grows."""

import asyncio
import json
import logging
import os
import time
from collections import deque
from typing import Any

import psutil

from instrument.client import CommandFailed, NoAnswer
from instrument.console.hub import Hub
from instrument.health import EVERY_S, KEYS, Row, Rows

log = logging.getLogger(__name__)

INCIDENTS = 200
ANSWER_S = 2.0
NOTHING: Row = (None,) * len(KEYS)


class HealthKeeper:
    """The rows of one engine after the other, and incidents: `(when, kind, how many or who)`."""

    def __init__(self, hub: Hub) -> None:
        self.rows = Rows()
        self.incidents: deque[tuple[float, str, str]] = deque(maxlen=INCIDENTS)
        self._hub = hub
        self._next = 0
        self._pid = 0
        self._restarts: dict[str, int] = {}
        self._is_gone = False

    async def run(self) -> None:
        """Asks the engine for its new rows, again and again, until cancelled."""
        while True:
            try:
                await self._ask()
            except (NoAnswer, CommandFailed, OSError, ValueError, KeyError) as error:
                log.debug("health: %s", error)
                self._miss()
            await asyncio.sleep(EVERY_S)

    def shown(self) -> dict[str, Any]:
        """What the Health page draws."""
        return {"keys": KEYS, "rows": self.rows.all(), "incidents": list(self.incidents), "restarts": self._restarts}

    async def _ask(self) -> None:
        answer = json.loads(str((await self._hub.ask("/instrument/health", self._next, timeout_s=ANSWER_S))[0]))
        if answer["pid"] != self._pid:
            is_first, self._pid = self._pid == 0, answer["pid"]
            if not is_first:
                self._next = 0
                await self._ask()
                return
        if self._is_gone:
            self._is_gone = False
            self._note(time.time(), "engine_back")
        for name, count in answer["restarts"].items():
            if count > self._restarts.get(name, 0):
                self._note(time.time(), "restarted", name)
        self._restarts = answer["restarts"]
        self._next = answer["next"]
        for number, row in enumerate(answer["rows"]):
            is_newest = number == len(answer["rows"]) - 1
            named = dict(zip(answer["keys"], row, strict=True)) | (_memory(answer["pids"]) if is_newest else {})
            kept = tuple(named.get(key) for key in KEYS)
            self.rows.coarse.append(kept) if number < answer["coarse"] else self.rows.add(kept)
            self._look(named)
            if is_newest:
                self._hub.tell("health", named)

    def _miss(self) -> None:
        if self._pid and not self._is_gone:
            self._is_gone = True
            self._note(time.time(), "engine_gone")
        if self._pid:
            self.rows.add((time.time(), *NOTHING[1:]))
            self._hub.tell("health", {"at_s": time.time()})

    def _look(self, row: dict[str, float | None]) -> None:
        for key, kind in (("source_losses", "source_lost"), ("errors", "errors"), ("unsent", "unsent")):
            if count := row[key]:
                self._note(row["at_s"] or time.time(), kind, f"{count:.0f}")

    def _note(self, at_s: float, kind: str, what: str = "") -> None:
        self.incidents.append((round(at_s), kind, what))


def _memory(pids: dict[str, int]) -> dict[str, float | None]:
    return {"trainer_mb": _resident_mb(pids["trainer"]), "console_mb": _resident_mb(os.getpid())}


def _resident_mb(pid: int) -> float | None:
    try:
        return round(psutil.Process(pid).memory_info().rss / 1e6, 1) if pid else None
    except psutil.Error:
        return None
