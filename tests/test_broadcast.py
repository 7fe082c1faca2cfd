"""What those who subscribed are told of a frame."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from instrument.broadcast import Broadcast
from instrument.latency import Latencies
from instrument.signals import ClassPrediction, Frame, Landmarks, Prediction
from instrument.telemetry import Telemetry

HELD = ClassPrediction(classes=("rest", "up"), confidences=np.array([0.75, 0.25], dtype=np.float32), familiarity=0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, ("up", 1.0)), ({"is_none": True}, ("none", 1.0)), ({"held": HELD}, ("rest", 0.75))],
)
def test_a_prediction_is_told_as_what_counts(options: dict[str, Any], said: tuple[str, float]) -> None:
    sent: list[tuple[object, ...]] = []
    telemetry = Telemetry(lambda *message: sent.append(message), lambda: 0.0)
    telemetry.subscribe(("127.0.0.1", 5001), ["prediction"])
    broadcast = Broadcast(telemetry, SimpleNamespace(), Latencies(), lambda: 0.0)  # type: ignore[arg-type]
    strange = ClassPrediction(
        classes=("rest", "up"), confidences=np.array([0.0, 1.0], dtype=np.float32), familiarity=0.01, **options
    )
    broadcast.frame(
        Frame(number=0, captured_at_s=0.0),
        Landmarks(frame_number=0, captured_at_s=0.0),
        None,
        Prediction(frame_number=0, captured_at_s=0.0, outputs={"posture": strange}, is_tracked=True),
        [],
    )
    broadcast.close()
    assert [message[2:] for message in sent] == [("posture", *said, 0.01)]
