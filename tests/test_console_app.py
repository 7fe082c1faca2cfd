"""How fast one page may ask."""

import asyncio

import pytest

from instrument.console.app import IN_ADVANCE_S, MOST_A_SECOND, Pace


def test_who_floods_the_console_waits_and_who_does_not_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def ask(count: int) -> None:
        monkeypatch.setattr(asyncio, "sleep", sleep)
        pace = Pace()
        for _ in range(count):
            await pace.keep()

    asyncio.run(ask(int(MOST_A_SECOND * IN_ADVANCE_S) // 2))
    assert not waited
    asyncio.run(ask(int(MOST_A_SECOND * IN_ADVANCE_S) * 3))
    assert max(waited) > IN_ADVANCE_S
