"""What each frame tells those who subscribed: predictions, landmarks, features, pictures, latencies, controls.

Nothing is made that nobody wants. One thread only: the engine's; pictures are made in one of their own.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from instrument import clock
from instrument.latency import Latencies
from instrument.patch import NO_CLASS
from instrument.preview import Previews
from instrument.protocol import TOPICS
from instrument.server import Address, Server
from instrument.signals import (
    ClassPrediction,
    Control,
    FloatArray,
    Frame,
    Landmarks,
    OscSend,
    Prediction,
    TriggerPrediction,
)
from instrument.telemetry import Telemetry

PREVIEW_EVERY_S = 0.03
"""A little less than a frame of a camera at 30 a second, so that none of its pictures is left out."""
LATENCY_EVERY_S = 0.5


class Broadcast:
    """Tells subscribers what is seen and sent, from the first frame to `close`."""

    def __init__(self, telemetry: Telemetry, server: Server, latencies: Latencies, now_s: clock.Clock) -> None:
        self._telemetry = telemetry
        self._latencies = latencies
        self._now_s = now_s
        self._previews = Previews(partial(_send_picture, server))
        self._published_at_s = {"preview": 0.0, "latency": 0.0}

    def frame(
        self,
        frame: Frame,
        landmarks: Landmarks,
        features: FloatArray | None,
        prediction: Prediction,
        controls: Sequence[Control],
    ) -> None:
        """Tells what was made of one frame."""
        telemetry = self._telemetry
        self.controls(controls)
        self._predictions(prediction)
        if telemetry.is_wanted("landmarks"):
            for part in ("pose", "left_hand", "right_hand"):
                points = getattr(landmarks, part)
                if points is not None:
                    telemetry.publish("landmarks", part, np.asarray(points, dtype="<f4").tobytes())
        if features is not None and telemetry.is_wanted("features"):
            telemetry.publish("features", np.asarray(features, dtype="<f4").tobytes())
        telemetry.publish("frame", frame.number, int(landmarks.is_tracked))
        if frame.image_bgr is not None and self._is_due("preview", PREVIEW_EVERY_S):
            self._previews.offer(frame.number, frame.image_bgr, telemetry.subscribers_of("preview"))
        if self._is_due("latency", LATENCY_EVERY_S):
            for stage, summary in self._latencies.summary().items():
                telemetry.publish("latency", stage, summary.p50_ms, summary.p99_ms)

    def controls(self, controls: Sequence[Control]) -> None:
        """Tells what is sent."""
        if not self._telemetry.is_wanted("control"):
            return
        for control in controls:
            what = (control.address, *control.arguments) if isinstance(control, OscSend) else control.bytes
            self._telemetry.publish("control", control.destination, *what)

    def close(self) -> None:
        self._previews.close()

    def _predictions(self, prediction: Prediction) -> None:
        telemetry = self._telemetry
        is_wanted = telemetry.is_wanted("prediction")
        for name, one in prediction.outputs.items():
            if isinstance(one, TriggerPrediction):
                for event in one.events:
                    telemetry.publish("movement", name, event.what, event.movement, event.velocity)
            if not is_wanted:
                continue
            if isinstance(one, ClassPrediction):
                meant = one.meant
                said = NO_CLASS if one.is_none else meant.classes[meant.best]
                familiar = () if one.familiarity is None else (one.familiarity,)
                telemetry.publish("prediction", name, said, float(meant.confidences[meant.best]), *familiar)
            elif isinstance(one, TriggerPrediction):
                telemetry.publish("prediction", name, one.current or NO_CLASS, one.progress)
            else:
                telemetry.publish("prediction", name, one.value)

    def _is_due(self, topic: str, every_s: float) -> bool:
        now_s = self._now_s()
        if now_s - self._published_at_s[topic] < every_s or not self._telemetry.is_wanted(topic):
            return False
        self._published_at_s[topic] = now_s
        return True


def _send_picture(server: Server, subscriber: Address, number: int, picture: bytes) -> None:
    server.reply(subscriber, TOPICS["preview"][0], number, picture)
