"""Running trained models on frames."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from instrument.features import feature_columns, feature_fingerprint, feature_names
from instrument.kernels import cpu
from instrument.kernels.packing import PackedNetwork
from instrument.models.familiarity import Density, Familiarity
from instrument.models.quantize import round_to_nearest
from instrument.models.trained import TrainedModel
from instrument.patch import Output, Patch
from instrument.patch_file import parse_patch
from instrument.predictor import Predictor, fits
from instrument.signals import ClassPrediction, ContinuousPrediction, Features

PATCH = """
[listen]
source = "osc"
inputs = 3
[[output]]
name = "pose"
classes = ["rest", "up"]
[[output]]
name = "cutoff"
kind = "continuous"
range = [100, 300]
features = ["numbers", "number_velocities"]
"""


def patch_of(text: str = PATCH) -> Patch:
    return parse_patch(text, Path("patch.toml"))


def model(patch: Patch, output: Output, weights: list[list[float]]) -> TrainedModel:
    """A network without hidden layers, with those weights (outputs, features)."""
    columns = feature_columns(patch, output)
    rows = np.array(weights, dtype=np.float32).T
    return TrainedModel(
        output=output.name,
        kind=output.kind,
        classes=("rest", "up") if output.kind == "class" else (),
        low=output.low,
        high=output.high,
        feature_names=tuple(feature_names(patch)[column] for column in columns),
        feature_fingerprint=feature_fingerprint(patch, output),
        hidden=(),
        seed=0,
        network=PackedNetwork(
            shift=np.zeros(len(rows), dtype=np.float32),
            gain=np.ones(len(rows), dtype=np.float32),
            layers=(round_to_nearest(rows, np.zeros(rows.shape[1]), bits=8),),
        ),
    )


def features(*values: float) -> Features:
    return Features(frame_number=7, captured_at_s=1.5, values=np.array(values, dtype=np.float32))


PATCH_READ = patch_of()
POSE = model(PATCH_READ, PATCH_READ.outputs[0], [[0, 0, 0], [1, 0, 0]])
CUTOFF = model(PATCH_READ, PATCH_READ.outputs[1], [[0, 0.5, 0, 0, 0, 0]])


@pytest.fixture
def predictor() -> Predictor:
    """Runs POSE and CUTOFF."""
    predictor = Predictor(PATCH_READ)
    predictor.replace({"pose": POSE, "cutoff": CUTOFF})
    return predictor


def test_confidences_are_the_softmax_of_what_the_network_gives(predictor: Predictor) -> None:
    pose = predictor.predict(features(1, 0, 0, 0, 0, 0), True).outputs["pose"]
    assert isinstance(pose, ClassPrediction)
    assert pose.classes == ("rest", "up")
    np.testing.assert_allclose(pose.confidences, [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-6)


def test_a_value_is_given_in_the_range_of_the_patch(predictor: Predictor) -> None:
    assert predictor.predict(features(0, 1, 0, 0, 0, 0), True).outputs["cutoff"] == ContinuousPrediction(value=200.0)


@pytest.mark.parametrize(("given", "value"), [(99.0, 300.0), (-99.0, 100.0)])
def test_a_value_stays_within_its_range(predictor: Predictor, given: float, value: float) -> None:
    assert predictor.predict(features(0, given, 0, 0, 0, 0), True).outputs["cutoff"] == ContinuousPrediction(
        value=value
    )


def test_each_output_reads_its_own_features(predictor: Predictor) -> None:
    one = predictor.predict(features(1, 0, 0, 5, 5, 5), True).outputs["pose"]
    other = predictor.predict(features(1, 0, 0, 9, 9, 9), True).outputs["pose"]
    assert isinstance(one, ClassPrediction)
    assert isinstance(other, ClassPrediction)
    assert (one.confidences == other.confidences).all()


def test_a_prediction_is_not_changed_by_the_next_one(predictor: Predictor) -> None:
    first = predictor.predict(features(1, 0, 0, 0, 0, 0), True).outputs["pose"]
    assert isinstance(first, ClassPrediction)
    before = first.confidences.copy()
    predictor.predict(features(-5, 0, 0, 0, 0, 0), True)
    assert (first.confidences == before).all()


def test_a_prediction_carries_the_number_and_time_of_its_frame(predictor: Predictor) -> None:
    prediction = predictor.predict(features(0, 0, 0, 0, 0, 0), True)
    assert (prediction.frame_number, prediction.captured_at_s) == (7, 1.5)


def test_without_a_body_nothing_is_predicted(predictor: Predictor) -> None:
    lost = Features(frame_number=8, captured_at_s=2.0, values=None)
    assert predictor.predict(lost, False).outputs == {}
    assert predictor.predict(features(0, 0, 0, 0, 0, 0), False).outputs == {}


@pytest.mark.filterwarnings("error")
def test_features_of_absurd_size_leave_the_output_out_rather_than_give_nan() -> None:
    predictor = Predictor(PATCH_READ)
    pose = model(PATCH_READ, PATCH_READ.outputs[0], [[10, -10, 0], [10, 10, 0]])
    cutoff = model(PATCH_READ, PATCH_READ.outputs[1], [[10, -10, 0, 0, 0, 0]])
    predictor.replace({"pose": pose, "cutoff": cutoff})
    assert predictor.predict(features(3e38, 3e38, 0, 0, 0, 0), True).outputs == {}


def test_an_output_switched_off_is_absent_and_says_so(predictor: Predictor) -> None:
    predictor.enabled.discard("pose")
    assert set(predictor.predict(features(0, 0, 0, 0, 0, 0), True).outputs) == {"cutoff"}
    assert predictor.status()[0].reason == "switched off"


def test_replacing_takes_away_models_that_are_not_given(predictor: Predictor) -> None:
    predictor.replace({"pose": POSE})
    assert set(predictor.predict(features(0, 0, 0, 0, 0, 0), True).outputs) == {"pose"}
    assert "no model yet" in str(predictor.status()[1].reason)


def test_status_names_model_and_classes(predictor: Predictor) -> None:
    status = predictor.status()[0]
    assert (status.model_id, status.classes, status.is_running, status.reason) == (
        POSE.model_id,
        ("rest", "up"),
        True,
        None,
    )


def test_status_says_what_runs_a_model_with_how_many_bits_and_what_drift(predictor: Predictor) -> None:
    drift = {"rms": 0.001, "worst_jump": 0.004}
    predictor.replace({"pose": replace(POSE, training={"drift": drift})})
    pose, cutoff = predictor.status()
    assert (pose.backend, pose.bits, pose.drift) == ("numpy", 8, drift)
    assert (cutoff.backend, cutoff.bits, cutoff.drift) == (None, None, None)


def test_another_backend_takes_over_between_two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def choose(network: PackedNetwork, candidates: cpu.Candidates) -> cpu.Choice:
        tried.wait(5)
        return cpu.Choice(forward=candidates["other"](), backend="other", microseconds={"other": 1.0}, refused={})

    seven = np.array([0.5], dtype=np.float32)
    monkeypatch.setattr(cpu, "candidates", lambda network: {"other": lambda: lambda values: seven})
    monkeypatch.setattr(cpu, "choose", choose)
    predictor = Predictor(PATCH_READ)
    predictor.replace({"cutoff": CUTOFF})
    frame = features(0, 0, 0, 0, 0, 0)
    assert predictor.predict(frame, True).outputs["cutoff"] == ContinuousPrediction(value=100.0)
    tried.set()
    for thread in threading.enumerate():
        if thread.name == "backends":
            thread.join(5)
    assert predictor.predict(frame, True).outputs["cutoff"] == ContinuousPrediction(value=200.0)
    assert predictor.status()[1].backend == "other"


FAMILIAR = replace(
    POSE,
    familiarity=Familiarity(
        density=Density(
            centres=np.array([[[0, 0, 0]], [[2, 0, 0]]], dtype=np.float32),
            factors=np.broadcast_to(np.eye(3, dtype=np.float32), (2, 1, 3, 3)).copy(),
        ),
        curve=np.array([[0, 0], [1, -4]], dtype=np.float32),
    ),
)
"""Rest is familiar near 0, up near 2 in the first number."""


def test_what_is_held_outlasts_the_model_that_was_familiar_with_it() -> None:
    predictor = Predictor(patch_of(PATCH.replace('name = "pose"', 'name = "pose"\nreject = 0.05')))
    heard = []
    for number, at in enumerate((2.0, -60.0, 2.0, -60.0)):
        predictor.replace({"pose": replace(FAMILIAR, seed=number)})
        frame = Features(
            frame_number=number, captured_at_s=number / 30, values=np.array([at, 0, 0, 0, 0, 0], dtype=np.float32)
        )
        pose = predictor.predict(frame, True).outputs["pose"]
        assert isinstance(pose, ClassPrediction)
        heard.append((pose.classes[pose.best], pose.meant.classes[pose.meant.best], pose.is_none))
    assert heard == [("up", "up", False), ("rest", "up", False)] * 2


def test_a_model_that_plays_already_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(cpu, "candidates", lambda network: asked.append(network) or {})
    predictor = Predictor(PATCH_READ)
    predictor.replace({"pose": POSE, "cutoff": CUTOFF})
    predictor.replace({"pose": replace(POSE, training={"loss": 0.1}), "cutoff": replace(CUTOFF, seed=1)})
    assert len(asked) == 3


def test_learners_may_be_made_while_the_oldest_are_dropped() -> None:
    """Another one is made between any two steps of `replace`."""
    made: dict[str, cpu.Choice] = {}
    predictor = Predictor(PATCH_READ, made)

    def make(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not Predictor.replace.__code__:
            return None
        frame.f_trace_opcodes = True
        made[f"{len(made)} {event} {frame.f_lasti}"] = None  # type: ignore[assignment]
        return make

    before = sys.gettrace()
    sys.settrace(make)
    try:
        predictor.replace({})
    finally:
        sys.settrace(before)
    assert len(made) > 20
    predictor.replace({})
    assert len(made) == 16


def ensemble_of(model: TrainedModel, *weights: float) -> TrainedModel:
    """The same model with an ensemble whose members weigh the second feature like that."""
    rows = np.zeros((len(model.feature_names), 1), dtype=np.float32)
    networks = []
    for weight in weights:
        rows[1] = weight
        networks.append(replace(model.network, layers=(round_to_nearest(rows, np.zeros(1), bits=8),)))
    return replace(model, ensemble=tuple(networks))


def test_an_ensemble_says_how_far_it_disagrees() -> None:
    patch = patch_of(PATCH.replace('name = "cutoff"', 'name = "cutoff"\ndisagreement = true'))
    predictor = Predictor(patch)
    predictor.replace({"cutoff": ensemble_of(CUTOFF, 0.25, 0.75)})
    seen = predictor.predict(features(0, 1, 0, 0, 0, 0), True).outputs["cutoff"]
    assert seen.disagreement == pytest.approx(0.5)


def test_a_model_without_an_ensemble_is_not_run_where_the_patch_asks_for_disagreement() -> None:
    patch = patch_of(PATCH.replace('name = "cutoff"', 'name = "cutoff"\ndisagreement = true'))
    assert "no ensemble; train again" in str(fits(CUTOFF, patch, patch.outputs[1]))


def test_a_model_that_does_not_fit_is_not_run_and_says_why(predictor: Predictor) -> None:
    predictor.replace({"pose": replace(POSE, kind="continuous")})
    assert predictor.predict(features(0, 0, 0, 0, 0, 0), True).outputs == {}
    assert "the patch wants class" in str(predictor.status()[0].reason)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PATCH, None),
        (PATCH.replace('["rest", "up"]', '["rest", "up", "down"]'), None),
        (PATCH.replace('classes = ["rest", "up"]\n', ""), None),
        (PATCH.replace('["rest", "up"]', '["rest", "down"]'), "knows 'up', but the patch allows rest, down"),
        (PATCH.replace("inputs = 3", "inputs = 4"), "3 features, the patch now gives 4"),
        (PATCH.replace('name = "pose"', 'name = "pose"\ninputs = [1, 2]'), "3 features, the patch now gives 2"),
        (
            PATCH.replace('"pose"', '"pose"\nfeatures = ["number_velocities"]'),
            "'numbers.1' is now 'number_velocities.1'",
        ),
        (PATCH.replace('classes = ["rest", "up"]', 'kind = "continuous"'), "the patch wants continuous"),
        (PATCH + "[smoothing]\nbeta = 9.0\n", "another meaning"),
    ],
)
def test_fitting_is_decided_by_features_kind_and_classes(text: str, said: str | None) -> None:
    patch = patch_of(text)
    reason = fits(POSE, patch, patch.output("pose"))
    assert reason is None if said is None else said in str(reason)


def test_another_range_does_not_fit() -> None:
    patch = patch_of(PATCH.replace("[100, 300]", "[0, 1]"))
    assert "range 100..300, the patch wants 0..1" in str(fits(CUTOFF, patch, patch.output("cutoff")))


def test_the_predictor_does_not_import_torch() -> None:
    code = "import instrument.predictor, sys; sys.exit(bool({'torch', 'triton', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
