#!/usr/bin/env python3
"""Makes the picture in the README from a real run of the ready-made patch on the demo performer.

    .venv/bin/python scripts/make_pictures.py

Every number drawn is what the trained models said for that frame.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from instrument import assets
from instrument.features import FeatureExtractor
from instrument.mapping import RouteMap
from instrument.models.trained import load_model
from instrument.patch import Patch, read_patch
from instrument.predictor import Predictor
from instrument.project import Project
from instrument.projects import new_project
from instrument.replay import DEMO_FRAMES, DEMO_RATE_HZ, Clip
from instrument.signals import ClassPrediction, ContinuousPrediction, Frame, Landmarks, OscSend, Prediction
from instrument.tracker import MediaPipeTracker
from instrument.training import FeatureCache, train_project

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "three-postures.jpg"
SHOWN = {80: "rest", 49: "wide", 22: "up"}
"""Frames of the demo to show."""
WIDTH, HEIGHT, STRIP = 420, 460, 130
BONES = [
    (11, 12), (11, 23), (12, 24), (23, 24), (11, 13), (13, 15), (12, 14), (14, 16),
    (23, 25), (25, 27), (24, 26), (26, 28), (27, 31), (28, 32), (0, 11), (0, 12),
]  # fmt: skip
COLOURS = {"rest": (200, 190, 120), "wide": (90, 200, 250), "up": (150, 120, 250)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = new_project(Path(folder) / "project", "three-postures")
        train_project(project.folder, cache=FeatureCache())
        panels = play(project, read_patch(project.patch_file))
    PICTURE.parent.mkdir(exist_ok=True)
    cv2.imwrite(
        str(PICTURE), np.concatenate([panels[number] for number in SHOWN], axis=1), [cv2.IMWRITE_JPEG_QUALITY, 88]
    )
    print(PICTURE)


def play(project: Project, patch: Patch) -> dict[int, NDArray[np.uint8]]:
    """Plays the demo once; a panel for each frame that is shown."""
    clip = Clip(assets.path("demo.mp4"), count=DEMO_FRAMES, width_px=1768)
    tracker = MediaPipeTracker(patch.listen, pose_model=assets.path("pose.task"), hand_model=None)
    extractor, predictor, routes = FeatureExtractor(patch), Predictor(patch), RouteMap(patch)
    predictor.replace({output.name: load_model(project.model_file(output.name)) for output in patch.outputs})
    panels = {}
    sent: dict[str, str] = {}
    for number in range(DEMO_FRAMES):
        image = clip[number]
        landmarks = tracker.track(Frame(number=number, captured_at_s=number / DEMO_RATE_HZ, image_bgr=image))
        prediction = predictor.predict(extractor.update(landmarks), landmarks.is_tracked)
        for control in routes.update(prediction, number / DEMO_RATE_HZ):
            if isinstance(control, OscSend) and control.address != "/wek/outputs":
                values = [one if isinstance(one, str) else f"{one:.2f}" for one in control.arguments]
                sent[control.address] = "  ".join([control.address, *values])
        if number in SHOWN:
            panels[number] = panel(image, landmarks, prediction, list(sent.values()))
    return panels


def panel(image: NDArray[np.uint8], landmarks: Landmarks, prediction: Prediction, sent: list[str]) -> NDArray[np.uint8]:
    """The performer with the skeleton found, and below it what was recognised and sent."""
    posture, lift = prediction.outputs["posture"], prediction.outputs["lift"]
    assert isinstance(posture, ClassPrediction)
    assert isinstance(lift, ContinuousPrediction)
    assert landmarks.pose is not None
    name = posture.classes[posture.best]
    colour = COLOURS[name]
    height, width = image.shape[:2]
    points = (landmarks.pose[:, :2] * (width, height)).astype(int)
    drawn = image.copy()
    for a, b in BONES:
        cv2.line(drawn, tuple(map(int, points[a])), tuple(map(int, points[b])), colour, 5, cv2.LINE_AA)
    for point in points[[0, *range(11, 17), *range(23, 29)]]:
        cv2.circle(drawn, tuple(map(int, point)), 7, (255, 255, 255), -1, cv2.LINE_AA)
    left = int(np.clip(points[[23, 24], 0].mean() - WIDTH * 0.55, 0, width - WIDTH * 1.1))
    cut = cv2.resize(drawn[0 : round(HEIGHT * 1.1), left : left + round(WIDTH * 1.1)], (WIDTH, HEIGHT))
    strip = np.full((STRIP, WIDTH, 3), 24, dtype=np.uint8)
    cv2.putText(strip, name, (16, 52), cv2.FONT_HERSHEY_SIMPLEX, 1.6, colour, 3, cv2.LINE_AA)
    confidence = f"{posture.confidences[posture.best]:.2f}"
    cv2.putText(strip, confidence, (170, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (220, 220, 220), 1, cv2.LINE_AA)
    cv2.rectangle(strip, (270, 30), (400, 50), (70, 70, 70), -1)
    cv2.rectangle(strip, (270, 30), (270 + round(130 * lift.value), 50), colour, -1)
    for row, line in enumerate(sent):
        cv2.putText(strip, line, (16, 86 + 28 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (170, 170, 170), 1, cv2.LINE_AA)
    return np.concatenate([cut, strip])


if __name__ == "__main__":
    main()
