"""The console's end of the protocol, with a real engine."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clients import PATIENCE_S, free_udp_port
from playing import Playing, playing

from instrument.client import CommandFailed, NoAnswer
from instrument.console.hub import Hub
from instrument.console.viewer import Viewer
from instrument.osc import encode


async def wait_for(condition: Callable[[], object], what: str) -> None:
    for _ in range(int(PATIENCE_S / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"waited in vain for {what}")


def with_hub(port: int, use: Callable[[Hub, Viewer], Awaitable[None]]) -> None:
    """Runs `use` with a hub that one page watches."""

    async def run() -> None:
        hub, viewer = Hub("127.0.0.1", port), Viewer()
        running = asyncio.create_task(hub.run())
        hub.add(viewer)
        try:
            await use(hub, viewer)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def port_of(one: Playing) -> int:
    return one.engine.server.address[1]


def test_a_page_begins_with_status_routes_and_takes(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: {"status", "routes", "takes"} <= hub.state.keys(), "the state")
        assert hub.state["engine"] == "here"
        assert [one["name"] for one in hub.state["status"]["outputs"]] == ["side", "amount"]
        told = json.loads(str((await viewer.next())[0]))["state"]
        assert told["engine"] == "here"

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_takes_that_somebody_else_records_are_seen_without_asking(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: hub.state.get("takes") == [], "the state")
        await asyncio.to_thread(one.record_numbers, [(0.1, 0.2)] * 12, "side", "left")
        await wait_for(lambda: len(hub.state["takes"]) == 1, "the take")
        assert hub.state["takes"][0]["targets"] == {"side": "left"}

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_what_a_training_reports_becomes_a_curve_for_each_output(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: hub.state["engine"] == "here", "the engine")
        await asyncio.to_thread(one.teach_sides)
        await wait_for(lambda: "side" in hub.state.get("coaching", {}), "the end of the training")
        curve = hub.state["curves"]["side"]
        told = hub.state["coaching"]["side"]["curve"]
        assert [row[0] for row in curve["rows"]] == [row[0] for row in told]
        assert curve["rows"][-1][0] == curve["steps"]
        assert curve["rows"][-1][1] == pytest.approx(told[-1][1], abs=1e-4)

    with playing(tmp_path / "played") as one:
        with_hub(port_of(one), use)


def test_an_earlier_step_begins_another_curve() -> None:
    hub = Hub("127.0.0.1", free_udp_port())
    for step in (1, 50, 100, 1, 50):
        hub._take("training", ("side", step, 100, 0.5, -1.0))
    assert [row[0] for row in hub.state["curves"]["side"]["rows"]] == [1, 50]


def test_a_take_is_heard_of_although_the_word_of_it_was_lost(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: hub.state.get("takes") == [] and hub.state["engine"] == "here", "the state")
        await wait_for(lambda: not hub._due, "nothing more to be asked")
        keep = hub._take
        hub._take = lambda topic, values: None if topic == "changes" else keep(topic, values)  # type: ignore[method-assign]
        await asyncio.to_thread(one.record_numbers, [(0.1, 0.2)] * 12, "side", "left")
        await wait_for(lambda: hub.state["takes"], "the take")

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_pages_are_told_each_time_that_what_models_see_is_drawn_anew() -> None:
    hub, viewer = Hub("127.0.0.1", free_udp_port()), Viewer()
    hub.add(viewer)
    viewer.due()
    hub._take("changes", ("maps",))
    assert json.loads(viewer.due()[0]) == {"state": {"maps": 1}}
    hub._take("changes", ("maps",))
    assert json.loads(viewer.due()[0]) == {"state": {"maps": 2}}


def test_nothing_is_subscribed_to_while_no_page_is_open(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: one.engine.telemetry.subscribers == 1, "the subscription")
        hub.remove(viewer)
        await wait_for(lambda: one.engine.telemetry.subscribers == 0, "its end")

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_what_a_page_asks_is_answered_or_refused_with_the_engines_reason(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        assert await hub.ask("/instrument/run", 1) == []
        with pytest.raises(CommandFailed, match="no output 'elbow'"):
            await hub.ask("/instrument/record", "elbow", "up")

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_an_engine_that_is_not_there_is_gone_and_answers_nothing() -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: hub.state["engine"] == "gone", "the engine to be gone")
        with pytest.raises(NoAnswer):
            await hub.ask("/instrument/ping", timeout_s=0.5)

    with_hub(free_udp_port(), use)


def test_what_a_dying_engine_took_in_fails_when_it_is_gone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dying:
        dying.bind(("127.0.0.1", 0))
        dying.settimeout(PATIENCE_S)

        async def use(hub: Hub, viewer: Viewer) -> None:
            asked = asyncio.create_task(hub.ask("/instrument/record", "side", "left"))
            while b"/instrument/record" not in await asyncio.to_thread(dying.recv, 65535):
                pass
            dying.close()
            with pytest.raises(NoAnswer, match="started again"):
                await asyncio.wait_for(asked, PATIENCE_S)

        with_hub(dying.getsockname()[1], use)


def test_only_topics_a_page_wants_are_asked_for(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: one.engine.telemetry.subscribers == 1, "the subscription")
        assert not one.engine.telemetry.is_wanted("features")
        viewer.topics = frozenset({"features"})
        hub.want()
        await wait_for(lambda: one.engine.telemetry.is_wanted("features"), "features to be wanted")

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_what_is_sent_reaches_the_page_with_the_frame_it_was_sent_for(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        seen: list[Any] = []
        keep = viewer.move
        viewer.move = lambda moving: (seen.append(moving), keep(moving))  # type: ignore[assignment,misc,func-returns-value]
        await wait_for(lambda: one.engine.telemetry.is_wanted("control"), "the subscription")
        one.engine.is_running = True
        await asyncio.to_thread(one.inputs, 0.5, 0.5)
        await wait_for(lambda: seen, "a frame")
        assert list(seen[0].controls) == [("out", "/wek/outputs", 1.0, 0.0)]

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def sent(viewer: Viewer) -> bytes:
    """The binary messages that are due."""
    return b"".join(message for message in viewer.due() if isinstance(message, bytes))


def test_what_is_sent_without_a_frame_does_not_wait_for_one(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        await wait_for(lambda: one.engine.telemetry.is_wanted("control"), "the subscription")
        hub.datagram_received(encode("/instrument/control", ("page", 0x80, 60, 0)), None)
        await wait_for(lambda: b'"controls":[["page",128,60,0]]' in sent(viewer), "the note off")

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


def test_pictures_go_only_to_pages_that_want_them() -> None:
    hub, watching, blind = Hub("127.0.0.1", free_udp_port()), Viewer(), Viewer()
    watching.topics = frozenset({"preview"})
    for viewer in (watching, blind):
        hub.add(viewer)
        viewer.due()
    hub._take("preview", (7, b"JPEG"))
    assert b"JPEG" in sent(watching)
    assert not blind.due()


def test_movements_reach_the_page_with_their_frame(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        hub.datagram_received(encode("/instrument/movement", ("strike", "hit", "down", 0.5)), None)
        hub.datagram_received(encode("/instrument/frame", (7, 1)), None)
        message = sent(viewer)
        assert b'"frame":[7,1]' in message
        assert b'"movements":[["strike","hit","down",0.5]]' in message

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)


@pytest.mark.parametrize("steps", range(5))
def test_it_ends_when_cancelled_although_its_bell_has_just_rung(steps: int) -> None:
    async def cancel() -> bool:
        hub = Hub("127.0.0.1", free_udp_port())
        running = asyncio.create_task(hub.run())
        await asyncio.sleep(0.15)
        hub.want()
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        ended, _ = await asyncio.wait([running], timeout=2.0)
        running.cancel()
        return bool(ended)

    assert asyncio.run(cancel())


def test_an_engine_that_is_gone_is_said_to_be_gone() -> None:
    async def ask() -> None:
        with pytest.raises(NoAnswer, match="does not answer; it is started again"):
            await Hub("127.0.0.1", free_udp_port()).ask("/instrument/ping")

    asyncio.run(ask())


def test_what_fits_into_no_datagram_is_refused_at_once() -> None:
    async def ask() -> None:
        with pytest.raises(CommandFailed, match="more than fits"):
            await Hub("127.0.0.1", free_udp_port()).ask("/instrument/scene/recall", "x" * 70_000)

    asyncio.run(ask())


def test_what_is_asked_for_another_computer_is_judged_as_that_computers(tmp_path: Path) -> None:
    async def use(hub: Hub, viewer: Viewer) -> None:
        assert await hub.ask("/instrument/ping", is_remote=True)
        with pytest.raises(CommandFailed, match="only programs on this computer"):
            await hub.ask("/instrument/source", "take:1", is_remote=True)

    with playing(tmp_path / "played", has_trainer=False) as one:
        with_hub(port_of(one), use)
