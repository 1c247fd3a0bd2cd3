# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ICS: one-class features by intra-class splitting

# %% tags=["colab", "hide-input"]
# On Colab this cell installs the package; elsewhere it only checks that it is there.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("novelty_utils") is None:
    if not {"COLAB_RELEASE_TAG", "NOVELTY_UTILS_SOURCE"} & set(os.environ):
        raise ModuleNotFoundError("novelty_utils is missing: run `make setup`, or `pip install .` in the clone")
    source = "novelty-utils @ git+https://github.com/novelty-book/novelty-book@main"
    source = os.environ.get("NOVELTY_UTILS_SOURCE", source)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters"]
dataset = "digits"  # digits, mnist, fashion_mnist, cifar10, cifar10_jpeg or folder:PATH
normal_class = "3"  # the normal class: its name, its number, or all
tier = "smoke"  # smoke (a minute), demo (minutes per class on a CPU), paper (as printed: a GPU)
seed = 0  # seed of the training subset, the weights and the batches
device = "auto"  # auto, cpu or cuda
results = "results"  # folder that the record of this run is written to
methods = "Original,PCA,HOG,CAE,CLS,ICS,Control"  # rows of the tables to compute; ImageNet can be added
rho = 10.0  # share of the class called atypical, in percent
alpha = 1.0  # weight of the closeness loss
beta = 1e-5  # weight of both dispersion losses
rec = "mean"  # reconstruction error: mean over pixels, or the sum that eq. 2 prints
start = "continue"  # third stage: continue from the first stage's weights, or start fresh

# %% tags=["schema", "hide-input"]
from typing import Literal

from pydantic import Field, field_validator

from novelty_utils.params import InputError, RunParameters

METHODS = ("Original", "PCA", "HOG", "ImageNet", "CAE", "CLS", "ICS", "Control")


class Parameters(RunParameters):
    """The parameters of an ICS run."""

    methods: str = Field(description=f"comma-separated choice of {', '.join(METHODS)}")
    rho: float = Field(gt=0, lt=100, description="share of the class called atypical, in percent")
    alpha: float = Field(ge=0, description="weight of the closeness loss, eq. 1")
    beta: float = Field(ge=0, description="weight of both dispersion losses, eq. 1")
    rec: Literal["mean", "sum"] = Field(description="squared error over pixels: mean, or sum as eq. 2 is printed")
    start: Literal["continue", "fresh"] = Field(description="third stage: continue from the first, or start fresh")

    @field_validator("methods")
    @classmethod
    def _known(cls, value: str) -> str:
        for name in value.split(","):
            if name not in METHODS:
                raise InputError(f"methods: {name!r} is not one of {', '.join(METHODS)}; separate names by commas")
        return value


p = Parameters.check(globals())
wanted = p.methods.split(",")

# %% tags=["hide-input"]
import copy
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from skimage.feature import hog
from skimage.metrics import structural_similarity
from sklearn.decomposition import PCA
from sklearn.svm import OneClassSVM
from torch import nn
from tqdm import tqdm

from novelty_utils import data, metrics, plots, protocols, published, records, scoring, training
from novelty_utils.records import Result

plots.set_style()

# %%
N_TRAIN, BATCH, L = 4000, 64, 64
EPOCHS = {"smoke": 60, "demo": 6, "paper": 100}[p.tier]  # of the first stage, and again of the third
SIDE = 32

watch = records.Stopwatch()
dataset_ = data.load(p.dataset, side=SIDE)
images = data.to_side(dataset_.images, SIDE)
C = images.shape[1]
splits = {k: protocols.one_class(dataset_, k, N_TRAIN, p.seed) for k in p.normal_classes()}
shown = next(iter(splits))  # the figures show this class
splits[shown].card()


# %%
def normalised(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), conv, nn.ReLU())


def dilated(inputs: int, outputs: int) -> nn.Sequential:
    return normalised(nn.Conv2d(inputs, outputs, 3, dilation=2), inputs)


class Encoder(nn.Module):
    """f_enc: images float32 (B, C, 32, 32) in [0, 1] -> codes float32 (B, L) in (0, 1). Paper, Table 2."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(C, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.block2 = dilated(32, 64)
        self.block3 = dilated(64, 64)
        self.block4 = dilated(64, 128)
        self.block5 = nn.Sequential(normalised(nn.Conv2d(128, 256, 3), 128), nn.MaxPool2d(2))
        self.conv6 = nn.Conv2d(64 + 64 + 128 + 256, L, 1)

    def forward(self, X):
        r2 = self.block2(self.block1(X))
        r3 = self.block3(r2)
        r4 = self.block4(r3)
        pooled = [r.mean((2, 3), keepdim=True) for r in (r2, r3, r4)]
        h = torch.cat([*pooled, self.block5(r4)], 1)
        with torch.autocast(X.device.type, enabled=False):  # codes lie close together: 8 bits would merge them
            return torch.sigmoid(self.conv6(h.float())).flatten(1)


# %%
def doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


class Decoder(nn.Module):
    """f_dec: codes float32 (B, L) -> images float32 (B, C, 32, 32) in (0, 1). Paper, Table 3."""

    def __init__(self) -> None:
        super().__init__()
        self.block7 = normalised(doubling(L, 256), L)
        self.block8 = normalised(doubling(256, 128), 256)
        self.block9 = normalised(doubling(128, 64), 128)
        self.block10 = normalised(doubling(64, 64), 64)
        self.block11 = nn.Sequential(doubling(256 + 128 + 64 + 64, 32), nn.ReLU())
        self.block12 = nn.Sequential(nn.BatchNorm2d(32), nn.Conv2d(32, C, 3, padding=1))

    def forward(self, z):
        r7 = self.block7(z[:, :, None, None])
        r8 = self.block8(r7)
        r9 = self.block9(r8)
        r10 = self.block10(r9)
        up = [F.interpolate(r, scale_factor=float(16 // r.shape[-1])) for r in (r7, r8, r9)]
        h = torch.cat([*up, r10], 1)
        return torch.sigmoid(self.block12(self.block11(h)).float())


class Autoencoder(nn.Module):
    """f = f_dec ∘ f_enc; `encoder` alone gives the features."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, X):
        return self.decoder(self.encoder(X))


# %%
def reconstruction(X, X_hat):
    """Eq. 2: squared error, per image summed (as printed) or averaged (default) over pixels; a scalar."""
    error = (X - X_hat).square().flatten(1)
    return (error.sum(1) if p.rec == "sum" else error.mean(1)).mean()


def rms(a, b):
    """Root-mean-square distance of rows: (B, L), (B, L) -> scalar mean over B. The 1e-12 keeps its gradient finite."""
    return ((a - b).square().mean(1) + 1e-12).sqrt().mean()


def closeness(z):
    """Eq. 3 on codes (B, L): a batch is a random draw, so its neighbour in the batch is a random partner."""
    return rms(z, z.roll(1, 0))


def dispersion(z_aty, z_typ):
    """Eq. 4: the pair (disp 1, disp 2), both negative distances."""
    n = min(len(z_aty), len(z_typ))
    return -closeness(z_aty), -rms(z_aty[:n], z_typ[:n])


def weight_penalty(model):
    """1e-6 Σ w² over all convolution kernels."""
    return 1e-6 * sum(w.square().sum() for w in model.parameters() if w.ndim == 4)


# %%
def stage1_loss(model, batch):
    l_rec = reconstruction(batch["all"], model(batch["all"]))
    return {"loss": l_rec + weight_penalty(model), "rec": l_rec}


def closeness_loss(model, batch):
    z = model.encoder(batch["all"])
    l_rec, l_cls = reconstruction(batch["all"], model.decoder(z)), closeness(z)
    return {"loss": l_rec + p.alpha * l_cls + weight_penalty(model), "rec": l_rec, "cls": l_cls}


def ics_loss(beta):
    def loss(model, batch):
        X = torch.cat([batch["typical"], batch["atypical"]])
        z = model.encoder(X)
        z_typ, z_aty = z.split([len(batch["typical"]), len(batch["atypical"])])
        l_rec, l_cls = reconstruction(X, model.decoder(z)), closeness(z_typ)
        disp1, disp2 = dispersion(z_aty, z_typ)
        total = l_rec + p.alpha * l_cls + beta * disp1 + beta * disp2 + weight_penalty(model)
        return {"loss": total, "rec": l_rec, "cls": l_cls, "disp1": disp1, "disp2": disp2}

    return loss


# %%
def fit(label, models, loss, sets):
    detectors = [
        training.Detector(models[k], sets[k], seed=p.seed, name=f"{label} {dataset_.classes[k]}") for k in splits
    ]
    checkpoint = None if p.tier == "smoke" else records.scratch(p) / label
    steps = [training.Step(loss)]
    return training.fit(
        detectors, images, steps, epochs=EPOCHS, batch=BATCH, device=p.device, checkpoint=checkpoint, label=label
    )


models = {"CAE": {k: training.build(Autoencoder, p.seed) for k in splits}}
histories = {"CAE": fit("CAE", models["CAE"], stage1_loss, {k: {"all": s.train} for k, s in splits.items()})}


# %%
def reconstruct(model, index):
    return scoring.apply(model, images, index)


def similarity(model, index):
    """SSIM of each image with its reconstruction: float64 (len(index),), in [-1, 1]; padding is cut off first."""
    pad = max(0, (SIDE - dataset_.images.shape[-1]) // 2) if dataset_.images.shape[-1] >= 28 else 0
    cut = slice(pad, SIDE - pad)
    originals = (images[index].float() / 255)[..., cut, cut].numpy()
    copies = reconstruct(model, index)[..., cut, cut].numpy()
    how = {"data_range": 1.0, "channel_axis": 0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = zip(originals, copies, strict=True)
    return np.array([structural_similarity(a, b, **how) for a, b in tqdm(pairs, "SSIM", len(index), leave=False)])


def intra_class_split(model, train):
    """Stage 2: the rho % of the class with the lowest similarity are atypical, the rest typical."""
    s = similarity(model, train)
    order = np.argsort(s, kind="stable")
    n_aty = min(max(1, round(len(train) * p.rho / 100)), len(train) - 1)
    return {"typical": train[order[n_aty:]], "atypical": train[order[:n_aty]]}, np.sort(s)


parts, ssim = {}, {}
for k, split in splits.items():
    parts[k], ssim[k] = intra_class_split(models["CAE"][k], split.train)


# %%
def third_stage(method, loss, sets):
    fresh = p.start == "fresh"
    models[method] = {
        k: training.build(Autoencoder, p.seed) if fresh else copy.deepcopy(models["CAE"][k]) for k in splits
    }
    histories[method] = fit(method, models[method], loss, sets)


if "CLS" in wanted:
    third_stage("CLS", closeness_loss, {k: {"all": s.train} for k, s in splits.items()})
if "ICS" in wanted:
    third_stage("ICS", ics_loss(p.beta), parts)
if "Control" in wanted:
    third_stage("Control", ics_loss(0.0), parts)


# %%
def ocsvm_scores(train, *others):
    """Fit the one-class SVM on features (n, d) and score others: higher = more anomalous, 0 = its own boundary."""
    svm = OneClassSVM(kernel="rbf", nu=0.1, gamma="auto", tol=1e-6).fit(train)
    return [-svm.decision_function(features) for features in others]


# %%
def pixels(index):
    return (images[index].float() / 255).flatten(1).numpy()


def hog_features(index):
    picture = images[index].permute(0, 2, 3, 1).numpy() / 255
    how = {"orientations": 9, "pixels_per_cell": (8, 8), "cells_per_block": (2, 2), "channel_axis": -1}
    return np.stack([hog(x, **how) for x in tqdm(picture, "HOG", leave=False)])


def features(method, k):
    """Features of the training, held-out and test images of class k: a tuple of float arrays (n, d)."""
    index = (splits[k].train, splits[k].held_out, splits[k].test)
    if method in models:
        return tuple(scoring.apply(models[method][k].encoder, images, i).double().numpy() for i in index)
    if method == "HOG":
        return tuple(hog_features(i) for i in index)
    raw = tuple(pixels(i) for i in index)
    if method == "PCA":
        pca = PCA(min(64, len(raw[0])), random_state=p.seed).fit(raw[0])
        return tuple(pca.transform(x) for x in raw)
    return raw


# %%
def distance_scores(train, *others):
    """Distance to the mean training feature: what a one-class SVM amounts to when all codes nearly coincide."""
    return [np.linalg.norm(features - train.mean(0), axis=1) for features in others]


def standardised(train, *others):
    """Each feature divided by its deviation on the training images, a fixed feature left as it is."""
    scale = np.where(train.std(0) > 0, train.std(0), 1.0)
    return [(features - train.mean(0)) / scale for features in (train, *others)]


def evaluate(method, k):
    """Score the held-out and test images of class k; returns (scores of the test images, results)."""
    train, held_out, test = features(method, k)
    s_held_out, s_test = ocsvm_scores(train, held_out, test)
    y = splits[k].reveal()
    value, low, high = metrics.auroc(y, s_test)
    found = [Result(method=method, metric="auroc", value=value, low=low, high=high)]
    others = {
        "bacc_tuned_on_test": metrics.tuned_on_test(y, s_test, p.seed),
        "bacc_zero": metrics.balanced_accuracy(y, s_test, 0.0),
        "bacc_held_out": metrics.balanced_accuracy(y, s_test, np.quantile(s_held_out, 0.9)),
        "held_out_rejected": float((s_held_out > 0).mean()),
    }
    if method in models:
        scaled = standardised(train, test)
        others |= {
            "auroc_standardised": metrics.auroc(y, ocsvm_scores(*scaled)[0])[0],
            "auroc_distance": metrics.auroc(y, distance_scores(train, test)[0])[0],
            "code_spread": float(train.std(0).mean()),
        }
    return s_test, found + [Result(method=method, metric=name, value=v) for name, v in others.items()]


scores, found = {}, {k: [] for k in splits}
for k, method in tqdm([(k, m) for k in splits for m in wanted], "score", leave=False):
    scores[method, k], results_ = evaluate(method, k)
    found[k] += results_

# %%
for number, k in enumerate(splits):
    training_ = {
        name: vars(h[number]) | {"terms": {t: v[-1] for t, v in h[number].terms.items()}}
        for name, h in histories.items()
    }
    record = records.make(
        "ics",
        p,
        dataset_,
        dataset_.classes[k],
        found[k],
        training_,
        watch.seconds() / len(splits),
        watch.peak_memory_mb(),
    )
    print("recorded in", records.write(record, p.results))
shutil.rmtree(records.scratch(p), ignore_errors=True)
pd.DataFrame([r.model_dump() for r in found[shown]]).pivot(index="method", columns="metric", values="value").loc[
    wanted
].round(3)
