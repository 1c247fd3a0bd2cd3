"""What every detector of the book owes whoever uses it. A new one is found here as soon as a notebook defines it."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
import pytest
import torch
from torch import Tensor

from novelty_utils import data, detectors, training
from novelty_utils.detectors import Detector
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics
from novelty_utils.training import collapse

pytestmark = pytest.mark.slow

DIGITS = data.load("digits")
ZEROS = DIGITS.images[DIGITS.labels == 0]
TRAIN, FRESH = ZEROS[:24], ZEROS[-40:]  # one small batch: a step on it is quick
NOISE = torch.randint(0, 256, FRESH.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
EVERY = torch.cat([FRESH, 255 - FRESH, NOISE])
STEPS, FALSE_ALARMS = 60, 0.5
GIVEN = {"PCA": {"components": 20}}  # its 64 are all pixels of a digit
GIVEN |= {name: {"side": 16} for name in ("CRBND", "DAE")}  # quicker
GIVEN |= {"AnoGAN": {"search_steps": 20}}
# A GAN draws grey at first, and noise is near to grey. The networks of ICS are wide, and soon know 16 images by heart.
OTHERWISE = {"AnoGAN": 300, "EGBAD": 300, "IGMMGAN": 150, "OCGAN": 300}
OTHERWISE |= {"AECon public": 400}  # its averages follow ten times more slowly
OTHERWISE |= dict.fromkeys(("CAE", "CLS", "ICS", "Control", "Random", "Double"), 20)


def found() -> Iterator[Any]:
    """Every concrete detector of every notebook, and one more for each further architecture that it has."""
    for name in detectors.names():
        for kind in detectors.kinds(name).values():
            for more in architectures(kind):
                told = " ".join([kind.__name__, *map(str, more.values())])
                yield pytest.param((name, kind.__name__, more), id=told)


def architectures(kind: type[Detector]) -> list[dict[str, Any]]:
    """Its arguments here, and again with each further value of a field `arch`."""
    given = GIVEN.get(kind.__name__, {}) | ({"side": 16} if kind.notebook == "rivals" and kind.side else {})
    choices = [
        field for field in dataclasses.fields(kind) if field.name == "arch" and get_origin(field.type) is Literal
    ]
    others = [{field.name: value} for field in choices for value in get_args(field.type) if value != field.default]
    return [given, *(given | other for other in others)]


class Fitted(NamedTuple):
    """A detector after `fit` and a call of `decision_function`, and what it could have changed, before and after."""

    model: Detector
    scores: np.ndarray  # of EVERY
    before: list
    after: list


@pytest.fixture(scope="module", params=found())
def fitted(request) -> Iterator[Fitted]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on networks this small, threads only wait for each other
    train, every, before = TRAIN.clone(), EVERY.clone(), outside(TRAIN, EVERY)
    notebook, name, arguments = request.param
    model = getattr(detectors.load(notebook), name)(seed=0, **arguments)
    with pytest.MonkeyPatch.context() as patch:
        told = " ".join([name, *map(str, arguments.values())])
        patch.setattr(type(model), "steps", OTHERWISE.get(told, OTHERWISE.get(name, STEPS)))
        patch.setattr(collapse, "RESTARTS", 0)  # a short training may pass for dead, and three would tell no more
        model.fit(train, device="cpu", false_alarms=FALSE_ALARMS)
    scores = model.decision_function(every)
    yield Fitted(model, scores, before, outside(train, every))
    torch.set_num_threads(threads)


def outside(*images: Tensor) -> list:
    """The images and the global random state: a detector changes neither."""
    return [
        *(one.tolist() for one in images),
        torch.get_rng_state().tolist(),
        random.getstate(),
        told(np.random.get_state()),
    ]


def told(state: tuple) -> list:
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in state]


# --- the contract --------------------------------------------------------------------------------------------------


def test_scores_are_finite_and_most_of_them_distinct(fitted):
    assert fitted.scores.shape == (len(EVERY),)
    assert fitted.scores.dtype == fitted.model.held_out_scores_.dtype == np.float64
    assert np.isfinite(fitted.scores).all()
    assert len(np.unique(fitted.scores)) > len(EVERY) / 2  # a forest of so few images has few steps


def test_easy_anomalies_score_higher(fitted):
    """Inverted images or noise: after so few steps, not every detector knows both."""
    normal, *kinds = np.split(fitted.scores, 3)
    y = np.repeat([0, 1], len(FRESH))
    assert max(metrics.auroc(y, np.concatenate([normal, novel]))[0] for novel in kinds) > 0.7


def test_shuffled_labels_are_worth_nothing(fitted):
    # images are laid out by their label, so that a score that told places or batches apart would show
    order = torch.randperm(len(FRESH), generator=torch.Generator().manual_seed(0))
    y = (np.arange(len(FRESH)) >= len(FRESH) // 2).astype(int)
    n, m = (y == 0).sum(), (y == 1).sum()
    by_chance = np.sqrt((n + m + 1) / (12 * n * m))  # the deviation of the Mann-Whitney statistic
    value, _, _ = metrics.auroc(y, fitted.model.decision_function(FRESH[order]))
    assert abs(value - 0.5) < 3 * by_chance


def test_a_score_is_the_image_s_own(fitted):
    near = {"rtol": 1e-4, "atol": 1e-5 * fitted.scores.std()}
    order = torch.randperm(len(EVERY), generator=torch.Generator().manual_seed(1))
    for index in (order, order[:37], order[:1]):
        np.testing.assert_allclose(fitted.model.decision_function(EVERY[index]), fitted.scores[index], **near)
    assert np.array_equal(fitted.model.decision_function(EVERY), fitted.scores)


def test_its_networks_are_in_evaluation_mode(fitted):
    assert not [name for name, module in fitted.model.network.named_modules() if module.training]


def test_images_and_global_random_state_are_left_alone(fitted):
    assert fitted.before == fitted.after


def test_saved_and_opened_it_gives_the_same_scores(fitted, tmp_path):
    fitted.model.save(tmp_path / "saved.pt")
    opened = detectors.open(tmp_path / "saved.pt", device="cpu")
    assert type(opened) is type(fitted.model)
    assert opened.arguments() == fitted.model.arguments()
    assert np.array_equal(opened.decision_function(EVERY), fitted.scores)
    assert opened.threshold_ == fitted.model.threshold_
    assert np.array_equal(opened.held_out_scores_, fitted.model.held_out_scores_)
    assert torch.equal(opened.examples_, fitted.model.examples_)
    assert opened.about == fitted.model.about
    drawn = fitted.model.reconstruct(EVERY)
    assert drawn is None or torch.equal(opened.reconstruct(EVERY), drawn)
    assert not any(module.training for module in opened.network.modules())


def test_what_it_redraws_is_each_image_s_own_and_nearer_to_it_than_to_its_inverse(fitted):
    model = fitted.model
    if type(model).redraw is Detector.redraw:
        assert model.reconstruct(EVERY) is None
        return
    drawn, sized = model.reconstruct(EVERY), model.sized(EVERY)
    assert drawn.dtype == torch.float32
    assert drawn.shape == sized.shape
    assert 0 <= drawn.min() < drawn.max() <= 1
    order = torch.randperm(len(EVERY), generator=torch.Generator().manual_seed(2))
    assert torch.allclose(model.reconstruct(EVERY[order]), drawn[order], atol=1e-4)
    x, x_hat = sized[: len(FRESH)].float() / 255, drawn[: len(FRESH)]
    assert (x - x_hat).square().mean() < (1 - x - x_hat).square().mean()  # a GAN of so few steps draws little else
    assert model.reconstruct(EVERY[:0]).shape == drawn[:0].shape


def test_it_keeps_some_of_what_it_has_learnt_from_to_show_beside_new_images(fitted):
    model = fitted.model
    learnt = {image.numpy().tobytes() for image in model.examples_}
    seen = [image.numpy().tobytes() for image in model.sized(TRAIN)]
    assert len(learnt) == len(model.examples_) == len(TRAIN) - len(model.held_out_scores_)
    assert learnt <= set(seen)
    assert model.about["fitted"] + model.about["held_out"] == len(TRAIN)


def test_a_p_value_is_the_share_of_held_out_images_that_score_as_high(fitted):
    held_out = fitted.model.held_out_scores_
    asked = np.concatenate([fitted.scores, held_out])
    by_hand = [(1 + sum(one >= score for one in held_out)) / (1 + len(held_out)) for score in asked]
    assert fitted.model.p_values(asked).tolist() == by_hand


def test_predict_goes_by_the_threshold_and_rejects_the_chosen_share_of_held_out_images(fitted):
    model = fitted.model
    assert model.predict(EVERY).tolist() == (fitted.scores > model.threshold_).astype(int).tolist()
    assert len(model.held_out_scores_) == len(TRAIN) // detectors.HELD_OUT
    assert (model.held_out_scores_ > model.threshold_).mean() == FALSE_ALARMS
    assert model.predict(FRESH).mean() < 1  # as it would be if something had been learnt from the held-out ones


def test_other_images_and_a_call_before_fit_are_refused_in_one_line(fitted, tmp_path):
    refused(lambda: fitted.model.decision_function(EVERY[:, :, :7]), "shape")
    refused(lambda: fitted.model.predict(EVERY.float()), "uint8")
    refused(lambda: fitted.model.reconstruct(EVERY[:, :, :7]), "shape")
    new = dataclasses.replace(fitted.model)
    refused(lambda: new.fit(TRAIN[0]), "uint8")
    calls = [lambda: new.decision_function(EVERY), lambda: new.predict(EVERY), lambda: new.reconstruct(EVERY)]
    for call in (*calls, lambda: new.p_values(fitted.scores), lambda: new.save(tmp_path / "new")):
        refused(call, "call fit first")
    assert not list(Path(tmp_path).iterdir())


class TrainingError(Exception):
    """Raised in place of a training."""


@pytest.mark.parametrize("asked", [*found()])
def test_what_is_trained_takes_epochs_and_a_device_and_what_is_not_says_that_it_ignores_epochs(asked, monkeypatch):
    notebook, name, arguments = asked
    seen = []

    def fit(*_, device, **__):
        seen.append(device)
        raise TrainingError

    monkeypatch.setattr(training, "fit", fit)
    model = getattr(detectors.load(notebook), name)(**arguments)
    try:
        model.fit(TRAIN, epochs=3, device="cpu")
    except TrainingError:
        assert seen == ["cpu"]
    assert bool(seen) != model.ignores("epochs")
    assert not (seen and model.ignores("device"))


def refused(call, word: str) -> None:
    with pytest.raises(InputError) as refusal:
        call()
    assert word in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
