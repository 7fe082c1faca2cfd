"""Takes of movements become a model, its files, and events."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from movements import HZ, circle, held, still, stream, swipe, zigzag

from instrument.kernels.cpu import plain
from instrument.models.fitting import Cancelled, TrainingError
from instrument.models.following import MovementTake, fit_following, said_of_take
from instrument.models.movement_model import MovementModel, load_movements, load_of_kind, save_movements
from instrument.models.trained import ModelError
from instrument.movement import MovementDataset, MovementRunner, train_movements
from instrument.patch_file import parse_patch
from instrument.predictor import Predictor
from instrument.signals import Features, MovementEvent, TriggerPrediction

PATCH = parse_patch(
    '[listen]\nsource = "osc"\ninputs = 2\n[[output]]\nname = "move"\nkind = "trigger"\n', Path("patch.toml")
)


def take(places: np.ndarray, target: int, hz: float = HZ) -> MovementTake:
    return MovementTake(times_s=np.arange(len(places)) / hz, values=places, target=target)


TAKES = tuple(
    one
    for seed in (1, 2)
    for one in (take(held(circle(1.0, seed=seed)), 0), take(held(zigzag(1.2, seed=10 + seed), 0.3, 0.8), 1))
)


def dataset(
    takes: tuple[MovementTake, ...] = TAKES, classes: tuple[str, ...] = ("circle", "zigzag")
) -> MovementDataset:
    return MovementDataset(
        takes=takes,
        take_ids=tuple(range(1, 1 + len(takes))),
        classes=classes,
        feature_names=("numbers.1", "numbers.2"),
        notes=(),
    )


@pytest.fixture(scope="module")
def model() -> MovementModel:
    return train_movements(PATCH, PATCH.outputs[0], dataset())


def events(model: MovementModel, places: np.ndarray, hz: float = HZ) -> list[MovementEvent]:
    runner = MovementRunner(model, plain(model.network).forward, at=0.8)
    found: list[MovementEvent] = []
    for number, values in enumerate(places):
        prediction = runner.update(number / hz, values)
        found += prediction.events
    return found


def hits(found: list[MovementEvent]) -> list[str]:
    return [one.movement for one in found if one.what == "hit"]


def test_every_movement_of_a_stream_counts_once(model: MovementModel) -> None:
    played = [circle(1.0, seed=20), zigzag(1.2, seed=21), zigzag(0.7, seed=22), circle(1.8, seed=23)]
    assert hits(events(model, stream(played))) == ["circle", "zigzag", "zigzag", "circle"]


def test_another_frame_rate_makes_no_difference(model: MovementModel) -> None:
    places = stream([circle(1.0, seed=20), zigzag(1.2, seed=21)])
    assert hits(events(model, places[::2], HZ / 2)) == ["circle", "zigzag"]


def test_a_tracker_that_slips_three_times_a_second_takes_no_movement_away(model: MovementModel) -> None:
    played = [circle(1.0, seed=20), zigzag(1.2, seed=21), zigzag(0.7, seed=22), circle(1.8, seed=23)]
    places = stream(played)
    places[7 :: HZ // 3] += (1.5, -2.0)
    assert hits(events(model, places)) == ["circle", "zigzag", "zigzag", "circle"]


def test_standing_still_is_no_movement_where_numbers_are_noisy() -> None:
    def noisy(places: np.ndarray, seed: int) -> np.ndarray:
        return (places + np.random.default_rng(seed).normal(0, 0.03, places.shape)).astype(np.float32)

    learned = [
        take(noisy(held(movement(seconds), 0.4, 0.6), seed), target)
        for seed, seconds in enumerate((0.6, 1.0, 1.5))
        for target, movement in enumerate((circle, swipe))
    ]
    followed = train_movements(PATCH, PATCH.outputs[0], dataset(tuple(learned), ("circle", "swipe")))
    for seed, place in enumerate((swipe(1.0)[0], swipe(1.0)[-1])):
        begun = [one for one in events(followed, noisy(still(6.0, place), 50 + seed)) if one.what != "end"]
        assert len(begun) <= 1, "one in six seconds is what the noise may look like"
    played = noisy(stream([circle(1.0), swipe(1.2), swipe(0.8)]), 60)
    assert hits(events(followed, played)) == ["circle", "swipe", "swipe"]


def test_the_onset_is_told(model: MovementModel) -> None:
    places = stream([circle(1.0, seed=20)])
    (hit,) = [one for one in events(model, places) if one.what == "hit"]
    began_s = len(places) / HZ - 1.5 - 1.0
    assert hit.onset_s == pytest.approx(began_s, abs=0.15)
    assert hit.velocity == pytest.approx(0.5, abs=0.12)


def test_takes_are_recognised_that_were_not_learned_from() -> None:
    following = fit_following(TAKES[:2], 2, hidden=(64, 32), seed=0, is_scaled=True, effort=0.3)
    assert [int(said_of_take(following, one).argmax()) for one in TAKES[2:]] == [0, 1]


def test_stillness_around_a_take_says_nothing_of_it() -> None:
    following = fit_following(TAKES[:2], 2, hidden=(64, 32), seed=0, is_scaled=True, effort=0.3)
    moved = zigzag(1.2, seed=12)
    bare = said_of_take(following, take(moved, 1))
    among = said_of_take(following, take(held(moved, 2.0, 3.0), 1))
    assert bare[1] > 0.9
    np.testing.assert_allclose(among, bare, atol=0.05)


def test_a_movement_half_of_which_is_missing_is_less_like_it() -> None:
    following = fit_following(TAKES, 2, hidden=(64, 32), seed=0, is_scaled=True)
    assert said_of_take(following, TAKES[0])[0] > 0.9
    turned = TAKES[0].values[::-1].copy()
    assert said_of_take(following, take(turned, 0))[0] < said_of_take(following, TAKES[0])[0]


def test_the_same_takes_give_the_same_weights(model: MovementModel) -> None:
    assert train_movements(PATCH, PATCH.outputs[0], dataset()).model_id == model.model_id


def test_training_says_how_many_takes_it_recognises_and_what_it_cut(model: MovementModel) -> None:
    assert model.training["validation"]["score"] == 1.0
    assert model.training["trimmed_s"]["2"] == pytest.approx(1.1, abs=0.25)


def test_training_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        train_movements(PATCH, PATCH.outputs[0], dataset(), is_cancelled=lambda: True)


def test_times_that_repeat_are_learned_from() -> None:
    coarse = tuple(replace(one, times_s=np.floor(10 * one.times_s) / 10) for one in TAKES)
    model = train_movements(PATCH, PATCH.outputs[0], dataset(coarse))
    assert hits(events(model, stream([circle(1.0, seed=20), zigzag(1.2, seed=21)]))) == ["circle", "zigzag"]


def test_takes_of_one_frame_are_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingError, match="record the whole movement"):
        fit_following([take(circle(1.0)[:1], 0)], 1, hidden=(8,), seed=0, is_scaled=True)


def test_one_movement_alone_is_told_from_nothing() -> None:
    alone = replace(dataset(TAKES[:1]), classes=("circle",))
    found = events(train_movements(PATCH, PATCH.outputs[0], alone), stream([circle(1.0, seed=30)]))
    assert hits(found) == ["circle"]


def test_a_model_comes_back_from_its_files_as_it_was(model: MovementModel, tmp_path: Path) -> None:
    save_movements(model, tmp_path / "move.safetensors")
    back = load_of_kind("trigger", tmp_path / "move.safetensors")
    assert back.model_id == model.model_id
    assert hits(events(load_movements(tmp_path / "move.safetensors"), stream([circle(1.0)]))) == ["circle"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("kind", "class", "allowed: trigger"),
        ("format", 99, "another version"),
        ("window_s", 1e9, "window_s is"),
        ("axes", [1.0], "axes is"),
        ("prior", "many", "a list of numbers"),
        ("durations_s", [1.0, -1.0], "more than 0"),
        ("classes", ["circle", "square"], "do not belong"),
        ("hidden", [3], "train again"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    model: MovementModel, tmp_path: Path, key: str, value: object, said: str
) -> None:
    save_movements(model, tmp_path / "move.safetensors")
    described = json.loads((tmp_path / "move.json").read_text())
    (tmp_path / "move.json").write_text(json.dumps(described | {key: value}))
    with pytest.raises(ModelError, match=said):
        load_movements(tmp_path / "move.safetensors")


def test_numbers_that_are_not_finite_say_nothing(model: MovementModel) -> None:
    runner = MovementRunner(model, plain(model.network).forward, at=0.8)
    with np.errstate(all="ignore"):
        said = runner.update(0.0, np.array([np.inf, 0.0], dtype=np.float32))
    assert (said.is_finite, said.current, said.events) == (False, None, ())
    assert runner.update(1.0, np.zeros(2, dtype=np.float32)).is_finite


def predicted(predictor: Predictor, number: int, values: np.ndarray) -> list[str]:
    """What happens in that frame of a performance."""
    features = Features(frame_number=number, captured_at_s=number / HZ, values=values.astype(np.float32))
    said = predictor.predict(features, True).outputs.get("move")
    return [event.what for event in said.events] if isinstance(said, TriggerPrediction) else []


@pytest.fixture
def under_way(model: MovementModel) -> tuple[Predictor, int, np.ndarray]:
    """A predictor in the middle of a circle, the number of the next frame, and all frames."""
    places = np.concatenate([still(2.0, circle(1.5)[0]), circle(1.5, seed=5), still(2.0, circle(1.5)[-1])])
    predictor = Predictor(PATCH)
    predictor.replace({"move": model})
    middle = round((2.0 + 0.75) * HZ)
    happened = [one for number in range(middle) for one in predicted(predictor, number, places[number])]
    assert happened[-1] == "begin"
    return predictor, middle, places


def test_a_movement_goes_on_when_the_model_there_was_comes_again(
    model: MovementModel, under_way: tuple[Predictor, int, np.ndarray]
) -> None:
    predictor, first, places = under_way
    happened = []
    for number in range(first, len(places)):
        predictor.replace({"move": replace(model, training={})})
        happened += predicted(predictor, number, places[number])
    assert happened == ["hit", "end"]


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_movement_ends_with_the_model_that_followed_it(
    model: MovementModel, under_way: tuple[Predictor, int, np.ndarray], is_replaced: bool
) -> None:
    predictor, number, places = under_way
    predictor.replace({"move": replace(model, seed=1)} if is_replaced else {})
    assert predicted(predictor, number, places[number]) == ["end"]
    assert predicted(predictor, number + 1, places[number + 1]) == []


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_movement_ends_when_its_output_is_switched_off(
    under_way: tuple[Predictor, int, np.ndarray], is_gone: bool
) -> None:
    predictor, number, places = under_way
    predictor.enabled.clear()
    if is_gone:
        predictor.replace({})
    assert predicted(predictor, number, places[number]) == ["end"]
    assert predicted(predictor, number + 1, places[number + 1]) == []
    predictor.enabled.add("move")
    assert predicted(predictor, number + 2, places[number + 2]) == []


def test_a_movement_ends_at_numbers_that_are_not_finite(under_way: tuple[Predictor, int, np.ndarray]) -> None:
    predictor, number, _ = under_way
    assert predicted(predictor, number, np.array([3e38, 3e38])) == ["end"]
    absurd = Features(frame_number=0, captured_at_s=(number + 1) / HZ, values=np.full(2, 3e38, dtype=np.float32))
    assert predictor.predict(absurd, True).outputs == {}
