"""ADe-GAN's codes, losses and scores against hand-worked values and independent references."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy, norm

from novelty_utils import detectors

ADE = detectors.load("ade_gan")


def networks(variant: str = "default", d: int = 30):
    return ADE.Networks(10, d, 16, 1, 28, variant).eval()


@pytest.fixture
def batch() -> dict:
    codes = ADE.draw_codes(torch.Generator().manual_seed(1), 12, 10, 30)
    return codes | {"all": torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(2))}


# --- codes ---------------------------------------------------------------------------------------------------------


def test_prior_codes_have_the_law_that_eq_1_names():
    codes = ADE.draw_codes(torch.Generator().manual_seed(3), 20_000, 10, 30)
    assert (codes["z_c"].sum(1) == 1).all() and set(codes["z_c"].unique().tolist()) == {0, 1}
    np.testing.assert_allclose(codes["z_c"].mean(0), 0.1, atol=0.01)
    assert codes["z_n"].std().item() == pytest.approx(0.1, rel=0.01)
    assert (codes["z_c"] * codes["z_c_other"]).sum() == 0  # never the same pattern
    np.testing.assert_allclose(codes["z_c_other"].mean(0), 0.1, atol=0.01)
    assert codes["is_mixed"].float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_mixtures_inside_a_pattern_keep_it_and_lie_between(batch):
    z_c, z_n = ADE.prior_codes(batch)
    assert torch.equal(z_c, batch["z_c"])
    mixed = batch["is_mixed"].squeeze(1)
    assert mixed.any() and not mixed.all()
    assert torch.equal(z_n[~mixed], batch["z_n"][~mixed])
    low = torch.minimum(batch["z_n"], batch["z_n_other"])
    high = torch.maximum(batch["z_n"], batch["z_n_other"])
    assert ((z_n >= low - 1e-6) & (z_n <= high + 1e-6)).all()


def test_cross_codes_mix_two_patterns_with_one_weight(batch):
    z_c, z_n = ADE.cross_codes(batch)
    lam = batch["lam"]
    for row, weight, first, second in zip(z_c, lam, batch["z_c"], batch["z_c_other"], strict=True):
        assert row[first.argmax()] == weight and row[second.argmax()] == 1 - weight
        assert row.sum().item() == pytest.approx(1)
    torch.testing.assert_close(z_n, lam * batch["z_n"] + (1 - lam) * batch["z_n_other"])


def test_variants_of_the_codes(batch):
    assert torch.equal(ADE.prior_codes(batch, "plain_codes")[1], batch["z_n"])
    many = ADE.draw_codes(torch.Generator().manual_seed(4), 20_000, 10, 30)
    assert ADE.prior_codes(many, "rescaled_codes")[1].std().item() == pytest.approx(0.1, rel=0.01)
    assert ADE.prior_codes(many, "middle")[1].std().item() == pytest.approx(0.1 * (5 / 6) ** 0.5, rel=0.01)
    weights = ADE.cross_codes(many, "middle")[0].amax(1)
    assert weights.min() >= 0.5 and weights.max() <= 0.75


# --- losses --------------------------------------------------------------------------------------------------------


def test_eq_3_by_hand():
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    z_c = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    z_n_hat, z_n = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 1.0]])
    cross_entropy, distance = ADE.inversion(logits, z_c, z_n_hat, z_n)
    first = -np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(1)))
    assert cross_entropy.item() == pytest.approx((first + np.log(3)) / 2, rel=1e-5)
    assert distance.item() == pytest.approx((5 + 1) / 2)  # norms, not squared, averaged


def test_eq_6_is_log_n_c_plus_a_divergence_from_uniform():
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(5))
    q = logits.double().softmax(1).numpy()
    expected = np.mean([np.log(10) + entropy(np.full(10, 0.1), row) for row in q])
    assert ADE.mixture_penalty(logits).item() == pytest.approx(expected, rel=1e-5)
    assert ADE.mixture_penalty(torch.zeros(3, 10)).item() == pytest.approx(np.log(10))


@pytest.mark.parametrize(("kind", "value"), [("l2", 1.5), ("rms", 1.5 / 28), ("mse", (1 + 4) / 2 / 784)])
def test_the_three_readings_of_eq_7(kind, value):
    X, X_hat = torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 28, 28)
    X_hat[0, 0, 0, :4], X_hat[1, 0, 5, :4] = 0.5, 1.0  # norms 1 and 2
    assert ADE.reconstruction(X, X_hat, kind).item() == pytest.approx(value)


@pytest.mark.parametrize("kind", ["l2", "rms", "mse"])
def test_a_perfect_reconstruction_has_a_finite_gradient(kind):
    X_hat = torch.rand(2, 1, 28, 28, requires_grad=True)
    ADE.reconstruction(X_hat.detach().clone(), X_hat, kind).backward()
    assert X_hat.grad.isfinite().all()


def test_the_game_is_eq_1_with_the_other_form_for_g(batch):
    class Fixed:
        G, variant = torch.nn.Identity(), "default"

        def E(self, X):  # noqa: N802
            return torch.zeros(len(X), 10), torch.zeros(len(X), 30)

        def decode(self, z_c, z_n):
            return torch.zeros(len(z_c), 1, 28, 28)

        def D(self, X):  # noqa: N802
            return torch.where(X.flatten(1).sum(1) > 0, 2.0, -1.0)  # real, forged

    D = [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))]
    terms = ADE.discriminator_loss(Fixed(), batch)
    assert terms["loss"].item() == pytest.approx(-np.log(D[0]) - np.log(1 - D[1]), rel=1e-5)
    assert terms["D_accuracy"].item() == 1
    forged = ADE.generator_loss(Fixed(), batch | terms["kept"])
    assert forged["loss"].item() == pytest.approx(-np.log(D[1]), rel=1e-5)


@pytest.mark.parametrize("kind", ["l2", "rms", "mse"])
def test_eq_8_is_the_sum_with_the_weights_and_the_unit_of_the_detector(kind, batch):
    model, asked = networks(), ADE.ADeGAN(alpha=2.0, beta=3.0, gamma=0.5, recon_norm=kind)
    terms = asked.stages()[0][-1].loss(model, batch)
    recon = ADE.reconstruction(batch["all"], model(batch["all"]), kind)
    assert terms["recon"].item() == pytest.approx(recon.item(), rel=1e-5)
    total = 2 * terms["ip"] + 3 * (terms["cross_entropy"] + terms["feature"]) + 0.5 * recon
    assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    assert sum(terms[f"pattern_{i}"] for i in range(10)).item() == pytest.approx(1)


@pytest.mark.parametrize(("variant", "reaches"), [("default", True), ("penalise_E", False)])
def test_eq_6_reaches_g_unless_it_is_to_train_e_only(variant, reaches, batch):
    model = networks(variant)
    ADE.extractor_loss(model, batch, alpha=1.0, beta=0.0, gamma=0.0, recon_norm="l2")["loss"].backward()
    of_g = sum(float(w.grad.abs().sum()) for w in model.G.parameters() if w.grad is not None)
    assert (of_g > 0) == reaches
    assert sum(float(w.grad.abs().sum()) for w in model.E.parameters()) > 0


def test_an_autoencoder_passes_d_numbers_and_no_opinion(batch):
    model, X, seen = networks("autoencoder", d=3), batch["all"], []
    model.G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    terms = ADE.autoencoder_loss(model, batch, "l2")
    assert not seen[0][:, :10].any() and seen[0].shape == (12, 13) and seen[0][:, 10:].any()
    assert terms["loss"].item() == pytest.approx((X - model(X)).flatten(1).norm(dim=1).mean().item())


def test_a_one_hot_pattern_passes_the_gradient_of_the_soft_one():
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(6), requires_grad=True)
    z_c = ADE.as_pattern(logits, "one_hot")
    np.testing.assert_allclose(z_c.detach(), np.eye(10)[logits.argmax(1)], atol=1e-6)
    weight = torch.randn(4, 10, generator=torch.Generator().manual_seed(7))
    (mine,) = torch.autograd.grad((z_c * weight).sum(), logits)
    (soft,) = torch.autograd.grad((logits.softmax(1) * weight).sum(), logits)
    torch.testing.assert_close(mine, soft)


# --- scores --------------------------------------------------------------------------------------------------------


def test_r1_ranks_as_the_printed_form_does():
    generator = np.random.default_rng(0)
    z, m = generator.normal(0, 2, 500), generator.uniform(0.1001, 1, 500)
    literal = -(norm.cdf(z) / 10 + (1 - norm.cdf(z)) * m)
    ours = ADE.r1(ADE.surprise(z), m, 10)
    assert np.array_equal(np.argsort(literal), np.argsort(ours))


def test_r1_tells_apart_what_the_printed_form_cannot():
    z = np.array([10.0, 20.0, 30.0])
    assert len(set(-(norm.cdf(z) / 10 + (1 - norm.cdf(z)) * 0.9))) == 1
    assert (np.diff(ADE.r1(ADE.surprise(z), 0.9, 10)) > 0).all()


def test_r2_and_r3_by_hand():
    S, m = np.log(4), 0.5
    assert ADE.r2(S, m, 10) == pytest.approx(np.log(4) / 10 + (1 + np.log(4)) * np.log(2))
    log_p = np.log(0.75)
    expected = -log_p / 10 - (1 - log_p) * 0.5
    assert ADE.r3(norm.ppf(0.75), m, 10) == pytest.approx(expected)


def test_an_image_without_any_pattern_gets_the_highest_finite_score():
    values = ADE.r1(np.array([0.5, 0.5]), np.array([0.1, 0.1001]), 10)
    assert np.isfinite(values).all() and values[0] > values[1]


def test_confidence_keeps_numbers_near_one_apart():
    logits = torch.zeros(3, 10)
    logits[:, 4] = torch.tensor([18.0, 25.0, 30.0])
    m = ADE.confidence(logits)
    assert m.dtype == np.float64 and (np.diff(m) > 0).all() and m[-1] < 1
    np.testing.assert_allclose(m[0], 1 / (1 + 9 * np.exp(-18.0)))


def test_the_error_is_the_norm_of_the_difference_and_each_confidence_the_image_s_own():
    model, index = networks(), torch.tensor([4, 1, 3])
    images = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    e, m, logits, z_n_hat = ADE.read(model, images, index)
    X = images[index].float() / 255
    with torch.inference_mode():
        X_hat, (expected, feature) = model(X), model.E(X)
    np.testing.assert_allclose(e, np.linalg.norm((X - X_hat).flatten(1), axis=1), rtol=1e-4)
    np.testing.assert_allclose(m, expected.softmax(1).amax(1), rtol=1e-4)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(z_n_hat, feature, rtol=1e-4, atol=1e-6)
