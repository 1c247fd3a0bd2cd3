"""CRBND's detectors: their two stages, what each ablation is, what they judge and what they refuse."""

import numpy as np
import pytest
import torch
from torch import nn

from novelty_utils import data, detectors
from novelty_utils.errors import InputError

pytestmark = pytest.mark.slow

CRBND = detectors.load("crbnd")
DIGITS = data.to_side(data.load("digits").images[:60], 16)
TRAIN, HELD_OUT = torch.arange(40), torch.arange(40, 60)
ONCE = {"epochs": 1, "device": "cpu", "checkpoint": None}


def made(**parameters):
    """A CRBND with untrained networks that see images of 16 x 16."""
    model = CRBND.CRBND(side=16, depth=2, **parameters)
    model.begin((1, 16, 16))
    model.network.eval()
    return model


@pytest.fixture(scope="module")
def pairs() -> torch.Tensor:
    """Held-out images beside something that could be their reconstructions."""
    x = DIGITS[HELD_OUT]
    return torch.cat([x, x.flip(3)], 1)


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.5])
def test_a_score_is_minus_the_logit_of_the_average(pairs, lam):
    model = made(lam=lam)
    x, x_prime = (pairs.float() / 255).split(1, 1)
    with torch.inference_mode():
        logit = model.network["C"](lam * x + (1 - lam) * x_prime)
    np.testing.assert_allclose(model.scores(pairs), -logit, rtol=1e-5, atol=1e-6)


def test_a_score_joins_an_image_with_its_reconstruction_in_whole_grey_levels(pairs):
    model = made()
    with torch.inference_mode():
        x_prime = (255 * model.network["A"](DIGITS[HELD_OUT].float() / 255)).round()
    found = model.pairs(DIGITS, HELD_OUT)
    assert torch.equal(found, torch.cat([DIGITS[HELD_OUT], x_prime.to(torch.uint8)], 1))
    assert np.array_equal(model.score(DIGITS, HELD_OUT), model.scores(found))


def test_at_lambda_one_positives_and_negatives_are_the_image_and_nothing_is_judged(pairs, capsys):
    model = made(lam=1.0)
    x = pairs[:, :1].float() / 255
    for examples in model.examples(pairs):
        torch.testing.assert_close(examples, x)
    assert model.learn_classifier(pairs, pairs, **ONCE)[1] == {}
    assert not capsys.readouterr().out


def test_what_stands_beside_the_image_in_each_ablation(pairs):
    x, x_prime = pairs.chunk(2, 1)
    assert torch.equal(made().pictures(pairs), pairs)
    assert torch.equal(made(x_prime="none").pictures(pairs), torch.cat([x, x], 1))
    model = made(x_prime="nearest")
    model.fitted = {"known": x}
    assert torch.equal(model.pictures(pairs), torch.cat([x, x], 1))
    assert not (model.pictures(pairs, "train")[:, 1:] == x).flatten(1).all(1).any()
    model = made(x_prime="corrupted")
    assert torch.equal(model.pictures(pairs), pairs)
    assert not torch.equal(model.pictures(pairs, "train")[:, 1:], x_prime)


def test_the_reading_again_reconstructs_images_degraded_once(pairs):
    model, x = made(x_d="again", number=3), pairs[:, :1]
    batch = CRBND.degradation((1, 16, 16), torch.Generator().manual_seed(3), len(x))
    with torch.inference_mode():
        expected = model.network["A"](CRBND.degrade(x.float() / 255, batch, 7, 0.25))
    (found,) = model.again(x)
    assert torch.equal(found, (255 * expected).round().to(torch.uint8))
    assert made().again(x) == []


@pytest.mark.parametrize("number", [0, 3])
def test_what_is_drawn_once_follows_from_seed_and_class(number):
    expected = torch.rand(3, generator=torch.Generator().manual_seed(2000 + number))
    assert torch.equal(torch.rand(3, generator=made(seed=2, number=number).drawn_once()), expected)


@pytest.mark.parametrize(("logit", "dead"), [(5.0, False), (0.01, True)])
def test_a_classifier_is_judged_by_held_out_positives_and_their_negatives(logit, dead, pairs):
    class Knows(nn.Module):
        def forward(self, x):
            return logit * torch.cat([torch.ones(len(pairs)), -torch.ones(len(pairs))])

    assert made().judge(Knows().eval(), pairs)["collapsed"] == dead


def test_a_dead_training_is_begun_again_with_other_weights(monkeypatch):
    seeds, build = [], CRBND.training.build
    monkeypatch.setattr(CRBND.training, "build", lambda make, seed: (seeds.append(seed), build(make, seed))[1])
    model = made(seed=5)
    _, health = model.learn_autoencoder(DIGITS, TRAIN, HELD_OUT, **ONCE)  # one step: dead
    assert (health["restarts"], health["collapse"]["collapsed"]) == (2, True)
    assert seeds == [5, 5, 1005, 2005]  # begun, then thrice


def test_the_stages_leave_the_weights_that_fit_leaves():
    images = data.load("digits").images[:40]
    whole = CRBND.CRBND(side=16, depth=2).fit(images, epochs=1, device="cpu")
    model, order = made(), torch.randperm(40, generator=torch.Generator().manual_seed(0))
    held_out, train = order[:4], order[4:]
    sized = data.to_side(images, 16)
    model.learn_autoencoder(sized, train, held_out, **ONCE)
    model.learn_classifier(model.pairs(sized, train), model.pairs(sized, held_out), **ONCE)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name


def test_the_nearest_training_images_are_saved_with_the_detector(tmp_path):
    images = data.load("digits").images[:40]
    model = CRBND.CRBND(side=16, depth=2, x_prime="nearest").fit(images, epochs=1, device="cpu")
    assert model.fitted["known"].shape == (36, 1, 16, 16)
    model.save(tmp_path / "nearest.pt")
    opened = detectors.open(tmp_path / "nearest.pt", device="cpu")
    assert np.array_equal(opened.decision_function(images), model.decision_function(images))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"arch": "unet"}, "arch='unet'"),
        ({"arch": "code", "depth": 2}, "depth=2: the public code's A has depth 4"),
        ({"depth": 5, "side": 48}, "depth=5: side=48 cannot be halved so often"),
        ({"side": 40}, "side=40"),
        ({"lam": 1.01}, "lam=1.01"),
        ({"x_d": "image"}, "x_d='image'"),
        ({"x_prime": "noisy"}, "x_prime='noisy'"),
        ({"blur": 4}, "blur=4: the length must be odd and at most side=32"),
        ({"blur": 33}, "blur=33: the length must be odd and at most side=32"),
        ({"noise": 0.0}, "noise=0.0"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(InputError) as refusal:
        CRBND.CRBND(**parameters)
    assert message in str(refusal.value)
