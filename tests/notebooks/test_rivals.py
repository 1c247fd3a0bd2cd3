"""The rivals: every score and every loss by hand, what kills a network is told, and the page records all of them."""

import dataclasses
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from notebook_cells import names_of_page, refused
from pyod.models.deep_svdd import InnerDeepSVDD
from pyod.models.ocsvm import OCSVM
from scipy.stats import gennorm
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from novelty_utils import data, detectors, records, training
from novelty_utils.errors import InputError
from novelty_utils.ledger import published
from novelty_utils.training import collapse

pytestmark = pytest.mark.slow

R = detectors.load("rivals")
DIGITS = data.load("digits")
DRAW = np.random.default_rng(0)


def images(*pixels: list[float]) -> torch.Tensor:
    """Images of one row: (B, 1, 1, d)."""
    return torch.tensor(pixels).view(len(pixels), 1, 1, -1)


# --- redrawing -----------------------------------------------------------------------------------------------------


def test_the_bound_of_the_vae_by_hand():
    X, X_hat = images([0.0, 0.0, 0.0, 0.0]), images([0.5, 0.5, 0.5, 0.5])
    mu, log_variance = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, math.log(4)]])
    KL = (1 + 1 - 1 - 0) / 2 + (1 + 4 - 1 - math.log(4)) / 2
    assert R.bound(X, X_hat, mu, log_variance).tolist() == pytest.approx([4 * 0.25 + KL])


def test_shrinkage_cuts_and_rescales():
    w = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.7, 0.1, 0.1, 0.1]])
    wanted = torch.tensor([[0.5, 0.3, 0.15, 0.0], [0.7, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(R.shrink(w, 0.1), wanted / wanted.sum(1, keepdim=True))


def test_memory_asks_by_the_cosine_and_decodes_items_alone():
    memory = R.Memory(1, 16, 2, 3)
    with torch.no_grad():
        memory.items.copy_(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]))
    e = math.e
    w = np.array([e, 1, 1 / e]) / (e + 1 + 1 / e)  # of a code along the first item; the cut is at 1/3
    assert w[0] > 1 / 3 > w[1]
    for length in (0.1, 100.0):
        torch.testing.assert_close(memory.address(torch.tensor([[length, 0.0]])), torch.tensor([[1.0, 0.0, 0.0]]))
    several = memory.address(torch.tensor([[1.0, 1.0]]))[0]
    torch.testing.assert_close(several, torch.tensor([0.5, 0.5, 0.0]))


def test_three_times_the_uniform_weight_as_a_cut_would_leave_nothing_before_training():
    seen = data.to_side(DIGITS.images[:400], 16).float() / 255
    for seed in range(3):
        memory = training.build(lambda: R.Memory(1, 16, 32, 100), seed).eval()
        with torch.no_grad():
            z, items = memory.encoder(seen), memory.items
            w = (F.normalize(z, dim=1) @ F.normalize(items, dim=1).T).softmax(1)
        assert w.max() < 2 / 100
        assert not R.shrink(w, 3 / 100).any()


def test_entropy_is_that_of_the_weights():
    model = R.Memory(1, 16, 4, 6).eval()
    X = torch.rand(5, 1, 16, 16)
    terms = {name: float(value.detach()) for name, value in R.MemAE.loss(model, {"all": X}).items()}
    w = model.address(model.encoder(X)).detach().double().numpy()
    entropy = -(w * np.log(w.clip(1e-300))).sum(1).mean()
    assert terms["entropy"] == pytest.approx(entropy, abs=1e-5)
    assert terms["loss"] - terms["rec"] == pytest.approx(0.0002 * entropy, abs=1e-6)


# --- games ---------------------------------------------------------------------------------------------------------

PLAIN = SimpleNamespace(  # features: twice the pixels; with a code, their sum
    features=lambda X, z=0: 2 * X.flatten(1) + z
)


def test_what_a_search_leaves_by_hand():
    X, X_hat = images([1.0, 0.0], [0.0, 0.0]), images([0.5, 0.25], [0.0, 0.0])
    left = R.residual(X, X_hat, PLAIN.features(X), PLAIN.features(X_hat), 0.1)
    assert left.tolist() == pytest.approx([0.9 * 0.75 + 0.1 * 1.5, 0])


def test_the_search_finds_the_code_and_starts_all_images_at_the_same_one():
    network = SimpleNamespace(G=lambda z: z.view(-1, 1, 1, 2), D=PLAIN)
    X = images([0.3, -0.2], [0.8, 0.4])
    z = torch.tensor([0.1, 0.1])
    with torch.inference_mode():  # as when it scores
        torch.testing.assert_close(R.search(network, X, z, 100, 0.1), X.flatten(1), atol=0.05, rtol=0)
        (alone,) = R.search(network, X[1:], z, 3, 0.1)
        assert torch.equal(alone, R.search(network, X, z, 3, 0.1)[1])


def test_egbad_looks_at_pairs():
    network = SimpleNamespace(E=lambda X: 3 * X.flatten(1), G=lambda z: z.view(-1, 1, 1, 2) / 6, D=PLAIN)
    X = images([1.0, 0.5])  # drawn as half of itself: 0.75 in pixels, twice that in features
    assert R.EGBAD(λ=0.25).surprise(network, X).tolist() == pytest.approx([0.75 * 0.75 + 0.25 * 1.5])


def test_igmm_gan_measures_from_the_nearest_centre():
    means, precisions = np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([np.eye(2), np.diag([4.0, 1.0])])
    z = np.array([[1.0, 2.0], [9.0, 0.0], [10.0, -3.0]])
    assert R.nearest_centre(z, means, precisions).tolist() == pytest.approx([5.0, 4.0, 9.0])


def test_igmm_gan_finds_as_many_centres_as_there_are_groups(monkeypatch):
    codes = torch.from_numpy(DRAW.normal(size=(900, 2)) + np.repeat([[0, 0], [20, 0], [0, 20]], 300, axis=0))
    model = R.IGMMGAN(side=16)
    model.network = SimpleNamespace(E=None)
    monkeypatch.setattr(R.training, "apply", lambda network, images, index: images[index])
    model.calibrate(codes, torch.arange(900))
    assert len(model.fitted["means"]) == 3
    near, between = model.score(torch.tensor([[20.0, 0.0], [10.0, 10.0]]), torch.arange(2))
    assert near < 1 < 50 < between


def test_the_game_of_the_bigan_is_one_game():
    """What G and E minimise is what D minimises with the two kinds of pairs exchanged."""
    model = R.BiGAN(1, 16, 4).eval()
    batch = {"all": torch.rand(3, 1, 16, 16), "z": torch.randn(3, 4)}
    with torch.no_grad():
        real, fake = (
            model.D(batch["all"], model.E(batch["all"])),
            model.D(model.G(batch["z"]), batch["z"]),
        )
        assert float(R.judge_pairs(model, batch)["loss"]) == pytest.approx(float(R.real_or_fake(real, fake)))
        assert float(R.swap_pairs(model, batch)["loss"]) == pytest.approx(float(R.real_or_fake(fake, real)))


def test_a_decoder_stretches_codes_by_the_volume_that_their_directions_span():
    W = torch.tensor([[3.0, 0.0], [0.0, 2.0], [4.0, 0.0]])  # lengths 5 and 2, at right angles
    linear = nn.Linear(2, 3)
    with torch.no_grad():
        linear.weight.copy_(W)
    with torch.inference_mode():  # as when it scores
        found = R.log_stretch(linear, torch.tensor([[1.0, -1.0], [0.0, 9.0]]))
    assert found.tolist() == pytest.approx([math.log(10)] * 2, abs=1e-5)


def test_the_density_of_codes_is_that_of_scipy():
    z, shape = DRAW.normal(size=(7, 3)), (np.array([1.0, 2.0, 3.5]), np.array([0.0, 1.0, -1.0]), np.array([1, 2, 0.5]))
    ours = R.log_generalised_gaussian(torch.from_numpy(z), *map(torch.from_numpy, shape))
    assert ours.tolist() == pytest.approx(gennorm.logpdf(z, *shape).sum(1).tolist())


def test_ocgan_mines_where_the_classifier_is_surest():
    """C sees a drawing as its one pixel, the tanh of u: the step against log(1 + e^C) is known."""
    model = SimpleNamespace(decoder=lambda z: z, C=lambda X: 3 * X)
    u = torch.tensor([[0.5], [-1.0]])
    t = u.tanh()
    slope = 3 * (1 - t**2) * torch.sigmoid(3 * t)
    with torch.no_grad():
        u_mined = R.mine(model, u, η=0.25)
    torch.testing.assert_close(u_mined, (u - 0.25 * slope).tanh())
    assert (model.C(u_mined) < model.C(t)).all()


def test_ocgan_mines_in_the_last_quarter_only(monkeypatch):
    said = []
    fit = R.training.fit

    def told(jobs, images, objectives, **how):
        said.append((objectives[-1].loss.keywords["mining"], how["epochs"]))
        return fit(jobs, images, objectives, **how)

    monkeypatch.setattr(R.training, "fit", told)
    model = R.OCGAN(side=16, batch=8)
    model.begin((1, 8, 8))
    history = model.train_once(data.to_side(DIGITS.images, 16), torch.arange(16), "OCGAN", epochs=8)
    assert said == [(False, 6), (True, 2)]
    assert history.images == 8 * 16
    codes = model.network.encoder(torch.rand(5, 1, 16, 16))
    assert codes.abs().max() < 1


def test_gpnd_adds_the_logarithms_of_its_densities():
    model = R.GPND(L=1)
    m = 4
    network = SimpleNamespace(  # draws the code into the first of four pixels
        encoder=lambda X: X.flatten(1)[:, :1], decoder=lambda z: F.pad(3 * z, (0, m - 1)).view(-1, 1, 1, m)
    )
    one = torch.ones(1)
    model.fitted = {"beta": 2 * one, "loc": 0 * one, "scale": 2**0.5 * one}  # the standard normal density
    model.fitted |= {"edges": torch.tensor([0.0, 1.0, 2.0]), "log_p_R": torch.tensor([0.1, 0.2, 0.3, 0.4]).log()}
    (s,) = model.surprise(network, images([0.5, 0.0, 0.0, 1.0]))
    r = 2**0.5  # from (1.5, 0, 0, 0) to (0.5, 0, 0, 1), in the second bin
    wanted = math.log(2 * math.pi) / 2 + 0.5**2 / 2 + math.log(3) + (m - 2) * math.log(r) - math.log(0.3)
    assert float(s) == pytest.approx(wanted, abs=1e-5)


def test_gpnd_weighs_redrawing_twice_as_much_as_codes():
    model = R.Manifold(1, 16, 4).eval()
    with torch.no_grad():
        terms = {
            name: float(value) for name, value in R.redraw_and_hide(model, {"all": torch.rand(3, 1, 16, 16)}).items()
        }
    assert terms["loss"] == pytest.approx(terms["code"] + 2 * terms["rec"], rel=1e-5)


@pytest.mark.parametrize("kind", [R.OCGAN, R.GANomaly, R.SkipGANomaly])
def test_an_autoencoder_beside_a_discriminator_learns_at_the_rates_of_ae_con(kind):
    con = {o.updates[0]: o.lr for o in detectors.load("nln").AECon().objectives()}
    *judges, redraws = kind(side=16).objectives()
    assert redraws.lr == con["encoder"]
    assert {judge.lr for judge in judges} == {con["critic"]}


def test_ganomaly_encodes_twice():
    network = SimpleNamespace(encoder=lambda X: X.flatten(1), decoder=lambda z: 2 * z, re_encoder=lambda X: X + 1)
    assert R.GANomaly.surprise(network, images([1.0, 2.0])).tolist() == [2 + 3]


def test_the_weights_of_ganomaly_and_of_its_successor():
    X = torch.rand(3, 1, 16, 16)
    for kind, loss, terms in (
        (R.Twice, R.ganomaly_loss, {"adv": 1, "con": 50, "enc": 1}),
        (R.UNet, R.skip_loss, {"adv": 1, "con": 50, "lat": 1}),
    ):
        with torch.no_grad():
            found = loss(kind(1, 16, 4).eval(), {"all": X})
        assert float(found["loss"]) == pytest.approx(sum(w * float(found[t]) for t, w in terms.items()), rel=1e-5)


def test_skip_ganomaly_adds_pixels_and_features():
    class Half(nn.Module):
        D = PLAIN

        def forward(self, X):
            return X / 2

    X = images([1.0, 0.0])  # mean squares: 1/8 in pixels, 1/2 in features
    assert R.SkipGANomaly().surprise(Half(), X).tolist() == pytest.approx([0.9 / 8 + 0.1 / 2])


def test_a_u_net_hands_the_image_around_its_code():
    """With the code cut off, the output still depends on the image; an autoencoder's does not."""
    X = torch.rand(4, 1, 16, 16)
    skip, plain = R.UNet(1, 16, 4).eval(), R.Autoencoder(1, 16, 4).eval()
    with torch.no_grad():
        for layer in (skip.code[1], plain.encoder[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
        assert skip(X).var(0).mean() > 0
        assert plain(X).var(0).mean() == 0


# --- Deep SVDD -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ν", [0.05, 0.1, 0.37, 1.0])
def test_the_soft_radius_is_the_best_one(ν):
    distance = torch.from_numpy(DRAW.exponential(1, 60))
    best = R.soft(distance, R.radius(distance, ν), ν)
    others = torch.cat([distance, torch.linspace(0, float(distance.max()), 500)])
    assert best <= min(R.soft(distance, R2, ν) for R2 in others) + 1e-9
    assert (distance > R.radius(distance, ν)).double().mean() <= ν


def test_the_soft_loss_by_hand():
    distance = torch.tensor([1.0, 2.0, 3.0, 10.0])
    assert float(R.radius(distance, 0.25)) == 3
    assert float(R.soft(distance, torch.tensor(3.0), 0.25)) == 3 + 7 / (0.25 * 4)


def test_the_centre_is_the_mean_code_away_from_zero_as_in_pyod():
    codes = torch.tensor([[1.0, 0.02, -0.05], [3.0, 0.04, -0.07]])
    sphere = R.Sphere(1, 16, 3)
    sphere.settle(codes)
    assert sphere.c.tolist() == pytest.approx([2.0, 0.1, -0.1])
    peer = InnerDeepSVDD(n_features=3, use_ae=False, hidden_neurons=[8, 3], hidden_activation="relu",
                         output_activation="sigmoid", dropout_rate=0.0, l2_regularizer=0.0)  # fmt: skip
    peer.model = nn.Identity()
    peer._init_c(codes)
    torch.testing.assert_close(peer.c, sphere.c)


def test_no_layer_of_deep_svdd_has_a_bias():
    assert not [name for name, _ in R.Sphere(1, 16, 8).encoder.named_parameters() if "bias" in name]


def test_a_collapse_of_deep_svdd_is_told():
    model = R.DeepSVDD(side=16, L=8)
    model.begin((1, 16, 16))
    seen, index = data.to_side(DIGITS.images[:60], 16), torch.arange(60)
    model.network.eval()
    model.network.settle(R.training.apply(model.network, seen, index))
    assert not model.judge(seen, index)["collapsed"]
    with torch.no_grad():
        model.network.encoder[-1].weight.mul_(0.0005)
    assert model.judge(seen, index)["collapsed"]


def test_the_offset_is_the_share_of_the_distance_that_all_codes_have_in_common(monkeypatch):
    model = R.DeepSVDD(side=16, L=2)
    model.begin((1, 16, 16))
    codes = torch.tensor([[1.0, 0.0], [3.0, 0.0]])  # around (2, 0), one away from it each
    model.network.settle(codes + torch.tensor([0.0, 4.0]))  # c = (2, 4)
    monkeypatch.setattr(R.training, "apply", lambda *_: codes)
    found = model.judge(None, torch.arange(2))
    assert found["error"] == pytest.approx(4**2 + 1)
    assert found["offset"] == pytest.approx(16 / 17)


def test_deep_svdd_pulls_codes_in_fp32_at_a_tenth_of_the_rate(monkeypatch):
    said = []
    fit = R.training.fit

    def told(jobs, images, objectives, **how):
        said.append((objectives[0].lr, how.get("precision"), how["epochs"]))
        return fit(jobs, images, objectives, **how)

    monkeypatch.setattr(R.training, "fit", told)
    model = R.DeepSVDD(side=16, batch=8)
    model.begin((1, 16, 16))
    model.network = training.build(lambda: model.build((1, 16, 16)), 0)
    model.train_once(data.to_side(DIGITS.images, 16), torch.arange(16), "svdd", epochs=3, device="cpu")
    assert said == [(1e-3, None, 1), (1e-4, "fp32", 2)]


def test_dead_networks_are_told_and_begun_again(monkeypatch, capsys):
    class Black(R.Autoencoder):
        def forward(self, X):
            return 0 * super().forward(X)

    monkeypatch.setattr(R.AE, "build", lambda self, shape: Black(1, 16, self.L))
    model = R.AE(side=16)
    seen = data.to_side(DIGITS.images[:60], 16)
    model.begin(seen.shape[1:])
    where = (seen, torch.arange(50), torch.arange(50, 60))
    _, fate = model.train(*where, "black", epochs=1, device="cpu")
    assert fate["collapse"]["collapsed"]
    assert fate["restarts"] == collapse.RESTARTS
    assert capsys.readouterr().out.count("COLLAPSED") == 1 + collapse.RESTARTS


def test_a_gan_that_draws_one_image_is_told():
    for kind, part in ((R.AnoGAN, "G"), (R.EGBAD, "E")):
        model = kind(side=16, L=4)
        model.begin((1, 16, 16))
        model.network.eval()
        seen, index = data.to_side(DIGITS.images[:60], 16), torch.arange(60)
        first = model.network.get_submodule(part)[0 if part == "G" else -1]
        with torch.no_grad():
            first.weight.zero_()
        assert model.judge(seen, index)["collapsed"]


@pytest.mark.parametrize(
    ("kind", "last", "lost"), [(R.AnoGAN, 0.05, True), (R.AnoGAN, 0.9, False), (R.GANomaly, 0.05, True)]
)
def test_a_game_that_the_discriminator_has_won_is_told(kind, last, lost, monkeypatch, capsys):
    """It kills what rests on it alone."""
    train_once = kind.train_once

    def ended(*given, **how):
        history = train_once(*given, **how)
        return dataclasses.replace(history, terms=history.terms | {"D": [1.3, last]})

    monkeypatch.setattr(kind, "train_once", ended)
    alive = {"error": 0.1, "constant_error": 0.2, "spread": 1.0, "collapsed": False}
    monkeypatch.setattr(kind, "judge", lambda self, images, held_out: alive)
    model = kind(side=16, L=4)
    seen = data.to_side(DIGITS.images[:60], 16)
    model.begin(seen.shape[1:])
    _, fate = model.train(seen, torch.arange(50), torch.arange(50, 60), "x", epochs=1, device="cpu")
    dead = lost and kind is R.AnoGAN
    assert fate["collapse"] == alive | {"game": last, "collapsed": dead}
    trained = 1 + collapse.RESTARTS if dead else 1
    assert capsys.readouterr().out.count("the discriminator has won, its loss is 0.050") == lost * trained


@pytest.mark.parametrize(("rate", "lost"), [(R.ADAM, True), (R.SLOWER, False)])
def test_the_discriminator_wins_at_the_full_rate_and_not_at_a_quarter(rate, lost):
    model = R.AnoGAN(side=16, batch=32)
    seen = data.to_side(DIGITS.images, 16)
    model.begin(seen.shape[1:])
    model.network = training.build(lambda: model.build(seen.shape[1:]), 0)
    first, *others = model.objectives()
    assert first.lr == R.SLOWER["lr"]
    objectives = [dataclasses.replace(first, lr=rate["lr"]), *others]
    history = model.train_once(seen, torch.arange(1600), "game", objectives=objectives, epochs=4, device="cpu")
    assert (history.terms["D"][-1] < R.LOST) == lost


# --- codes and subspaces -------------------------------------------------------------------------------------------


def test_the_svm_on_codes_is_pyods():
    model = R.CodesOCSVM(side=16)
    model.fitted = {"codes": torch.from_numpy(DRAW.normal(size=(80, 5)))}
    model.prepare()
    z = DRAW.normal(size=(30, 5))
    peer = OCSVM(nu=0.1, gamma="scale")
    peer.fit(model.fitted["codes"].numpy())
    ours, theirs = model.of_codes(z), peer.decision_function(z)  # PyOD scales its inputs unless they are standard
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_the_distance_of_codes_by_hand():
    model = R.CodesMahalanobis(side=16)
    codes = DRAW.normal(size=(5000, 2)) * [1.0, 3.0] + [5.0, 0.0]
    model.fitted = {"codes": torch.from_numpy(codes)}
    model.prepare()
    assert model.of_codes(np.array([[7.0, 0.0], [5.0, 6.0]])) == pytest.approx([4.0, 4.0], rel=0.1)


def test_mahalanobis_is_the_likelihood_of_probabilistic_pca():
    index = torch.arange(300)
    model = R.Mahalanobis(components=10)
    model.begin((1, 8, 8))
    model.calibrate(DIGITS.images, index)
    x = R.rows(DIGITS.images, torch.arange(300, 400))
    peer = PCA(10, svd_solver="covariance_eigh").fit(R.rows(DIGITS.images, index))
    # scikit-learn's variances of the model are the explained ones, and the noise beyond
    away = model.score(DIGITS.images, torch.arange(300, 400)) + 2 * peer.score_samples(x)
    assert np.ptp(away) < 1e-6 * np.abs(away).max()


def test_the_level_that_fills_k_directions():
    assert R.fill(np.array([4.0, 1.0]), 1) == pytest.approx([0.8, 0.2])
    assert R.fill(np.array([4.0, 1.0, 0.0]), 2).tolist() == [1, 1, 0]
    values = np.sort(DRAW.exponential(1, 8))[::-1]
    for k in (1, 3, 7):
        ν = R.fill(values, k)
        assert ν.sum() == pytest.approx(k)
        assert ν.min() >= 0
        assert ν.max() <= 1
        for _ in range(200):  # no feasible step away from it is better
            i, j = DRAW.choice(8, 2, replace=False)
            step = min(0.01, 1 - ν[i], ν[j])
            other = ν.copy()
            other[[i, j]] += [step, -step]
            assert (values * (1 - other) ** 2).sum() >= (values * (1 - ν) ** 2).sum() - 1e-12


def test_reaper_finds_the_line_that_outliers_hide_from_pca():
    line = np.outer(DRAW.normal(size=100), [0.6, 0.8, 0.0])
    outliers = DRAW.normal([0.0, 0.0, 3.0], 0.3, (20, 3))
    X = np.concatenate([line, outliers])
    assert abs(PCA(1).fit(X).components_[0] @ [0.6, 0.8, 0.0]) < 0.3
    assert abs(R.reaper(X, 1)[:, 0] @ [0.6, 0.8, 0.0]) > 0.999


def test_without_outliers_reaper_is_pca():
    X = DRAW.normal(size=(200, 3)) @ DRAW.normal(size=(3, 10))
    V, peer = R.reaper(X, 3), PCA(3).fit(X).components_
    np.testing.assert_allclose(V @ V.T, np.linalg.qr(peer.T)[0] @ np.linalg.qr(peer.T)[0].T, atol=1e-2)


def test_the_median_is_where_the_unit_vectors_cancel():
    X = np.concatenate([DRAW.normal(size=(50, 3)), [[100.0, 0, 0]] * 10])
    away = X - R.median(X)
    assert np.linalg.norm((away / np.linalg.norm(away, axis=1, keepdims=True)).mean(0)) < 1e-3


def test_outlier_pursuit_puts_outliers_into_columns_of_their_own():
    angle = DRAW.uniform(0, 2 * math.pi, 196)
    low = DRAW.normal(size=(20, 2)) @ [np.cos(angle), np.sin(angle)]
    M = np.concatenate([low, 5 * DRAW.normal(size=(20, 4))], 1)
    L = R.pursuit(M, 3 / (7 * math.sqrt(4 / 200 * 200)))
    away = np.linalg.norm(M - L, axis=0)
    assert away[:196].max() < 1e-3 * away[196:].min()
    assert np.linalg.matrix_rank(L, tol=1e-2) == 2


def test_outlier_pursuit_ends_at_the_optimum():
    X = DIGITS.images[:600].flatten(1).numpy() / 255.0
    M, λ = (X - X.mean(0)).T, 3 / (7 * math.sqrt(0.01 * len(X)))
    L = R.pursuit(M, λ)
    U, σ, Vt = np.linalg.svd(L, full_matrices=False)
    r = np.count_nonzero(σ > 1e-6 * σ[0])
    assert 0 < r < 20
    pull = λ * (M - L) / np.linalg.norm(M - L, axis=0)  # of the columns; that of the singular values holds it
    np.testing.assert_allclose(U[:, :r].T @ pull, Vt[:r], atol=1e-3)
    assert np.linalg.norm(pull, 2) < 1 + 1e-3


def test_a_search_that_runs_out_of_rounds_says_so_and_one_that_ends_does_not():
    X = DRAW.normal(size=(60, 5)) * [3, 2, 1, 1, 1]
    for search in (lambda **rounds: R.reaper(X, 2, **rounds), lambda **rounds: R.pursuit(X.T, 1.0, **rounds)):
        with pytest.warns(ConvergenceWarning, match="still moves after 1 rounds"):
            search(rounds=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            search()


def test_as_many_components_as_pixels_are_refused():
    with pytest.raises(InputError, match=r"components=64: images of 64 pixels have no more; give fewer"):
        R.Reaper(components=64).fit(DIGITS.images[:40])


# --- the page ------------------------------------------------------------------------------------------------------


FEW = 3  # epochs; the book's own run of this page has all of them


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "epochs_for", lambda *_: FEW)
        return names_of_page("rivals", results=str(folder)), records.read("rivals", folder)


def test_the_page_records_every_method_once(page):
    names, (record,) = page
    found = {r.method: r for r in record.results if r.metric == "auroc"}
    assert tuple(found) == tuple(record.training) == names["METHODS"]
    assert all(0 <= r.low <= r.value <= r.high <= 1 for r in found.values())
    assert {r.method for r in record.results if r.metric == "auroc;share=10"} == set(names["METHODS"])
    for name, cost in record.training.items():
        assert cost["scored_images"] == len(names["splits"][3].test)
        assert cost["seconds"] > 0
        trained = issubclass(names["DETECTORS"][name], names["Rival"])
        assert trained == ("collapse" in cost) == (cost["parameters"] > 0)
        assert cost["revision"] == getattr(names["DETECTORS"][name], "revision", 1)
        assert ("offset" in cost.get("collapse", {})) == name.endswith("Deep SVDD")
    assert {name for name, cost in record.training.items() if "rank" in cost} == {"REAPER", "Outlier Pursuit"}


def test_runs_of_earlier_settings_and_dead_ones_count_no_more(page, monkeypatch):
    names, (record,) = page

    def mine(digit, **more):
        now = {"auroc": 0.8, "revision": 2, "dead": False} | more
        results = [records.Result(method=m, metric="auroc", value=now["auroc"]) for m in ("OCGAN", "AE")]
        how = {"seconds": 1.0, "collapse": {"collapsed": now["dead"]}}
        training = {"OCGAN": how | {"revision": now["revision"]}, "AE": how}
        changed = {"tier": "demo", "dataset": "mnist", "class_name": str(digit), "results": results}
        asked = {"parameters": record.parameters | {"protocol": "miso"}, "training": training}
        return record.model_copy(update=changed | asked)

    def told(*runs):
        monkeypatch.setattr(names["records"], "read_with_reference", lambda *_: list(runs))
        return names["our_means"]("rivals")

    digits = [mine(k) for k in range(9)]
    assert told(*digits, mine(9)).loc[["AE", "OCGAN"], "mean"].tolist() == pytest.approx([80, 80])
    assert told(*digits, mine(9, revision=1)).index.tolist() == ["AE"]
    without = told(*digits, mine(9, auroc=0.1, dead=True)).loc["OCGAN"]
    assert (without["mean"], without.dead, without.runs) == (pytest.approx(80), 1, 10)
    assert told().empty


def test_the_page_scores_as_the_detector_does(page):
    names, _ = page
    split, seen = names["splits"][3], names["images"]
    for name in ("MemAE", "soft Deep SVDD", "Mahalanobis of codes"):
        kind = getattr(R, type(names["models"][3, name][0]).__name__)
        model = kind(side=names["SIDE"])
        model.begin(seen.shape[1:])
        model.learn(seen, split.train, split.held_out, epochs=FEW, device="cpu", checkpoint=None)
        model.prepare()
        some = split.test[:50]
        np.testing.assert_allclose(model.score(seen, some), names["scores"][3, name][:50], rtol=1e-3)


@pytest.mark.parametrize(
    ("methods", "told"), [("AE,GAN", "'GAN' is unknown"), ("AE,AE", "names one twice"), ("", "'' is unknown")]
)
def test_unknown_methods_are_refused(methods, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert told in refused("rivals", ["-p", f"methods={methods}"], capsys)


@pytest.mark.prose
def test_neighbours_of_raw_pixels_are_above_every_printed_mean():
    printed = []
    for paper, table in (("nln", "Table 3"), ("ade_gan", "Table 1")):
        rows = published.read(paper)
        rows = rows[(rows.table == table) & (rows.class_name == "mean") & (rows.metric == "auroc")]
        rows = rows[(rows.dataset == "mnist") & (rows.protocol == "miso")]
        printed += rows[~rows.method.isin(published.rules(paper).own)].value.tolist()
    by_digit = {}
    for record in records.read("leaderboard", records.BOOK):
        if (record.tier, record.dataset, record.parameters["protocol"]) == ("demo", "mnist", "miso"):
            values = [one.value for one in record.results if (one.method, one.metric) == ("k-NN", "auroc")]
            by_digit.setdefault(record.class_name, []).extend(values)
    assert len(printed) == 13 and len(by_digit) == 10
    assert max(printed) < np.mean([np.mean(values) for values in by_digit.values()])


@pytest.mark.prose
def test_two_rivals_are_ahead_of_what_is_printed_of_them_by_as_much_as_the_page_of_answers_says():
    of_digits = {"VAE": {}, "MemAE": {}}
    for record in records.read("rivals", records.BOOK):
        if (record.tier, record.dataset, record.parameters["protocol"]) == ("demo", "mnist", "miso"):
            for one in record.results:
                if one.method in of_digits and one.metric == "auroc":
                    of_digits[one.method].setdefault(record.class_name, []).append(one.value)
    means = {name: 100 * np.mean([np.mean(v) for v in of.values()]) for name, of in of_digits.items()}
    assert [len(of) for of in of_digits.values()] == [10, 10]
    assert {name: round(mean) for name, mean in means.items()} == {"VAE": 76, "MemAE": 74}


@pytest.mark.prose
def test_the_codes_of_the_first_deep_svdd_lay_beside_the_centre_and_many_items_shared_an_image():
    offsets, shared = [], []
    for record in records.read("rivals", records.BOOK):
        if (record.tier, record.dataset, record.parameters["protocol"]) != ("demo", "mnist", "miso"):
            continue
        how = record.training.get("Deep SVDD")
        if how and how.get("revision", 1) == 1:
            seen = how["collapse"]
            offsets.append(1 - seen["constant_error"] * seen["spread"] ** 2 / seen["error"])
        if "MemAE" in record.training:
            shared.append(math.exp(record.training["MemAE"]["terms"]["entropy"]))
    assert len(offsets) == 10
    assert (round(100 * min(offsets)), round(100 * max(offsets))) == (57, 89)
    assert 41 < min(shared) <= max(shared) < 43.5
