"""Recordings in which nothing is meant, read from files: takes of landmarks or numbers, or a video."""

from dataclasses import replace
from pathlib import Path

from instrument import assets
from instrument.exchange import read_takes
from instrument.patch import Patch
from instrument.signals import Frame, Landmarks, landmark_sequence
from instrument.takes import WholeTake, utc_now

_TAKES = (".csv", ".npz", ".arff")


class RehearsalError(Exception):
    """A recording that cannot be used; the text says which, why and what to do."""


def read_rehearsal(path: Path, patch: Patch) -> list[WholeTake]:
    """The rehearsals in that file; whatever its takes teach is left out.

    Raises RehearsalError, and ExchangeError for a file of takes that is damaged.
    """
    if not path.exists():
        raise RehearsalError(f"{path}: no such file")
    if path.suffix.lower() in _TAKES:
        return [replace(take, kind="rehearsal", targets={}, moving={}) for take in read_takes(path)]
    if patch.listen.is_numbers:
        raise RehearsalError(f"{path}: this patch learns from numbers; allowed: {', '.join(_TAKES)}")
    return [_tracked(path, patch)]


def _tracked(path: Path, patch: Patch) -> WholeTake:
    """What the tracker finds in a video."""
    import cv2

    from instrument.camera import fit_width
    from instrument.engine_process import silence_native_logs
    from instrument.tracker import MediaPipeTracker

    silence_native_logs()
    capture = cv2.VideoCapture(str(path))
    rate_hz = capture.get(cv2.CAP_PROP_FPS) or 30.0
    track = patch.listen.track
    try:
        tracker = MediaPipeTracker(
            patch.listen,
            pose_model=assets.path("pose.task") if "pose" in track else None,
            hand_model=assets.path("hand.task") if "hands" in track else None,
        )
    except assets.AssetMissing as error:
        raise RehearsalError(str(error)) from None
    found: list[Landmarks] = []
    try:
        while (read := capture.read())[0]:
            image = fit_width(read[1], patch.listen.width_px)
            number = len(found)
            found.append(tracker.track(Frame(number=number, captured_at_s=number / rate_hz, image_bgr=image)))
    finally:
        tracker.close()
        capture.release()
    if not found:
        raise RehearsalError(f"{path}: not a video that OpenCV can read, nor {', '.join(_TAKES)}")
    return WholeTake(
        kind="rehearsal",
        created_at=utc_now(),
        source=path.name,
        targets={},
        landmarks=landmark_sequence(found, patch.listen.parts),
    )
