"""What every detector of the book owes its reader: scores that are finite, distinct, higher for anomalies, each an
image's own, and worth nothing on shuffled labels. A new paper adds one entry to DETECTORS.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM
from torch import Tensor, nn

from novelty_utils import training
from novelty_utils.data import datasets, protocols
from novelty_utils.evaluation import metrics, neighbours, scoring

pytestmark = pytest.mark.slow

Score = Callable[[Tensor], np.ndarray]  # index int64 (m,) -> scores float (m,), higher = more anomalous

DIGITS = datasets.load("digits")
INVERTED = 255 - DIGITS.images
NOISE = torch.randint(0, 256, (500, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.cat([DIGITS.images, INVERTED, NOISE])
SPLIT = protocols.one_class(DIGITS, 0, 4000, seed=0)
NORMAL = SPLIT.test[torch.from_numpy(SPLIT.reveal() == 0)]
EASY = {
    "inverted images": NORMAL + len(DIGITS.images),
    "noise": torch.arange(len(IMAGES) - len(NOISE), len(IMAGES)),
}


# --- the detectors -------------------------------------------------------------------------------------------------


def shallow() -> Score:
    """Principal components and a one-class SVM."""
    pca = PCA(20, random_state=0).fit(pixels(SPLIT.train))
    svm = OneClassSVM(nu=0.1, gamma="auto").fit(pca.transform(pixels(SPLIT.train)))
    return lambda index: -svm.decision_function(pca.transform(pixels(index)))


def pixels(index: Tensor) -> np.ndarray:
    return IMAGES[index].flatten(1).numpy() / 255


def reconstruction_error() -> Score:
    """The distance to the plane of the principal components."""
    pca = PCA(20, random_state=0).fit(pixels(SPLIT.train))

    def score(index: Tensor) -> np.ndarray:
        X = pixels(index)
        return np.square(X - pca.inverse_transform(pca.transform(X))).sum(1)

    return score


def forest() -> Score:
    model = IsolationForest(random_state=0).fit(pixels(SPLIT.train))
    return lambda index: -model.score_samples(pixels(index))


def local_outlier_factor() -> Score:
    model = LocalOutlierFactor(novelty=True).fit(pixels(SPLIT.train))
    return lambda index: -model.score_samples(pixels(index))


def fifth_neighbour() -> Score:
    model = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(pixels(SPLIT.train))
    return lambda index: model.kneighbors(pixels(index))[0][:, -1]


class Autoencoder(nn.Sequential):
    def __init__(self) -> None:
        encoder = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 8)]
        super().__init__(*encoder, nn.Linear(8, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))


class SquaredError(nn.Module):
    """Images (B, c, h, w) -> squared reconstruction error (B,)."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, X: Tensor) -> Tensor:
        return (self.autoencoder(X) - X).square().flatten(1).sum(1)


def autoencoder() -> Score:
    """A small autoencoder, trained and scored by the shared rooms."""

    def loss(model, batch):
        return {"loss": (model(batch["all"]) - batch["all"]).square().mean()}

    one = training.Job(training.build(Autoencoder, 0), {"all": SPLIT.train}, seed=0)
    training.fit([one], IMAGES, [training.Objective(loss)], epochs=60, batch=32, device="cpu")
    return lambda index: training.apply(SquaredError(one.model).eval(), IMAGES, index).numpy()


def nearest_latent_neighbours() -> Score:
    """The same autoencoder, scored by the decodings of and the distances to the nearest training codes (NLN)."""

    def loss(model, batch):
        return {"loss": (model(batch["all"]) - batch["all"]).square().mean()}

    model = training.build(Autoencoder, 0)
    one = training.Job(model, {"all": SPLIT.train}, seed=0)
    training.fit([one], IMAGES, [training.Objective(loss)], epochs=60, batch=32, device="cpu")
    layers = list(model)
    encoder, decoder = nn.Sequential(*layers[:5]).eval(), nn.Sequential(*layers[5:]).eval()
    bank = training.apply(encoder, IMAGES, SPLIT.train)
    decoded = training.apply(decoder, bank, torch.arange(len(bank)))

    def parts(index: Tensor) -> tuple[np.ndarray, np.ndarray]:
        distance, nearest = neighbours.nearest(training.apply(encoder, IMAGES, index), bank, 2)
        error = (IMAGES[index][:, None].float() / 255 - decoded[nearest]).abs().flatten(1).mean(1)
        return error.double().numpy(), distance.double().mean(1).numpy()

    held_out = parts(SPLIT.held_out)
    return lambda index: sum(scoring.standardise(*both) for both in zip(parts(index), held_out, strict=True)) / 2


class Classifier(nn.Sequential):
    def __init__(self) -> None:
        convolutions = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*convolutions, nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))


class MinusLogit(nn.Module):
    """Images (B, c, h, w) -> minus the classifier's logit of the average of image and reconstruction (B,)."""

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder, self.classifier = autoencoder, classifier

    def forward(self, X: Tensor) -> Tensor:
        return -self.classifier((X + self.autoencoder(X)) / 2)


def connective_reconstruction() -> Score:
    """A denoising autoencoder, and a classifier of averages of images with their sound or noisy reconstructions."""

    def noise(generator, size):
        return {"eta": torch.randn(size, 1, 8, 8, generator=generator)}

    def denoising_loss(model, batch):
        return {"loss": (model(batch["all"] + 0.1 * batch["eta"]) - batch["all"]).square().mean()}

    def pair_loss(model, batch):
        X, X_hat = batch["all"].split(1, 1)
        X_d = (X_hat + 0.25 * batch["eta"]).clamp(0, 1)
        positive, negative = model(torch.cat([(X + X_hat) / 2, (X + X_d) / 2])).chunk(2)
        return {"loss": (nn.functional.softplus(-positive) + nn.functional.softplus(negative)).mean()}

    how = {"epochs": 60, "batch": 32, "device": "cpu", "draws": noise}
    one = training.Job(training.build(Autoencoder, 0), {"all": SPLIT.train}, seed=0)
    training.fit([one], IMAGES, [training.Objective(denoising_loss)], **how)
    X_hat = (255 * training.apply(one.model, IMAGES, SPLIT.train)).round().to(torch.uint8)
    two = training.Job(training.build(Classifier, 0), {"all": torch.arange(len(X_hat))}, seed=0)
    pairs = torch.cat([IMAGES[SPLIT.train], X_hat], 1)
    training.fit([two], pairs, [training.Objective(pair_loss)], **how)
    score = MinusLogit(one.model, two.model).eval()
    return lambda index: training.apply(score, IMAGES, index).numpy()


class Patterns(nn.Module):
    """A generator, a discriminator and an extractor of four patterns and eight features."""

    def __init__(self) -> None:
        super().__init__()
        self.G = nn.Sequential(
            nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))
        )
        self.D = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Flatten(0))
        self.E = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 12))

    def forward(self, X: Tensor) -> Tensor:
        """Reconstruction error and logits of the patterns: (B, 1 + 4)."""
        logits, z_n = self.E(X).split([4, 8], 1)
        X_hat = self.G(torch.cat([logits.softmax(1), z_n], 1))
        return torch.cat([(X - X_hat).flatten(1).norm(dim=1, keepdim=True), logits], 1)


def patterns_and_reconstruction() -> Score:
    """A GAN with an extractor; surprise of the error plus indecision between patterns (ADe-GAN, eq. 11 as R1)."""
    softplus = nn.functional.softplus

    def codes(generator, size):
        z_c = torch.eye(4)[torch.randint(4, (size,), generator=generator)]
        return {"z": torch.cat([z_c, torch.randn(size, 8, generator=generator)], 1)}

    def of_d(model, batch):
        real, forged = model.D(torch.cat([batch["all"], model.G(batch["z"]).detach()])).chunk(2)
        return {"loss": softplus(-real).mean() + softplus(forged).mean()}

    def of_g(model, batch):
        return {"loss": softplus(-model.D(model.G(batch["z"]))).mean()}

    def of_e(model, batch):
        z_c, z_n = batch["z"].split([4, 8], 1)
        logits, z_n_hat = model.E(model.G(batch["z"])).split([4, 8], 1)
        halves = batch["z"] / 2 + torch.cat([z_c.roll(1, 1), z_n], 1) / 2
        mixed = -model.E(model.G(halves))[:, :4].log_softmax(1).mean()
        named = -(z_c * logits.log_softmax(1)).sum(1).mean() + (z_n_hat - z_n).norm(dim=1).mean()
        return {"loss": named + mixed + 10 * model(batch["all"])[:, 0].mean()}

    one = training.Job(training.build(Patterns, 0), {"all": SPLIT.train}, seed=0)
    steps = [training.Objective(of_d, ("D",)), training.Objective(of_g, ("G",)), training.Objective(of_e, ("G", "E"))]
    training.fit([one], IMAGES, steps, epochs=60, batch=32, device="cpu", precision="fp32", draws=codes)

    def parts(index: Tensor) -> tuple[np.ndarray, np.ndarray]:
        e, logits = training.apply(one.model, IMAGES, index).double().split([1, 4], 1)
        return e[:, 0].numpy(), logits.softmax(1).amax(1).numpy()

    held_out = parts(SPLIT.held_out)[0]

    def score(index: Tensor) -> np.ndarray:
        e, m = parts(index)
        return -norm.logsf(scoring.standardise(e, held_out)) - np.log(m - 0.25 + 1e-9)

    return score


DETECTORS = {
    "PCA and one-class SVM": shallow,
    "PCA": reconstruction_error,
    "isolation forest": forest,
    "local outlier factor": local_outlier_factor,
    "fifth nearest neighbour": fifth_neighbour,
    "autoencoder": autoencoder,
    "nearest latent neighbours": nearest_latent_neighbours,
    "connective reconstruction": connective_reconstruction,
    "patterns and reconstruction": patterns_and_reconstruction,
}


# --- the contract --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=DETECTORS)
def score(request) -> Score:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on networks this small, threads only wait for each other
    yield DETECTORS[request.param]()
    torch.set_num_threads(threads)


def test_one_finite_score_per_image(score):
    scores = score(SPLIT.test)
    assert scores.shape == (len(SPLIT.test),)
    assert np.isfinite(scores).all()


def test_the_scores_are_almost_all_distinct(score):
    scores = score(SPLIT.test)
    distinct = len(np.unique(DIGITS.images[SPLIT.test].flatten(1).numpy(), axis=0))
    assert len(np.unique(scores)) >= 0.95 * distinct


@pytest.mark.parametrize("case", EASY)
def test_an_easy_case_is_separated_and_anomalies_score_higher(score, case):
    index = torch.cat([NORMAL, EASY[case]])
    y = np.repeat([0, 1], [len(NORMAL), len(EASY[case])])
    assert metrics.auroc(y, score(index))[0] > 0.9


def test_other_digits_score_higher_than_the_normal_one(score):
    assert metrics.auroc(SPLIT.reveal(), score(SPLIT.test))[0] > 0.9


def test_a_score_does_not_depend_on_the_images_beside_it(score):
    whole = score(SPLIT.test)
    order = np.random.default_rng(0).permutation(len(whole))[:37]
    near = {"rtol": 1e-4, "atol": 1e-5 * whole.std()}
    np.testing.assert_allclose(score(SPLIT.test[order]), whole[order], **near)
    np.testing.assert_allclose(score(SPLIT.test[:1]), whole[:1], **near)
    mixed = torch.cat([EASY["noise"], SPLIT.test])
    np.testing.assert_allclose(score(mixed)[len(EASY["noise"]) :], whole, **near)


def test_the_same_image_has_the_same_score_every_time(score):
    assert np.array_equal(score(SPLIT.test), score(SPLIT.test))


def test_shuffled_labels_are_worth_nothing(score):
    y, scores = SPLIT.reveal(), score(SPLIT.test)
    novel, normal = y.sum(), (1 - y).sum()
    deviation = np.sqrt((novel + normal + 1) / (12 * novel * normal))  # of the Mann-Whitney statistic by chance
    generator = np.random.default_rng(0)
    values = [metrics.auroc(generator.permutation(y), scores)[0] for _ in range(20)]
    assert np.abs(np.array(values) - 0.5).max() < 4 * deviation
    assert abs(np.mean(values) - 0.5) < 4 * deviation / np.sqrt(20)


def test_scoring_refuses_a_network_in_training_mode():
    with pytest.raises(RuntimeError, match="training mode"):
        training.apply(SquaredError(Autoencoder()).train(), IMAGES, SPLIT.test)
