"""ADe-GAN's networks, their training, the measures of health, and the detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from novelty_utils import data, detectors, training
from novelty_utils.errors import InputError

pytestmark = pytest.mark.slow

ADE = detectors.load("ade_gan")
DIGITS = data.load("digits").images
IMAGES = data.to_side(DIGITS, 28)


def begun(**given):
    """A detector with untrained networks."""
    model = ADE.ADeGAN(**given)
    model.begin((1, 28, 28))
    return model


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "channels", "variant"), [(28, 1, "default"), (32, 3, "default"), (28, 1, "group_norm")]
)
def test_networks_have_the_shapes_and_learn_with_every_weight(side, channels, variant):
    model = ADE.Networks(10, 7, 16, channels, side, variant).train()
    X = torch.rand(12, channels, side, side)
    X_hat, (logits, z_n_hat) = model(X), model.E(X)
    assert X_hat.shape == X.shape and 0 < X_hat.min() <= X_hat.max() < 1
    assert logits.shape == (12, 10) and z_n_hat.shape == (12, 7)
    assert model.D(X).shape == (12,)
    batch = ADE.draw_codes(torch.Generator().manual_seed(8), 12, 10, 7) | {"all": X}
    first = ADE.discriminator_loss(model, batch)
    batch |= first["kept"]
    last = ADE.extractor_loss(model, batch, alpha=1.0, beta=1.0, gamma=10.0, recon_norm="l2")
    sum(terms["loss"] for terms in (first, ADE.generator_loss(model, batch), last)).backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in model.parameters())


@pytest.mark.parametrize(("variant", "factor"), [("default", 0.1), ("bare_features", 1.0)])
def test_features_are_in_units_of_sigma_inside_the_networks(variant, factor):
    model, X, seen = ADE.Networks(10, 7, 16, 1, 28, variant).eval(), torch.rand(3, 1, 28, 28), []
    model.G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    z_n_hat = model.E(X)[1]
    torch.testing.assert_close(z_n_hat, factor * model.E.layers(X)[:, 10:])
    model.decode(torch.zeros(3, 10), z_n_hat)
    torch.testing.assert_close(seen[0][:, 10:], z_n_hat / factor)


def test_g_averages_a_batch_once_for_each_turn():
    model = ADE.Networks(10, 30, 16, 1, 28).train()
    layer = next(m for m in model.G.modules() if isinstance(m, torch.nn.BatchNorm1d))
    h, means = torch.randn(12, layer.num_features, generator=torch.Generator().manual_seed(1)), []
    for times in ((1, 1), (2,)):
        layer.reset_running_stats()
        for number in times:
            ADE.count_batch(model, number)
            layer(h)
        means.append(layer.running_mean.clone())
    torch.testing.assert_close(*means)


# --- training ------------------------------------------------------------------------------------------------------


def fit(model, objectives, images: int):
    """A pass over the first of the digits, in steps of 32."""
    one = training.Job(model.network, {"all": torch.arange(images)}, 0)
    how = {"epochs": 1, "batch": 32, "device": "cpu", "precision": "fp32", "rows": 4}
    (history,) = training.fit(
        [one], IMAGES, objectives, draws=lambda generator, size: ADE.draw_codes(generator, size, 10, 30), **how
    )
    return history


def test_each_step_moves_only_its_own_networks():
    for number, moving in enumerate(("D", "G", "GE")):
        model = begun()
        before = {n: w.detach().clone() for n, w in model.network.named_parameters()}
        (turns,) = model.stages()
        fit(model, [turn if n == number else replace(turn, lr=0.0) for n, turn in enumerate(turns)], 32)
        moved = {n.split(".")[0] for n, w in model.network.named_parameters() if not torch.equal(before[n], w)}
        assert moved == set(moving)


@pytest.mark.parametrize("variant", ["default", "apart"])
def test_what_d_leaves_to_the_turns_of_g_and_e_changes_nothing(variant):
    def afresh(number, turn):
        def loss(model, batch):
            batch = {name: batch[name] for name in batch if name not in ("logits", "z_n_hat")}
            if number == 1:
                batch["forged"] = ADE.three_kinds(model, batch, model.E(batch["all"]))[0]
            return {name: value for name, value in turn.loss(model, batch).items() if name != "kept"}

        return replace(turn, loss=loss)

    seen, logged = [], []
    for again in (False, True):
        model = begun(variant=variant)
        (turns,) = model.stages()
        history = fit(model, [afresh(*one) for one in enumerate(turns)] if again else turns, 4 * 32)
        logged.append([history.terms[name] for name in ("D", "G", "recon", "ip", "feature")])
        seen.append(dict(model.network.named_parameters()))
    np.testing.assert_allclose(*logged, rtol=1e-5)
    for name in seen[0]:
        torch.testing.assert_close(seen[0][name], seen[1][name], msg=name)


# --- health --------------------------------------------------------------------------------------------------------


def drawing(monkeypatch, decode) -> dict[str, float]:
    """The measures of untrained networks whose generator is replaced."""
    network = begun().network.eval()
    monkeypatch.setattr(network, "decode", lambda z_c, z_n: decode(len(z_c)))
    return ADE.health(network, IMAGES, torch.arange(600))


def test_a_generator_of_one_image_has_collapsed(monkeypatch):
    measures = drawing(monkeypatch, lambda n: torch.zeros(n, 1, 28, 28))
    assert (measures["diversity"], measures["within"]) == (0, 0)
    assert ADE.has_collapsed(measures, 10)


def test_a_generator_of_noise_whose_extractor_uses_every_pattern_has_not(monkeypatch):
    measures = drawing(monkeypatch, lambda n: torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(9)))
    assert measures["patterns used"] == pytest.approx(10, abs=0.5)  # untrained, it has no opinion
    assert measures["confidence"] == pytest.approx(0.1, abs=0.05)
    assert not ADE.has_collapsed(measures, 10)


@pytest.mark.parametrize("name", ["diversity", "within", "patterns used"])
def test_each_measure_of_the_rule_tells_a_collapse_alone(name):
    least = {"diversity": 0.5, "within": 0.1, "patterns used": 5.0}
    assert not ADE.has_collapsed(least, 10)
    assert ADE.has_collapsed(least | {name: least[name] - 0.01}, 10)


# --- the detector --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector():
    return ADE.ADeGAN(seed=0, width=8).fit(DIGITS[:400], epochs=2, device="cpu")


def test_a_score_ranks_as_eq_11_with_a_gaussian_fitted_to_held_out_errors(detector):
    e, m, *_ = ADE.read(detector.network, IMAGES, torch.arange(500, 900))
    held_out = detector.fitted["errors"].numpy()
    assert len(held_out) == 40
    P = norm(held_out.mean(), held_out.std()).cdf(e)
    some = P < 1 - 1e-9  # where the printed form has digits left
    printed = -(P / 10 + (1 - P) * m)
    scores = detector.decision_function(DIGITS[500:900])
    assert some.sum() > 200
    assert np.array_equal(np.argsort(printed[some]), np.argsort(scores[some]))


def test_the_score_of_an_autoencoder_is_its_error():
    model = ADE.ADeGAN(variant="autoencoder", d=3, width=8).fit(DIGITS[:400], epochs=1, device="cpu")
    e, *_ = ADE.read(model.network, IMAGES, torch.arange(500, 900))
    assert np.array_equal(np.argsort(model.decision_function(DIGITS[500:900])), np.argsort(e))


def test_stages_one_after_the_other_are_checkpointed_apart(tmp_path):
    model = begun(variant="sequential", width=8)
    histories = model.train(IMAGES, torch.arange(64), epochs=1, device="cpu", checkpoint=tmp_path)
    assert [set(history.terms) & {"D", "G", "recon"} for history in histories] == [{"D", "G"}, {"recon"}]
    assert sorted(file.parent.name for file in tmp_path.rglob("*") if file.is_file()) == ["0", "1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_c": 1}, "n_c=1"),
        ({"d": 0}, "d=0"),
        ({"side": 30}, "side=30"),
        ({"gamma": float("nan")}, "gamma=nan"),
        ({"variant": "none"}, "variant='none'"),
        ({"alpha": 0.0, "beta": 0.0, "gamma": 0.0}, "alpha, beta and gamma are all 0"),
    ],
)
def test_parameters_that_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        ADE.ADeGAN(**given)
