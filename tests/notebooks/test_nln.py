"""NLN: its losses, its scores against a reference, why a training dies, and what a run refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_cells import names_after, names_of, refused
from PIL import Image
from scipy.spatial import distance

from novelty_utils import data, detectors, training
from novelty_utils.evaluation import metrics
from novelty_utils.ledger import tables
from novelty_utils.training import collapse

NLN = detectors.load("nln")
FIVE = ("AE", "VAE", "AAE", "AERes", "AECon")


# --- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("arch", ["paper", "code", "public"])
@pytest.mark.parametrize("name", FIVE)
def test_every_detector_has_losses_that_teach_the_parts_they_name(name, arch, shape):
    detector = getattr(NLN, name)(arch=arch, L=5)
    model = detector.build(shape).train()
    X = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0))
    batch = {"all": X} | detector.noise(torch.Generator().manual_seed(1), 6)
    assert model(X).shape == X.shape
    assert model.encoder(X).shape == batch["eps"].shape == (6, 5)
    taught = set()
    for objective in detector.objectives():
        model.zero_grad()
        loss = objective.loss(model, batch)["loss"]
        assert loss.isfinite()
        loss.backward()
        parts = {n.split(".")[0] for n, w in model.named_parameters() if w.grad is not None and w.grad.any()}
        assert set(objective.updates) <= parts
        taught |= set(objective.updates) or parts
    assert taught == {n.split(".")[0] for n, _ in model.named_parameters()}


def test_the_cross_entropy_is_torchs_and_the_squared_error_is_logged_beside_it():
    X, X_hat = torch.rand(2, 3, 1, 4, 4)
    fitted, logged = NLN.reconstruction(X, X_hat, "bce")
    torch.testing.assert_close(fitted, torch.nn.functional.binary_cross_entropy(X_hat, X))
    torch.testing.assert_close(logged, (X - X_hat).square().mean())


def test_the_factors_on_the_terms_of_a_loss_are_the_detectors():
    X = torch.rand(4, 1, 28, 28)
    for name, rec in (("AERes", 1), ("AECon", 50)):
        detector = getattr(NLN, name)(adversarial=0.3)
        terms = detector.objectives()[0].loss(detector.build((1, 28, 28)), {"all": X})
        expected = rec * terms["rec"] + 0.3 * terms["adv"] + terms.get("con", 0)
        torch.testing.assert_close(terms["loss"], expected)


def test_the_weight_of_the_divergence_is_the_detectors():
    detector = NLN.VAE(kl=0.1)
    batch = {"all": torch.rand(4, 1, 28, 28)} | detector.noise(torch.Generator().manual_seed(1), 4)
    terms = detector.objectives()[0].loss(detector.build((1, 28, 28)), batch)
    torch.testing.assert_close(terms["loss"], 784 * terms["rec"] + 0.1 * terms["kl"])


@pytest.mark.parametrize(("arch", "H"), [("paper", 128 * 4 * 4), ("code", 32 * 4 * 4), ("public", 32 * 7 * 7)])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_the_features_of_the_critic_are_its_dense_layer_or_its_last_map(arch, H):
    X = torch.rand(2, 1, 28, 28)
    for q, size in (("dense", 5), ("map", H)):
        for name in ("AERes", "AECon"):
            network = getattr(NLN, name)(arch=arch, L=5, q=q).build((1, 28, 28))
            assert network.critic.features(X).shape == (2, size)
            assert network.critic(X).shape == (2, 1)


# --- layers --------------------------------------------------------------------------------------------------------


def weights(*modules: torch.nn.Module) -> int:
    return sum(w.numel() for module in modules for w in module.parameters())


def test_the_public_network_has_as_many_weights_as_the_public_code_gives_it():
    # By hand, from its layers: 2x2 convolutions of 32, a flat map of 7 * 7 * 32, codes of 32.
    convolution, flat = 4 * 32 * 32 + 32, 7 * 7 * 32
    encoder = 4 * 32 + 32 + 2 * convolution + 3 * 64 + flat * 32 + 32
    decoder = 32 * flat + flat + 2 * (convolution + 64) + 4 * 32 + 1
    model = NLN.Autoencoder(1, 28, 32, "public")
    assert (weights(model.encoder), weights(model.decoder)) == (encoder, decoder)
    assert weights(model) == 119_073
    vae = NLN.VariationalAutoencoder(1, 28, 32, "public")
    assert weights(vae.encoder, vae.log_variance) == encoder + 2 * (32 * 32 + 32)
    assert weights(NLN.Autoencoder(1, 28, 32, "code")) == 54_625


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_the_public_network_pools_twice_and_its_way_back_undoes_the_shift_of_its_kernels():
    model = NLN.Autoencoder(1, 28, 32, "public").eval()
    X = torch.rand(2, 1, 28, 28)
    assert model.encoder.trunk[:-1](X).shape == (2, 32, 7, 7)
    kinds = [type(layer).__name__ for layer in model.encoder.trunk]
    assert kinds.count("MaxPool2d") == 2
    back = torch.nn.Sequential(*NLN.public_back(1, 1))
    transposed = torch.nn.ConvTranspose2d(1, 1, 2)
    with torch.no_grad():
        transposed.weight.copy_(back[1].weight.flip(2, 3))
        transposed.bias.copy_(back[1].bias)
    torch.testing.assert_close(back(X), transposed(X)[:, :, :-1, :-1])


# --- scores --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIVE)
def test_the_score_is_the_papers_equation_on_the_scale_of_held_out_images(name):
    digits = data.load("digits").images
    detector = getattr(NLN, name)(L=4, K=3, alpha=0.7)
    detector.train_once = lambda *_, **__: (detector.network.eval(), None)  # initial weights serve as well
    detector.begin(digits.shape[1:])
    images = data.to_side(digits, 28)
    train, held_out, test = torch.arange(80), torch.arange(80, 100), torch.arange(100, 130)
    detector.learn(images, train, held_out)
    parts = {n: reference(name, detector.network, images, train, n, 3) for n in (held_out, test)}
    scaled = [(part - known.mean()) / known.std() for part, known in zip(parts[test], parts[held_out], strict=True)]
    np.testing.assert_allclose(detector.score(images, test), 0.7 * scaled[0] + 0.3 * scaled[1], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def reference(name, model, images, train, index, K):
    """Both halves of eq. 4, 7 or 8, image by image as they are printed."""
    seen, z_seen = images[train].float() / 255, model.encoder(images[train].float() / 255)
    halves = []
    for x in images[index].float().div(255).split(1):
        z = model.encoder(x)
        far = distance.cdist(z.double(), z_seen.double())[0]
        near = np.argsort(far)[:K]
        X_hat_k = model.decoder(z_seen[near])
        a, b = x, X_hat_k
        if name == "AERes":
            a, b = model.critic.features(x), model.critic.features(X_hat_k)
        if name == "AECon":
            a, b = z, model.re_encoder(X_hat_k)
        halves.append((float((a - b).abs().mean()), far[near].mean()))
    assert len(seen) == len(z_seen)
    return np.array(halves).T


# --- trainings -----------------------------------------------------------------------------------------------------


def test_a_training_that_is_dead_at_its_end_is_begun_again_with_other_weights(monkeypatch):
    images = data.to_side(data.load("digits").images[:40], 28)
    train, held_out, how = torch.arange(30), torch.arange(30, 40), {"epochs": 1, "device": "cpu"}
    judged = iter([{"error": 1.0, "constant_error": 1.0, "spread": 0.0, "collapsed": dead} for dead in (True, False)])
    monkeypatch.setattr(collapse, "of_autoencoder", lambda *_: next(judged))
    detector = NLN.AE(seed=3)
    _, fate = detector.train(images, train, held_out, "AE", **how)
    second, _ = NLN.AE(seed=3).train_once(images, train, "AE", restart=1, **how)
    first, _ = NLN.AE(seed=3).train_once(images, train, "AE", **how)
    assert fate["restarts"] == 1
    weights, others, firsts = (list(network.parameters()) for network in (detector.network, second, first))
    assert all(torch.equal(w, v) for w, v in zip(weights, others, strict=True))
    assert not torch.equal(weights[0], firsts[0])


@pytest.mark.slow
def test_black_pictures_drive_the_sigmoid_to_where_it_is_flat_and_a_bias_at_the_mean_gray_prevents_it():
    X = torch.zeros(64, 1, 28, 28)
    for n in range(64):  # thin bars, each at its own place
        X[n, 0, 4:24, 8 + n % 12 : 10 + n % 12] = 0.8
    seen = {}
    for start in ("half", "mean"):
        model = training.build(lambda: NLN.Autoencoder(1, 28, 32), 1)
        if start == "mean":
            torch.nn.init.constant_(model.decoder[-2].bias, float(torch.logit(X.mean())))
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(60):
            adam.zero_grad()
            NLN.ae_loss(model, {"all": X})["loss"].backward()
            adam.step()
        with torch.no_grad():
            before = model.decoder[:-1](model.encoder(X))
        seen[start] = float(before.amax()), collapse.judge(before.sigmoid(), X)
    highest, judged = seen["half"]
    assert judged["collapsed"]
    assert not seen["mean"][1]["collapsed"]
    assert highest < -20


# --- a run ---------------------------------------------------------------------------------------------------------


def test_more_neighbours_than_training_images_are_refused_before_the_training():
    images = data.load("digits").images[:20]
    with pytest.raises(detectors.InputError, match="K=19: there are 18 training codes"):
        NLN.AE(K=19).fit(images)


@pytest.mark.slow
@pytest.mark.parametrize(("class_name", "traced"), [("0", True), ("1", False)])
def test_the_run_of_fig_7_alone_traces_its_training(tmp_path, monkeypatch, class_name, traced):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    asked = {"class_name": class_name, "protocol": "simo", "models": "AE", "results": str(tmp_path)}
    names = names_after("nln", "records.write_run(", {'"smoke": 250': '"smoke": 20'}, **asked)
    (found,) = names["found"].values()
    at = {r.metric for r in found if "epoch=" in r.metric}
    assert {metric.split(";epoch")[0] for metric in at} == (
        {"auroc;score=recon", "auroc;score=nln"} if traced else set()
    )
    assert len(at) == (6 if traced else 0)


@pytest.mark.slow
def test_a_smaller_batch_makes_more_steps_in_as_many_epochs(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    few, many = (
        names_after("nln", 'print(f"{ds.name}, checksum', L=5, results=str(tmp_path), batch=batch)
        for batch in (128, 32)
    )
    k = few["shown"]
    assert few["epochs"](few["splits"][k]) == many["epochs"](many["splits"][k])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("K=0", "K='0': input should be greater than or equal to 1"),
        ("alpha=1.01", "alpha='1.01': input should be less than or equal to 1"),
        ("alpha=-0.1", "alpha='-0.1'"),
        ("alpha=nan", "alpha='nan'"),
        ("L=0", "L='0'"),
        ("batch=0", "batch='0'"),
        ("loss=l1", "loss='l1'"),
        ("adversarial=-1", "adversarial='-1'"),
        ("kl=-1", "kl='-1'"),
        ("q=conv", "q='conv'"),
        ("models=AE,BE", "'BE' is not one of AE, VAE, AAE, AE-res, AE-con"),
        ("models=AE,AE", "names a model twice"),
        ("models=", "is not one of"),
        ("protocol=both", "protocol='both'"),
        ("arch=new", "arch='new'"),
        ("K=5000", "K=5000: there are 1053 training codes; choose a K of at most 1053"),
    ],
)
def test_values_that_cannot_be(pair, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused("nln", ["-p", pair], capsys)


@pytest.mark.slow
def test_a_class_with_a_single_training_image(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 32, 32), dtype=np.uint8)
    for number, place in enumerate(("train/a", "train/b", "train/b", "test/a", "test/b")):
        folder = Path("photos", place)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(folder / f"{number}.png")
    pairs = ["-p", "dataset=folder:photos", "-p", "protocol=simo", "-p", "class_name=a"]
    assert "1 training images" in refused("nln", pairs, capsys)


def test_what_the_page_says_of_its_histograms_and_curves_is_counted_in_them():
    y = np.repeat([0, 1], [10, 2])
    full = {"AE": np.r_[0:10, 5.5, 20.0], "AE-con": np.r_[0:10, 8.5, 20.0]}
    names = names_of("nln", "def caught(", given={"y": y, "full": full, "np": np, "metrics": metrics, "tables": tables})
    assert names["told"] == ["AE-con 0.95 and 100%", "AE 0.80 and 50%"]
