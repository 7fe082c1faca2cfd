"""Runs the trained models on the features of each frame.

Knows models and the patch's outputs, not where models come from nor what predictions become.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.features import feature_columns, feature_fingerprint, feature_names, is_optional
from instrument.gate import Gate
from instrument.kernels import cpu
from instrument.models.familiarity import FrameFamiliarity
from instrument.models.fitting import TrainingError
from instrument.models.learner_names import NETWORK
from instrument.models.learners import learn, microseconds_a_frame, why_missing, why_slow
from instrument.models.movement_model import MovementModel
from instrument.models.trained import TrainedModel
from instrument.movement import MovementRunner
from instrument.patch import Output, Patch
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Features,
    FloatArray,
    Prediction,
    TriggerPrediction,
)

Model = TrainedModel | MovementModel

log = logging.getLogger(__name__)

_MOST_MADE = 16
"""Learners made again that are kept, the latest, in case a patch or an undone take wants them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """Whether an output has a model that runs, and why not."""

    output: str
    kind: str
    model_id: str | None
    classes: tuple[str, ...]
    """Those the model knows, in the order of its confidences."""
    is_running: bool
    reason: str | None
    """Why it is not running, in words."""
    backend: str | None = None
    """What runs it: `numpy`, `onnxruntime packed`..."""
    backend_us: Mapping[str, float] = field(default_factory=dict)
    """Microseconds a frame of each backend that was measured to choose it."""
    backends_refused: Mapping[str, str] = field(default_factory=dict)
    bits: int | None = None
    """Of its weights."""
    drift: Mapping[str, float] | None = None
    """How far that puts its controls from those of the exact weights, of their range: `rms`, `worst_jump`."""
    least_familiarity: float | None = None
    """0..1: what is less familiar is none of its classes; None where nothing is rejected."""
    rehearsal: Mapping[str, Any] | None = None
    """What the rehearsal that set it found."""
    note: str | None = None
    """What else there is to know, in words."""


def fits(model: Model, patch: Patch, output: Output) -> str | None:
    """Why that model cannot be run for that output of the patch, in words; None when it can."""
    again = "train again"
    if model.output != output.name:
        return f"this model was learned for output '{model.output}', not '{output.name}'; {again}"
    if model.kind != output.kind:
        return f"the model gives a {model.kind} output, the patch wants {output.kind}; {again}"
    try:
        columns = feature_columns(patch, output)
    except ValueError as error:
        return str(error)
    names = feature_names(patch)
    wanted = tuple(names[column] for column in columns)
    taken = {name.partition(".")[0] for name in model.feature_names}
    wanted = tuple(name for name in wanted if name.partition(".")[0] in taken or not is_optional(output, name))
    if model.feature_names != wanted:
        return (
            f"the model learned from {len(model.feature_names)} features, the patch now gives {len(wanted)}"
            f"{_first_difference(model.feature_names, wanted)}; {again}"
        )
    if model.feature_fingerprint != feature_fingerprint(patch, output):
        return f"features have another meaning since the model learned (smoothing, body, window or version); {again}"
    unknown = [name for name in model.classes if output.classes and name not in output.classes]
    if unknown:
        return f"the model knows '{unknown[0]}', but the patch allows {', '.join(output.classes)}; {again}"
    if isinstance(model, MovementModel):
        return None
    if output.disagreement and not model.ensemble:
        return f"the patch asks for `disagreement`, for which the model has no ensemble; {again}"
    learner = model.learned.learner if model.learned else NETWORK
    if learner != output.learner:
        missing = why_missing(output.learner)
        return f"the model was learned by {learner}, the patch wants {output.learner}; {missing or again}"
    if model.kind == "continuous" and (model.low, model.high) != (output.low, output.high):
        return (
            f"the model learned the range {model.low:g}..{model.high:g}, "
            f"the patch wants {output.low:g}..{output.high:g}; {again}"
        )
    return None


class Predictor:
    """Says what every output sees in each frame, from one thread; `replace` may come from another."""

    def __init__(self, patch: Patch, made: dict[str, cpu.Choice] | None = None, *, is_live: bool = True) -> None:
        """`made` keeps what scikit-learn's learners have learned again, by model id, for the predictor after this.

        Unless it `is_live`, for a recording, `replace` waits for such learners, and no faster backend is looked for.
        """
        self._patch = patch
        self._is_live = is_live
        self._made = {} if made is None else made
        self._runners: tuple[_Runner | _MovementRunner, ...] = ()
        self._replaced: deque[_MovementRunner] = deque()  # what they had under way has yet to end
        self._gates: dict[str, Gate[ClassPrediction]] = {output.name: Gate() for output in patch.outputs}
        self._status: dict[str, ModelStatus] = {}
        self.enabled = {output.name for output in patch.outputs}
        """Outputs that are to run; take a name out to silence it. A movement under way ends once somebody is seen."""
        self.replace({})

    def replace(self, models: Mapping[str, Model]) -> None:
        """Takes these models (by output) instead of those before; the next frame sees all of them or none.

        A model that plays already goes on as it was. What is held outlasts the model that knew it; a movement under way
        ends with its model, in the next frame.
        """
        runners: list[_Runner | _MovementRunner] = []
        status = {}
        playing = {runner.output: runner for runner in self._runners}
        for output in self._patch.outputs:
            model = models.get(output.name)
            model_id = model.model_id if model else None
            before = playing.get(output.name)
            reason = (
                "no model yet; it comes with takes that show it" if model is None else fits(model, self._patch, output)
            )
            if isinstance(model, TrainedModel) and model.learned and reason is None:
                reason = why_missing(model.learned.learner)
            least = least_familiarity(model, output) if isinstance(model, TrainedModel) else None
            if before is not None and reason is None and before.is_for(model_id, least):
                runners.append(before)
            elif model is not None and model_id is not None and reason is None:
                names = feature_names(self._patch)
                place = {name: column for column, name in enumerate(names)}
                columns = np.array([place[name] for name in model.feature_names], dtype=np.intp)
                if isinstance(model, MovementModel):
                    runners.append(_MovementRunner(model, output, columns))
                else:
                    gate, before = self._gates[output.name], before if isinstance(before, _Runner) else None
                    runners.append(_Runner(model, output, columns, len(names), self._made, gate, before=before))
            status[output.name] = ModelStatus(
                output=output.name,
                kind=output.kind,
                model_id=model_id,
                classes=model.classes if model else (),
                is_running=reason is None,
                reason=reason,
                bits=model.network.bits if model and model.network else None,
                drift=model.training.get("drift") if model else None,
                least_familiarity=least,
                rehearsal=model.rehearsal if isinstance(model, TrainedModel) else None,
            )
        self._status = status
        self._runners = tuple(runners)
        gone = [runner for runner in playing.values() if runner not in runners]
        self._replaced.extend(runner for runner in gone if isinstance(runner, _MovementRunner))
        for made_first in list(self._made)[:-_MOST_MADE]:  # listed in one step: other threads add to them
            del self._made[made_first]
        fresh = [runner for runner in runners if isinstance(runner, _Runner) and runner not in playing.values()]
        unsettled = [runner for runner in fresh if not runner.is_settled]
        if not self._is_live:
            _settle([runner for runner in unsettled if runner.is_learned])
        elif unsettled:
            threading.Thread(target=_settle, args=(unsettled,), name="backends", daemon=True).start()

    def predict(self, features: Features, is_tracked: bool) -> Prediction:
        """What the running models say about one frame; nothing without a body.

        An output whose model gives no finite number (inputs of an absurd size) is left out.
        """
        outputs: dict[str, ClassPrediction | ContinuousPrediction | TriggerPrediction] = {}
        values = features.values
        if is_tracked and values is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # seen in what comes out
                for runner in self._runners:
                    if runner.output not in self.enabled:
                        if isinstance(runner, _MovementRunner) and (last := runner.leave()) is not None:
                            outputs[runner.output] = last
                        continue
                    if (prediction := runner.predict(values, features.captured_at_s)) is not None:
                        outputs[runner.output] = prediction
            while self._replaced:
                gone = self._replaced.popleft()
                if (last := gone.leave()) is not None:
                    outputs[gone.output] = _after(last, outputs.get(gone.output))
        return Prediction(
            frame_number=features.frame_number,
            captured_at_s=features.captured_at_s,
            outputs=outputs,
            is_tracked=is_tracked,
        )

    def without_disabled(self, prediction: Prediction) -> Prediction:
        """The prediction without outputs that have been switched off since it was made."""
        enabled = {name: one for name, one in prediction.outputs.items() if name in self.enabled}
        return replace(prediction, outputs=enabled)

    def status(self) -> tuple[ModelStatus, ...]:
        """One for every output of the patch, in its order."""
        running = {runner.output: runner for runner in self._runners}
        described = []
        for one in self._status.values():
            if runner := running.get(one.output):
                choice = runner.choice
                one = replace(
                    one,
                    backend=choice.backend,
                    backend_us=choice.microseconds,
                    backends_refused=choice.refused,
                    note=runner.note,
                    is_running=runner.failure is None,
                    reason=runner.failure,
                )
            if one.is_running and one.output not in self.enabled:
                one = replace(one, is_running=False, reason="switched off")
            described.append(one)
        return tuple(described)


def least_familiarity(model: TrainedModel, output: Output) -> float | None:
    """Below what familiarity a frame is none of the classes: what the patch says, or more where a rehearsal did."""
    if model.familiarity is None or not output.reject:
        return None
    return max(output.reject, float(model.rehearsal["least"]) if model.rehearsal else 0.0)


class _MovementRunner:
    """One model of movements on the features it uses."""

    note = failure = None

    def __init__(self, model: MovementModel, output: Output, columns: NDArray[np.intp]) -> None:
        self.output = model.output
        self._model_id = model.model_id
        self.choice = cpu.plain(model.network)
        self._columns = columns
        self._movements = MovementRunner(model, self.choice.forward, at=output.at)
        self._has_past = False

    def predict(self, values: FloatArray, now_s: float) -> TriggerPrediction | None:
        self._has_past = True
        said = self._movements.update(now_s, values[self._columns])
        return said if said.is_finite or said.events else None

    def is_for(self, model_id: str | None, _: float | None) -> bool:
        """Whether it plays that model."""
        return model_id == self._model_id

    def leave(self) -> TriggerPrediction | None:
        """The last that is to be said, if anything is: what was under way ends."""
        if not self._has_past:
            return None
        self._has_past = False
        last = self._movements.leave()
        return last if last.events else None


class _Runner:
    """One model with the buffers it runs in."""

    def __init__(
        self,
        model: TrainedModel,
        output: Output,
        columns: NDArray[np.intp],
        feature_count: int,
        made: dict[str, cpu.Choice],
        gate: Gate[ClassPrediction],
        before: "_Runner | None",
    ) -> None:
        self.output = model.output
        self._classes = model.classes
        self._low, self._span = model.low, model.high - model.low
        self._columns = None if np.array_equal(columns, np.arange(feature_count)) else columns
        self._picked = np.empty(len(columns), dtype=np.float32)
        units = model.units()
        self._familiarity = FrameFamiliarity(model.familiarity, units) if model.familiarity and units else None
        self._least = least_familiarity(model, output)
        self._gate = gate
        self._ensemble = cpu.EnsembleForward(model.ensemble) if output.disagreement and model.ensemble else None
        self._model = model
        self._model_id = model.model_id
        self._made = made
        self.is_learned = model.learned is not None
        self._before = before if model.learned else None
        self.failure: str | None = None
        """Why it does not run after all."""
        self.note: str | None = None
        if model.network is not None:
            self._candidates = cpu.candidates(model.network)
            self.choice = cpu.plain(model.network)
            self.is_settled = not self._candidates
        else:
            assert model.learned is not None
            backend = f"scikit-learn {model.learned.learner}"
            nothing = np.full(len(model.classes) or 1, np.nan, dtype=np.float32)
            unmade = cpu.Choice(forward=lambda _: nothing, backend=backend, microseconds={}, refused={})
            self.choice = made.get(self._model_id, unmade)
            self.is_settled = self.choice is not unmade
            if not self.is_settled:
                self.note = "learns again from its examples; what played before plays until then"

    def is_for(self, model_id: str | None, least: float | None) -> bool:
        """Whether it plays that model, as strict as that."""
        return (model_id, least) == (self._model_id, self._least) and self.failure is None

    def settle(self) -> None:
        """Finds, from another thread, what runs this model fastest, or learns it again; frames go on meanwhile."""
        network, learned = self._model.network, self._model.learned
        if network is not None:
            self.choice = cpu.choose(network, self._candidates)
        elif learned is not None:
            try:
                said = learn(learned)
            except TrainingError as error:
                self.failure, self.note = str(error), None
                log.warning("output '%s' is silent: %s", self.output, error)
            else:
                taken_us = microseconds_a_frame(said, learned)
                self.choice = replace(
                    self.choice, forward=lambda row: said(row[None])[0], microseconds={self.choice.backend: taken_us}
                )
                self._made[self._model_id] = self.choice
                self.note = why_slow(learned.learner, taken_us)
                if self.note:
                    log.warning("output '%s': %s", self.output, self.note)
            self._before = None

    def predict(self, values: FloatArray, now_s: float) -> ClassPrediction | ContinuousPrediction | None:
        if (before := self._before) is not None:
            return before.predict(values, now_s)
        if self._columns is not None:
            values = values.take(self._columns, out=self._picked, mode="clip")  # other modes make a copy first
        given = self.choice.forward(values)
        if not self._classes:
            value = float(given[0])
            if not math.isfinite(value):
                return None
            value = self._low + self._span * min(max(value, 0.0), 1.0)
            return ContinuousPrediction(value=value, disagreement=self._disagreement(values))
        highest = given.max()
        if not math.isfinite(highest):
            return None
        confidences = np.exp(given - highest)
        confidences /= confidences.sum()
        familiarity = None
        if self._familiarity is not None:
            best = int(confidences.argmax())
            familiarity = self._familiarity(values, best, float(confidences[best]))
        said = ClassPrediction(
            classes=self._classes,
            confidences=confidences,
            familiarity=familiarity,
            disagreement=self._disagreement(values),
        )
        if self._least is None or familiarity is None:
            return said
        meant = self._gate.update(said, now_s, is_familiar=familiarity >= self._least)
        return said if meant is said else replace(said, held=meant, is_none=meant is None)

    def _disagreement(self, values: FloatArray) -> float | None:
        if self._ensemble is None:
            return None
        given = self._ensemble(values)
        return disagreement(given, is_class=bool(self._classes)) if np.isfinite(given).all() else None


def disagreement(given: FloatArray, *, is_class: bool) -> float:
    """0..1 for what M networks give (M, C): twice the largest standard deviation of any control, of its range.

    0 is one opinion, 1 as many sure of a thing as of its contrary.
    """
    if is_class:
        given = np.exp(given - given.max(axis=1, keepdims=True))
        given /= given.sum(axis=1, keepdims=True)
    else:
        given = given.clip(0.0, 1.0)
    return min(1.0, 2.0 * float(given.std(axis=0).max()))


def _after(
    last: TriggerPrediction, said: ClassPrediction | ContinuousPrediction | TriggerPrediction | None
) -> TriggerPrediction:
    """What the model of a movement says, after the last of the model it replaced."""
    return replace(said, events=(*last.events, *said.events)) if isinstance(said, TriggerPrediction) else last


def _settle(runners: list[_Runner]) -> None:
    for runner in runners:
        runner.settle()


def _first_difference(had: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    for one, other in zip(had, wanted, strict=False):
        if one != other:
            return f" (first difference: '{one}' is now '{other}')"
    return ""
