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
#
# You have four thousand pictures of the digit 3, nothing else, and must decide whether a new picture is a 3.
# A one-class support vector machine {cite:p}`scholkopf2001` can draw a boundary around the threes, but in raw
# pixels the boundary is poor: two threes drawn by different hands differ in more pixels than a 3 and an 8 by the same
# hand. The boundary would be easier to draw after a change of coordinates, from pixels to *features*. Features are
# usually learned by telling classes apart, and here there is one class.
#
# {cite:t}`schlachter2018` propose a way out: **split the one class in two.** An autoencoder learns the class; the images
# it reconstructs worst are called *atypical*, the rest *typical*. The atypical ones then play the part of the novelties
# that nobody has: the features are trained further so that typical images move together (*closeness*), while atypical
# images move apart from them and from each other (*dispersion*). The paper claims that an SVM on these features beats
# every baseline on 25 of 30 classes of MNIST, Fashion-MNIST and CIFAR-10.
#
# This page derives the two losses, builds the network block by block, trains it in its three stages, and puts our
# measured tables beside the printed ones. The rendered page runs on scikit-learn's 8×8 digits, so that it builds
# quickly anywhere; the tables near the end come from recorded runs on MNIST and Fashion-MNIST.
#
# **In short.** Most of our runs are short, 6 + 6 epochs. They can confirm a number of the paper, not refute it.
#
# * **MNIST.** ICS is ahead of its strongest baseline, CLS, on nine of ten digits.
# * **Why.** Give CLS as many images per step, and three quarters of that lead are gone. The dispersion loss, which the
#   reasoning is about, adds nothing in these short runs.
# * **Fashion-MNIST.** A short run may end before the codes have drawn together. In one such run the SVM ranked pullovers worse
#   than chance. At full length the pullover reaches 89.4; the paper prints 89.9.
# * **The SVM.** Closeness makes the codes so alike that the SVM runs out of digits. Its ranking survives that, its own
#   boundary does not: take the threshold from held-out normals.
#
# **Before you start** you should know what an autoencoder is, how stochastic gradient descent trains one, and what an
# ROC curve shows. {doc}`Notation <../book/notation>` and {doc}`protocols and metrics <../book/protocols>` are a page each.

# %% tags=["colab", "hide-input"]
# On Colab this cell installs the package; elsewhere it only checks that it is there.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("novelty_utils") is None:
    if not {"COLAB_RELEASE_TAG", "NOVELTY_UTILS_SOURCE"} & set(os.environ):
        raise ModuleNotFoundError(
            "novelty_utils is missing: run `make setup`, or `pip install .` in the clone"
        )
    source = "novelty-utils @ git+https://github.com/novelty-book/novelty-book@main"
    source = os.environ.get("NOVELTY_UTILS_SOURCE", source)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
    importlib.invalidate_caches()

# %% [markdown]
# ## Parameters
#
# These are the knobs of a run; `papermill` or `novelty run ics -p KEY=VALUE` replaces them from outside. The defaults
# of `rho`, `alpha` and `beta` are the paper's.

# %% tags=["parameters"]
dataset = "digits"  # mnist, fashion_mnist, cifar10, cifar10_jpeg, folder:PATH
class_name = "3"  # the normal class: its name, its number, or all
tier = "smoke"  # smoke (a minute), demo (minutes), paper (a GPU)
seed = 0  # of the training subset, the weights and the batches
device = "auto"  # auto, cpu or cuda
results = "results"  # folder that the record of this run is written to
protocol = "one_class"  # as in the paper; or simo, miso, outlier_share
methods = "Original,PCA,HOG,CAE,CLS,ICS,Control"  # also ImageNet, Random, Double
rho = 10.0  # share of the class called atypical, in percent
alpha = 1.0  # weight of the closeness loss
beta = 1e-5  # weight of both dispersion losses
rec = "mean"  # squared error over pixels: mean, or sum as eq. 2 prints it
start = "continue"  # third stage: continue from the first, or start fresh
bn = "torch"  # constants of batch normalisation: PyTorch's or Keras's defaults
ssim = "gaussian"  # window of the similarity: gaussian of 11 pixels, or uniform of 7

# %% tags=["schema", "hide-input"]
from typing import Literal

from pydantic import Field, field_validator

from novelty_utils.errors import InputError
from novelty_utils.params import Protocol, RunParameters

METHODS = ("Original", "PCA", "HOG", "ImageNet", "CAE", "CLS", "ICS")
METHODS += ("Control", "Random", "Double")


class Parameters(RunParameters):
    """The parameters of an ICS run."""

    protocol: Protocol = Field(
        description="one_class: the paper's; simo, miso, outlier_share: other papers'"
    )
    methods: str = Field(description=f"comma-separated choice of {', '.join(METHODS)}")
    rho: float = Field(
        gt=0, lt=100, description="share of the class called atypical, in percent"
    )
    alpha: float = Field(ge=0, description="weight of the closeness loss, eq. 1")
    beta: float = Field(ge=0, description="weight of both dispersion losses, eq. 1")
    rec: Literal["mean", "sum"] = Field(
        description="squared error over pixels: mean, or sum as eq. 2 is printed"
    )
    start: Literal["continue", "fresh"] = Field(
        description="third stage: continue from the first, or start fresh"
    )
    bn: Literal["torch", "keras"] = Field(
        description="constants of batch normalisation: PyTorch's or Keras's defaults"
    )
    ssim: Literal["gaussian", "uniform"] = Field(
        description="window of the similarity: gaussian (11 pixels) or uniform (7)"
    )

    @field_validator("methods")
    @classmethod
    def _known(cls, value: str) -> str:
        for name in value.split(","):
            if name not in METHODS:
                raise InputError(
                    f"methods: {name!r} is not one of {', '.join(METHODS)}; separate names by commas"
                )
        if len(set(value.split(","))) < len(value.split(",")):
            raise InputError(f"methods={value!r} names a method twice; name each once")
        return value


p = Parameters.check(globals())
wanted = p.methods.split(",")

# %% tags=["hide-input"]
import copy
import time
from urllib.error import URLError

import matplotlib.pyplot as plt
import pandas as pd
import torchvision
from scipy.spatial.distance import pdist
from skimage.feature import hog
from sklearn.decomposition import PCA

from novelty_utils import data, records
from novelty_utils.data import protocols
from novelty_utils.evaluation import metrics, mixtures, plots
from novelty_utils.ledger import published, readings
from novelty_utils.records import Result, replications
from novelty_utils.training import collapse

plots.set_style()
pd.set_option(
    "display.max_columns", 40, "display.width", 160, "display.max_colwidth", 80
)

# %% tags=["define", "hide-input"]
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity
from sklearn.svm import OneClassSVM
from torch import nn

from novelty_utils import training
from novelty_utils.detectors import Detector
from novelty_utils.progress import tqdm

# %% [markdown]
# ## The idea in one picture

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-idea", "caption": "A drawing, not data. Left: the codes of an autoencoder; novel images (red) land among the normal ones. Middle: closeness pulls everything together, novel images included. Right: what intra-class splitting hopes for; atypical normal images (yellow) are pushed outwards and take the novel ones with them, so that a tight boundary (dotted) fits around the typical ones (green)."}, "image": {"alt": "Three sketches of code space: a loose cloud of normal points with novel points among them, a single small cloud of both, and a tight green cluster ringed by yellow atypical points with red novel points outside a dotted circle"}}
draw = np.random.default_rng(1)
typical, atypical, novel = (draw.normal(size=(n, 2)) for n in (60, 12, 25))
far = 2.2 * atypical / np.linalg.norm(atypical, axis=1, keepdims=True)
out = 3.4 * novel / np.linalg.norm(novel, axis=1, keepdims=True)
panels = {
    "autoencoder": (1.2 * typical, 1.4 * atypical, 1.6 * novel),
    "closeness alone": (0.25 * typical, 0.25 * atypical, 0.25 * novel),
    "closeness + dispersion": (0.4 * typical, far + 0.2 * atypical, out + 0.4 * novel),
}
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3))
for axis, (title, clouds) in zip(axes, panels.items(), strict=True):
    colours = (plots.TYPICAL, plots.ATYPICAL, plots.NOVEL)
    for cloud, colour, name in zip(
        clouds, colours, ("typical", "atypical", "novel"), strict=True
    ):
        axis.scatter(*cloud.T, s=14, color=colour, label=name)
    axis.set(
        title=title, xlim=(-5, 5), ylim=(-5, 5), xticks=[], yticks=[], aspect="equal"
    )
axes[2].add_patch(plt.Circle((0, 0), 1.4, fill=False, linestyle=":", color="black"))
axes[0].legend(fontsize=7, loc="upper left")
plt.show()

# %% [markdown]
# ## Data and protocol
#
# One class is normal. The network sees 4000 of its training images and nothing else; the test set is the whole official
# test part, about 1000 normal and 9000 novel images. (The paper's worked example swaps these two counts: it speaks of
# 9000 test twos and 1000 others, but MNIST holds about 7000 twos in all.) Whatever the class has beyond 4000 training
# images is held out: it may set thresholds, because it costs no label. Images are padded from 28×28 to 32×32 and
# scaled to $[0, 1]$. Under another paper's `protocol` each stage makes as many steps as it would here, to the nearest whole
# epoch and at least one; its results stand on {doc}`the leaderboard <leaderboard>` and not in the tables below.

# %% tags=["define"]
BATCH, L, SIDE = 64, 64, 32  # images per set and step, length of a code, side

# %%
watch = records.RunMeter()
ds = data.load(p.dataset, side=SIDE)
images = data.to_side(ds.images, SIDE)
C = images.shape[1]
shape = ds.images.shape[1:]
splits = {k: protocols.split(p.protocol, ds, k, p.seed) for k in p.labels()}
shown = next(iter(splits))  # the figures below show this class
single = "novel" if p.protocol == "miso" else "normal"  # what class_name is
of_paper = protocols.split("one_class", ds, shown, p.seed)
STEPS = {"smoke": 40, "demo": 6, "paper": 100}[p.tier]  # epochs of the paper's protocol
STEPS *= training.steps_per_epoch(len(of_paper.train), BATCH)
EPOCHS = training.epochs_for(STEPS, len(splits[shown].train), BATCH)  # per stage
print(f"{ds.name}, checksum {ds.checksum}, {EPOCHS} + {EPOCHS} epochs")
print(f"{p.protocol}, {single} class {ds.classes[shown]!r}")
splits[shown].card()

# %% [markdown]
# ## From two requirements to two losses
#
# What should features look like so that a tight boundary around the normal ones shuts the novel ones out? Two
# requirements, the same two that linear discriminant analysis has for labelled classes:
#
# * **Closeness**: the codes of normal images lie close together.
# * **Dispersion**: the codes of novel images lie far from them.
#
# Write $z = f_{enc}(x) \in (0,1)^L$ for the code of an image and $\hat x = f_{dec}(z)$ for its reconstruction. The paper
# arrives at one weighted sum, which we state first so that you see where we are going:
#
# ```{math}
# :label: eq-ics-total
# \mathcal L = \mathcal L_{rec} + \alpha\,\mathcal L_{cls} + \beta_1\,\mathcal L_{disp,1} + \beta_2\,\mathcal L_{disp,2}
# ```
#
# Each term answers a failure of the ones before it. Start with nothing but an autoencoder. It minimises the squared
# reconstruction error over a batch of $B$ images,
#
# ```{math}
# :label: eq-ics-rec
# \mathcal L_{rec} = \frac1B \sum_{j=1}^{B} \lVert x_j - \hat x_j \rVert^2 ,
# ```
#
# and so keeps in $z$ what is needed to redraw the image. Nothing in {eq}`eq-ics-rec` asks that two threes get similar
# codes. A slanted and an upright 3 may sit at opposite ends of the code space; a boundary around both encloses much that
# is no 3.
#
# **Closeness.** The most direct remedy is to charge for distance. For two independent normal images the expected
# root-mean-square distance of their codes is $\mathbb E \sqrt{\tfrac1L\lVert z - z' \rVert^2}$. A batch is a random draw, so
# pairing each image with a random other one of its batch estimates this expectation without bias, at a cost of $B$
# distances instead of $B^2$:
#
# ```{math}
# :label: eq-ics-cls
# \mathcal L_{cls} = \frac1B \sum_{j=1}^{B} \sqrt{\frac1L \lVert z_j - z_{i \neq j} \rVert^2} .
# ```
#
# **Why closeness alone collapses.** The minimum of {eq}`eq-ics-cls` is zero, and every constant encoder reaches it. Novel
# images are mapped to the same point as normal ones, and the score is worthless. Adding {eq}`eq-ics-rec` back forbids the constant
# encoder, since nothing can be redrawn from a constant, but less firmly than it seems. The decoder's first layer is a
# batch normalisation: it subtracts the mean of each code coordinate and divides by its deviation. Take any encoder and
# shrink its codes towards a point $c$,
#
# $$ z \;\longmapsto\; c + \varepsilon\,(z - c), \qquad 0 < \varepsilon < 1 . $$
#
# The normalisation undoes the shrinking, as long as the variance of the codes is large beside the small constant in its denominator ($10^{-5}$ here). So $\mathcal L_{rec}$ stays where
# it was, while $\mathcal L_{cls}$ falls by the factor $\varepsilon$, down to codes with a deviation of some $\sqrt{10^{-5}}$, three thousandths; only below that does the decoder see them shrink. (Without the constant, the sum $\mathcal L_{rec} + \alpha \mathcal L_{cls}$
# could approach the bare $\mathcal L_{rec}$ with codes as small as you like.) Closeness falls for nothing down to there, so a training
# that ends with codes still spread more widely, over $\sqrt\varepsilon$ a coordinate, has not even finished the part that is free. We call such codes *not contracted*. No label is
# needed to see it. Shrinking moves normal and novel codes
# alike: *the absolute size of the codes says nothing; only the ratio of distances does.* We shall measure
# this below, where codes end up far smaller still, and it will matter for the SVM, which does have an absolute scale.
#
# **Dispersion.** So something must push outwards. Distances to novel images cannot be used, there are none. The
# paper's idea is to let the worst-reconstructed normal images stand in for them, on the assumption that novel images
# resemble atypical normals more than typical ones. With $z^{aty}$ and $z^{typ}$ drawn from the two parts,
#
# ```{math}
# :label: eq-ics-disp
# \mathcal L_{disp} =
# \beta_1 \underbrace{\Bigl(-\frac1B \sum_{j=1}^{B} \sqrt{\tfrac1L \lVert z_j^{aty} - z_{i\neq j}^{aty} \rVert^2}\Bigr)}_{\mathcal L_{disp,1}}
# + \beta_2 \underbrace{\Bigl(-\frac1B \sum_{j=1}^{B} \sqrt{\tfrac1L \lVert z_j^{aty} - z_j^{typ} \rVert^2}\Bigr)}_{\mathcal L_{disp,2}} .
# ```
#
# The first term spreads the atypical codes, the second drives them away from the typical ones. Closeness
# {eq}`eq-ics-cls` is now asked of typical images only: one part contracts, the other is pushed out, and a uniform
# shrinking no longer wins on every term. (It still wins on the sum, if closeness weighs enough: both losses shrink with the first power of $\varepsilon$, so their weighted sum falls whenever closeness is the larger part.) The weights appear in {eq}`eq-ics-disp` and again in {eq}`eq-ics-total`; the
# braces leave them out of $\mathcal L_{disp,1}$ and $\mathcal L_{disp,2}$, so they are applied once. Keep an eye on
# their size: $\alpha = 1$ against $\beta_1 = \beta_2 = 10^{-5}$.

# %% [markdown]
# ## The network, block by block
#
# The encoder descends from AlexNet. Batch normalisation follows each activation in the paper's Table 2; we write it as the
# first layer of the *next* block, which is the same network and leaves the activations (the "taps") in reach. Dilated
# 3×3 kernels look at a 5×5 neighbourhood with nine weights, and without padding each takes four pixels off the side.
#
# Batch normalisation has two constants that the paper does not give: $\varepsilon$ in its denominator, and how fast its running
# mean follows the batches. The paper used Keras, whose defaults are $10^{-3}$ and 0.01 (a "momentum" of 0.99). PyTorch's are
# $10^{-5}$ and 0.1. `bn` chooses; the default is PyTorch's.


# %% tags=["define"]
BN = {"torch": {"eps": 1e-5, "momentum": 0.1}, "keras": {"eps": 1e-3, "momentum": 0.01}}


def normalised(conv, channels, bn):
    return nn.Sequential(nn.BatchNorm2d(channels, **bn), conv, nn.ReLU())


def dilated(inputs, outputs, bn):
    return normalised(nn.Conv2d(inputs, outputs, 3, dilation=2), inputs, bn)


# %% [markdown]
# The code sees every scale at once: the averages of blocks 2, 3 and 4 and the maximum of block 5 are concatenated to
# $64 + 64 + 128 + 256 = 512$ numbers, and a 1×1 convolution with a sigmoid maps them to the $L = 64$ coordinates of $z$.


# %% tags=["define"]
class Encoder(nn.Module):
    """f_enc: images float32 (B, channels, 32, 32) in [0, 1] -> codes float32 (B, L) in
    (0, 1). Paper, Table 2. bn: constants of batch normalisation."""

    def __init__(self, channels, L=L, bn=BN["torch"]):
        super().__init__()
        self.block1 = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.block2 = dilated(32, 64, bn)
        self.block3 = dilated(64, 64, bn)
        self.block4 = dilated(64, 128, bn)
        self.block5 = nn.Sequential(
            normalised(nn.Conv2d(128, 256, 3), 128, bn), nn.MaxPool2d(2)
        )
        self.conv6 = nn.Conv2d(64 + 64 + 128 + 256, L, 1)

    def forward(self, X):
        r2 = self.block2(self.block1(X))
        r3 = self.block3(r2)
        r4 = self.block4(r3)
        pooled = [r.mean((2, 3), keepdim=True) for r in (r2, r3, r4)]
        h = torch.cat([*pooled, self.block5(r4)], 1)
        with torch.autocast(
            X.device.type, enabled=False
        ):  # codes lie close together: 8 bits would merge them
            return torch.sigmoid(self.conv6(h.float())).flatten(1)


# %%
def shape_of(block, *inputs):
    return tuple(block(torch.zeros(2, *inputs)).shape[1:])


encoder = Encoder(C, L, BN[p.bn])
assert shape_of(encoder.block1, C, 32, 32) == (32, 16, 16)
assert shape_of(encoder.block2, 32, 16, 16) == (64, 12, 12)
assert shape_of(encoder.block3, 64, 12, 12) == (64, 8, 8)
assert shape_of(encoder.block4, 64, 8, 8) == (128, 4, 4)
assert shape_of(encoder.block5, 128, 4, 4) == (256, 1, 1)
assert shape_of(encoder, C, 32, 32) == (L,)


# %% [markdown]
# The decoder mirrors it: four transposed convolutions double the side from 1 to 16, all four intermediate maps are
# brought to 16×16 and concatenated, and a last doubling and a plain convolution give the image. Its first layer is the
# batch normalisation on the code that the argument above turned on.


# %% tags=["define"]
def doubling(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


class Decoder(nn.Module):
    """f_dec: codes float32 (B, L) -> images float32 (B, channels, 32, 32) in (0, 1).
    Paper, Table 3. bn: constants of batch normalisation."""

    def __init__(self, channels, L=L, bn=BN["torch"]):
        super().__init__()
        self.block7 = normalised(doubling(L, 256), L, bn)
        self.block8 = normalised(doubling(256, 128), 256, bn)
        self.block9 = normalised(doubling(128, 64), 128, bn)
        self.block10 = normalised(doubling(64, 64), 64, bn)
        self.block11 = nn.Sequential(doubling(256 + 128 + 64 + 64, 32), nn.ReLU())
        self.block12 = nn.Sequential(
            nn.BatchNorm2d(32, **bn), nn.Conv2d(32, channels, 3, padding=1)
        )

    def forward(self, z):
        r7 = self.block7(z[:, :, None, None])
        r8 = self.block8(r7)
        r9 = self.block9(r8)
        r10 = self.block10(r9)
        up = [
            F.interpolate(r, scale_factor=float(16 // r.shape[-1]))
            for r in (r7, r8, r9)
        ]
        h = torch.cat([*up, r10], 1)
        return torch.sigmoid(self.block12(self.block11(h)).float())


class Autoencoder(nn.Module):
    """f_dec ∘ f_enc; `encoder` alone gives the features."""

    def __init__(self, channels, L=L, bn=BN["torch"]):
        super().__init__()
        self.encoder, self.decoder = Encoder(channels, L, bn), Decoder(channels, L, bn)

    def forward(self, X):
        return self.decoder(self.encoder(X))


# %%
decoder = Decoder(C, L, BN[p.bn])
assert shape_of(decoder.block7, L, 1, 1) == (256, 2, 2)
assert shape_of(decoder.block8, 256, 2, 2) == (128, 4, 4)
assert shape_of(decoder.block9, 128, 4, 4) == (64, 8, 8)
assert shape_of(decoder.block10, 64, 8, 8) == (64, 16, 16)
assert shape_of(decoder.block11, 512, 16, 16) == (32, 32, 32)
assert shape_of(decoder, L) == (C, 32, 32)
for part in (encoder, decoder):
    count = sum(w.numel() for w in part.parameters())
    print(f"{type(part).__name__}: {count:,} parameters")


# %% [markdown]
# ## The losses in code
#
# One function per equation. {eq}`eq-ics-rec` is called a mean squared error in the paper but printed as a sum over
# pixels; with $\alpha = 1$ the difference is a factor of 1024 in favour of reconstruction. We take the mean, because the
# paper says that $\beta = 0.1$ lets the dispersion dominate: codes lie in $(0,1)$, so a dispersion term weighted by 0.1
# is at most 0.1, which can rival a mean error but not a sum. `rec="sum"` runs the printed form.


# %% tags=["define"]
def reconstruction(X, X_hat, rec="mean"):
    """Eq. 2: squared error per image, averaged (default) or summed (as printed) over
    pixels; a scalar."""
    error = (X - X_hat).square().flatten(1)
    return (error.sum(1) if rec == "sum" else error.mean(1)).mean()


def rms(a, b):
    """Root-mean-square distance of rows, (B, L) and (B, L), averaged over B. The 1e-12
    keeps its gradient finite."""
    return ((a - b).square().mean(1) + 1e-12).sqrt().mean()


def closeness(z):
    """Eq. 3 on codes (B, L): a batch is a random draw, so the next image in it is a
    random partner."""
    return rms(z, z.roll(1, 0))


def dispersion(z_aty, z_typ):
    """Eq. 4: the pair (disp 1, disp 2), two negative distances."""
    n = min(len(z_aty), len(z_typ))
    return -closeness(z_aty), -rms(z_aty[:n], z_typ[:n])


def weight_penalty(network):
    """The paper's L2 term: 1e-6 Σ w² over all convolution kernels."""
    return 1e-6 * sum(w.square().sum() for w in network.parameters() if w.ndim == 4)


# %%
z_check = torch.tensor(
    [[0.0, 0.0], [0.6, 0.8]]
)  # one pair at distance 1 in L = 2 dimensions
assert abs(closeness(z_check) - 0.5**0.5) < 1e-6
assert torch.allclose(
    torch.stack(dispersion(z_check, z_check.flip(0))), torch.tensor(-(0.5**0.5))
)


# %% [markdown]
# ## Stage 1: an autoencoder of the whole class
#
# The first stage minimises {eq}`eq-ics-rec` over all normal training images. Its encoder is also a baseline of its own:
# the paper's **CAE**. `training.fit` shuffles, batches, runs Adam and keeps the curves; everything that belongs to the
# paper stands here.
#
# Each method of this page is a class, and the class is all of it: its parameters, network, losses, stages and score. The
# next cell has the first; the others inherit from it. `one_class_svm` and `svm_scores` follow below, under "From features to a score".
# Outside this page, `detectors.load("ics").ICS(seed=0).fit(images)` trains the same class on anybody's images.


# %% tags=["define"]
@dataclass(kw_only=True, eq=False)
class CAE(Detector):
    """Stage 1 alone: an autoencoder of the whole class, eq. 2, whose codes a one-class
    SVM encloses."""

    notebook, side, batch = "ics", SIDE, BATCH

    rec: Literal["mean", "sum"] = "mean"  # squared error over pixels, eq. 2
    bn: Literal["torch", "keras"] = "torch"  # constants of batch normalisation

    def build(self, shape):
        return Autoencoder(shape[0], L, BN[self.bn])

    def stage1_loss(self, network, batch):
        l_rec = reconstruction(batch["all"], network(batch["all"]), self.rec)
        return {"loss": l_rec + weight_penalty(network), "rec": l_rec}

    def stage1(self, images, train, **how):
        return self._train(1, self.stage1_loss, images, {"all": train}, **how)

    def _train(
        self, stage, loss, images, sets, *, epochs, device, checkpoint, label=""
    ):
        name = f"{label or type(self).__name__}, stage {stage}"
        (history,) = training.fit(
            [training.Job(self.network, sets, self.seed, name)],
            images,
            [training.Objective(loss)],
            epochs=epochs,
            batch=self.batch,
            device=device,
            checkpoint=checkpoint,
            label=name,
        )
        return history

    def learn(self, images, train, held_out, **how):
        self.stage1(images, train, **how)
        self.enclose(self.codes(images, train))

    def codes(self, images, index):
        """z of the indexed images: float64 (len(index), L), in (0, 1)."""
        return training.apply(self.network.encoder, images, index).double().numpy()

    def enclose(self, codes):
        self.fitted = one_class_svm(codes, seed=self.seed)

    def score(self, images, index):
        return svm_scores(self.fitted, self.codes(images, index))


# %% [markdown]
# The page trains it stage by stage, one per normal class:


# %%
def how(method, k):
    """How this run trains; an interrupted one resumes from its checkpoint."""
    folder = None if p.tier == "smoke" else records.scratch("ics", p) / method
    asked = {"epochs": EPOCHS, "device": p.device, "checkpoint": folder}
    return asked | {"label": f"{method} {ds.classes[k]}"}


models, histories = {"CAE": {}}, {"CAE": {}}
for k, split in splits.items():
    model = CAE.of(p)
    model.begin(shape)
    histories["CAE"][k] = model.stage1(images, split.train, **how("CAE", k))
    models["CAE"][k] = model

# %% [markdown]
# ## Stage 2: splitting the class
#
# Each training image is compared with its reconstruction by the structural similarity SSIM {cite:p}`wang2004ssim`, which
# looks at local means, variances and correlations rather than at pixels one by one. The $\rho$ % least similar images become
# $\chi_{atypical}$, the rest $\chi_{typical}$. Settings are not given in the paper; we use the usual Gaussian window of
# 11 pixels on the unpadded image.


# %% tags=["define"]
def inside(shape):
    """Where the pixels of an image (c, h, w) lie once `to_side` has given it a border,
    in rows and columns: a slice."""
    height, width = shape[-2:]
    padded = height == width and SIDE - 4 <= height < SIDE
    before = (SIDE - height) // 2 if padded else 0
    return slice(before, before + height if padded else SIDE)


def similarity(network, images, index, inner, ssim="gaussian"):
    """SSIM of each indexed image with its reconstruction, both inside the border: float64
    (len(index),), in [-1, 1]. ssim: a Gaussian window of 11 pixels or a uniform one of 7."""
    originals = (images[index].float() / 255)[..., inner, inner].numpy()
    copies = training.apply(network, images, index)[..., inner, inner].numpy()
    how = {"data_range": 1.0, "channel_axis": 0}
    if ssim == "gaussian":
        how |= {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = tqdm(zip(originals, copies, strict=True), "SSIM", len(index), leave=False)
    return np.array([structural_similarity(a, b, **how) for a, b in pairs])


def split_by(order, train, rho):
    """The first rho % of the training images in this order are atypical, the rest
    typical; neither part is empty."""
    n_aty = min(max(1, round(len(train) * rho / 100)), len(train) - 1)
    return {"typical": train[order[n_aty:]], "atypical": train[order[:n_aty]]}


def intra_class_split(network, images, train, shape, rho, ssim="gaussian"):
    """From the lowest similarity to the highest. shape: of the images before `to_side`."""
    similar = similarity(network, images, train, inside(shape), ssim)
    return split_by(np.argsort(similar, kind="stable"), train, rho)


# %%
parts = {
    k: intra_class_split(
        models["CAE"][k].network, images, split.train, shape, p.rho, p.ssim
    )
    for k, split in splits.items()
}

# %% mystnb={"figure": {"name": "fig-ics-gallery", "caption": "Stage 2 at work, as in the paper's Fig. 2: the best reconstructed training images of the class (typical, green) with their reconstructions, and the worst (atypical, yellow) with theirs."}, "image": {"alt": "Four rows of small pictures of one class: typical images, their reconstructions, atypical images, their reconstructions"}}
typical, atypical = parts[shown]["typical"].flip(0)[:10], parts[shown]["atypical"][:10]
network = models["CAE"][shown].network
gallery = {
    "typical": images[typical],
    "typical, reconstructed": training.apply(network, images, typical),
    "atypical": images[atypical],
    "atypical, reconstructed": training.apply(network, images, atypical),
}
plots.gallery(gallery, [plots.TYPICAL, plots.TYPICAL, plots.ATYPICAL, plots.ATYPICAL])
plt.show()

# %% [markdown]
# {numref}`fig-ics-gallery` shows what the split means. Atypical is not the same as ugly: SSIM punishes fine detail and
# low contrast, so busy and thin images fall below. That the novelties to come resemble *these* images is the
# paper's second assumption, and nothing in the training data can test it.

# %% [markdown]
# ## Stage 3: closeness and dispersion together
#
# The third stage trains the same network further. There are five versions, which differ in as little as possible:
#
# | method | images per step | loss |
# |---|---|---|
# | **CLS** | 64 of all | $\mathcal L_{rec} + \alpha\mathcal L_{cls}$, no split: the paper's strongest baseline |
# | **ICS** | 64 typical + 64 atypical | {eq}`eq-ics-total` in full |
# | **Control** | 64 typical + 64 atypical | {eq}`eq-ics-total` with $\beta_1 = \beta_2 = 0$ |
# | **Random** | 64 + 64 of a split by lot | as Control |
# | **Double** | 64 + 64 of all | as CLS |
#
# **The last three are ours.** ICS differs from CLS in several ways at once. It has a dispersion loss. It knows which images
# were reconstructed badly. It has closeness on nine tenths of the images only, and shows the last tenth many times as often. And it sees twice
# the images per step. The paper credits the first. Control drops the dispersion and keeps the rest;
# Random also drops the knowledge, because its "atypical" images are a draw by lot, in the same number; Double is CLS with as
# many images per step as the others. (It takes a tenth more steps: an epoch is one pass over the first set, which is all images for CLS and Double, and the typical ones for the others.) So the difference between ICS and CLS falls into four:
#
# $$
# \begin{aligned}
# \text{ICS} - \text{CLS} \;=\;& \underbrace{\text{ICS} - \text{Control}}_{\text{the loss}} \;+\; \underbrace{\text{Control} - \text{Random}}_{\text{which images}} \\
# &+\; \underbrace{\text{Random} - \text{Double}}_{\text{how they are mixed, fewer steps}} \;+\; \underbrace{\text{Double} - \text{CLS}}_{\text{how many}}
# \end{aligned}
# $$
#
# Random and Double are trained only where `methods` names them. They came last: the others had been recorded on ten digits and three seeds when they
# were added, one after the other, because Control − CLS had turned out to be the larger part and nothing told what it consisted of.


# %% tags=["define"]
@dataclass(kw_only=True, eq=False)
class CLS(CAE):
    """Closeness without a split, eqs. 2 and 3: the paper's strongest baseline."""

    alpha: Annotated[float, Field(ge=0)] = 1.0  # weight of closeness, eq. 1
    start: Literal["continue", "fresh"] = "continue"  # stage 3, from stage 1 or anew

    def sets(self, images, train):
        """What each step of stage 3 draws a batch from: indices, by name."""
        return {"all": train}

    def stage3_loss(self, network, batch):
        z = network.encoder(batch["all"])
        l_rec = reconstruction(batch["all"], network.decoder(z), self.rec)
        l_cls = closeness(z)
        total = l_rec + self.alpha * l_cls + weight_penalty(network)
        return {"loss": total, "rec": l_rec, "cls": l_cls}

    def stage3(self, images, sets, **how):
        if self.start == "fresh":
            self.begin(self.shape)
        return self._train(3, self.stage3_loss, images, sets, **how)

    def learn(self, images, train, held_out, **how):
        self.stage1(images, train, **how)
        self.stage3(images, self.sets(images, train), **how)
        self.enclose(self.codes(images, train))


@dataclass(kw_only=True, eq=False)
class ICS(CLS):
    """Closeness of typical images and dispersion of atypical ones, eq. 1 with
    beta_1 = beta_2 = beta. Schlachter, Liao and Yang, 2018."""

    rho: Annotated[float, Field(gt=0, lt=100)] = 10.0  # share of atypical images, in %
    beta: Annotated[float, Field(ge=0)] = 1e-5  # weight of dispersion, eq. 4
    ssim: Literal["gaussian", "uniform"] = "gaussian"  # window of the similarity

    def sets(self, images, train):
        return intra_class_split(
            self.network, images, train, self.shape, self.rho, self.ssim
        )

    def stage3_loss(self, network, batch):
        X = torch.cat([batch["typical"], batch["atypical"]])
        z = network.encoder(X)
        z_typ, z_aty = z.split([len(batch["typical"]), len(batch["atypical"])])
        l_rec = reconstruction(X, network.decoder(z), self.rec)
        l_cls = closeness(z_typ)
        disp1, disp2 = dispersion(z_aty, z_typ)
        total = l_rec + self.alpha * l_cls + self.beta * disp1 + self.beta * disp2
        total = total + weight_penalty(network)
        terms = {"rec": l_rec, "cls": l_cls, "disp1": disp1, "disp2": disp2}
        return {"loss": total, **terms}


@dataclass(kw_only=True, eq=False)
class Control(ICS):
    """ICS without the dispersion loss."""

    beta: float = field(default=0.0, init=False)


@dataclass(kw_only=True, eq=False)
class Random(Control):
    """Control with a split by lot, of the same sizes."""

    lot: int = 0  # one seed has a draw for every class

    def sets(self, images, train):
        draw = np.random.default_rng([self.seed, self.lot])
        return split_by(draw.permutation(len(train)), train, self.rho)


@dataclass(kw_only=True, eq=False)
class Double(CLS):
    """CLS on two batches at once."""

    def sets(self, images, train):
        return {"all": train, "more": train}

    def stage3_loss(self, network, batch):
        both = torch.cat([batch["all"], batch["more"]])
        return super().stage3_loss(network, {"all": both})


# %%
for method in (CLS, ICS, Control, Random, Double):
    name = method.__name__
    if name not in wanted:
        continue
    models[name], histories[name] = {}, {}
    for k, split in splits.items():
        model = method.of(p, lot=k) if method is Random else method.of(p)
        model.begin(shape)
        model.network = copy.deepcopy(models["CAE"][k].network)  # one stage 1 for all
        split_of = {ICS: parts[k], Control: parts[k]}  # one stage 2 as well
        sets = split_of.get(method) or model.sets(images, split.train)
        histories[name][k] = model.stage3(images, sets, **how(name, k))
        models[name][k] = model

# %% mystnb={"figure": {"name": "fig-ics-curves", "caption": "Size of each loss term over the epochs, on a logarithmic scale; the dispersion terms are negative and shown by their size, that is as mean distances of codes."}, "image": {"alt": "Line plots of the loss terms over epochs, one panel per trained method"}}
plots.curves({method: history[shown].terms for method, history in histories.items()})
plt.show()

# %% [markdown]
# Look at `disp2` in {numref}`fig-ics-curves`, the mean distance between atypical and typical codes, and compare the panels of ICS and
# Control. It takes nearly the same course in both, although only ICS asks for it to be large: at $\beta = 10^{-5}$ the outward push is a hundred
# thousand times weaker than the inward pull on the typical codes. Whether the atypical codes follow the typical ones inwards or stay
# behind is decided by the images and by the reconstruction, not by the dispersion loss.

# %% [markdown]
# ## From features to a score
#
# The features go to a one-class SVM with a Gaussian kernel $k(z, z') = \exp(-\gamma \lVert z - z' \rVert^2)$, with the
# paper's $\nu = 0.1$ and $\gamma = 1/L$. It finds weights $a_i \ge 0$ on the training codes and an offset $b$ such
# that about a share $\nu$ of the training images falls outside $\sum_i a_i k(z_i, z) \ge b$. We turn the sign
# around, so that a higher score means more anomalous:
#
# $$ s(z) = b - \sum_i a_i\, k(z_i, z) . $$
#
# Scikit-learn's default for $\gamma$ is `scale`, not $1/L$, so the paper's choice must be asked for (`auto`).
#
# **What the SVM sees when distances are small.** If $\gamma$ times the squared distances is small, $\gamma \lVert z - z_i \rVert^2 \ll 1$, $k(z_i, z) \approx 1 - \gamma \lVert z - z_i \rVert^2$,
# and with $A = \sum_i a_i$ and the weighted mean $\bar z = \tfrac1A \sum_i a_i z_i$ the score becomes
#
# $$ s(z) \approx \text{const} + \gamma A\, \lVert z - \bar z \rVert^2 . $$
#
# The machine that can draw boundaries of any form has turned into a distance to a mean. To which mean? The weights minimise
# $\tfrac12\sum_{ij} a_i a_j k(z_i, z_j)$ under $0 \le a_i \le 1$ and $A = \nu n$. With the same approximation,
#
# $$ \tfrac12 \sum_{ij} a_i a_j\, k(z_i, z_j) \;\approx\; \tfrac12 A^2 - \gamma A \sum_i a_i \lVert z_i - \bar z \rVert^2 , $$
#
# so the SVM gives its weight to that tenth of the training images whose codes are *spread most widely*, and measures
# distances from their centre. Keep this in mind: ICS makes sure that a tenth of the images lies apart.
#
# To see what happens we compute the plain distance to the mean of *all* training codes as a score of its own, and we score
# standardised features (each coordinate divided by its deviation on the training images), where the kernel has something
# to work with.


# %% tags=["define"]
SVM_MOST = 6000  # its time grows with the square of the images; one_class has fewer


def thinned(train, seed):
    """Features (n, d) for an SVM: a random part where there are too many."""
    if len(train) > SVM_MOST:
        train = np.random.default_rng(seed).choice(train, SVM_MOST, replace=False)
    return train


def one_class_svm(train, tol=1e-6, seed=0):
    """The SVM of features (n, d), as float64 tensors: its support vectors z_i, their
    weights a_i and the offset b. Schölkopf et al., 2001."""
    svm = OneClassSVM(nu=0.1, gamma="auto", tol=tol)
    svm.random_state = 0  # nothing is random; without it a global number is drawn
    svm.fit(thinned(train, seed))
    fitted = {"vectors": svm.support_vectors_, "weights": svm.dual_coef_[0]}
    fitted["offset"] = svm.offset_
    return {name: torch.from_numpy(values) for name, values in fitted.items()}


def svm_scores(fitted, features):
    """s(z) of features (m, d): float64 (m,), higher = more anomalous, 0 = the SVM's own
    boundary."""
    vectors, a, b = (fitted[name].numpy() for name in ("vectors", "weights", "offset"))
    kernel = np.exp(cdist(features, vectors, "sqeuclidean") / -vectors.shape[1])
    return b - (kernel * a).sum(1)  # unlike a product of matrices, row by row


def ocsvm_scores(train, *others, tol=1e-6, seed=0):
    """Fit the SVM on features (n, d) and score others (m, d)."""
    fitted = one_class_svm(train, tol, seed)
    return [svm_scores(fitted, features) for features in others]


def shifted_scores(train, *others, seed=0):
    """The same SVM with the kernel k - 1, stretched to at most 1 in size. The sum of the
    weights is fixed, so nothing changes but the digits that single precision keeps."""
    train = thinned(train, seed)

    def kernel(a, b):
        return np.expm1(cdist(a, b, "sqeuclidean") / -train.shape[1])

    K = kernel(train, train)
    size = -K.min() or 1.0
    svm = OneClassSVM(kernel="precomputed", nu=0.1, tol=1e-6).fit(K / size)
    a, own = svm.dual_coef_[0], train[svm.support_]
    return [-(kernel(x, own) @ a / size + svm.intercept_) for x in others]


def distance_scores(train, *others):
    """Distance to the mean training feature."""
    return [np.linalg.norm(features - train.mean(0), axis=1) for features in others]


def standardised(train, *others):
    """Each feature divided by its deviation on the training images; one that never
    varies is left as it is."""
    scale = np.where(train.std(0) > 0, train.std(0), 1.0)
    return [(features - train.mean(0)) / scale for features in (train, *others)]


# %% [markdown]
# **How many digits are left?** The solver keeps the kernel in single precision, which has seven digits, and closeness spends them all: every
# entry is 1 minus something tiny. The cell below makes up codes of a smaller and smaller spread. It counts how many values the
# kernel takes, how many steps the solver makes, and what share of held-out codes ends up beyond the boundary, where $\nu$
# promises 10 %.

# %%
draw = np.random.default_rng(0)
rows_ = []
for size in (1e-1, 1e-2, 1e-3, 2e-4, 6e-5):
    train, held_out = (0.5 + size * draw.normal(size=(1000, L)) for _ in range(2))
    entries = np.exp(-pdist(train[:300], "sqeuclidean") / L).astype(np.float32)
    row = {"spread": size, "values": len(np.unique(entries))}
    for tol in (1e-3, 1e-6):
        svm = OneClassSVM(nu=0.1, gamma="auto", tol=tol).fit(train)
        row[f"steps, {tol:g}"] = int(svm.n_iter_)
        row[f"rejected, {tol:g}"] = (svm.decision_function(held_out) < 0).mean()
    row["rejected, shifted"] = (shifted_scores(train, held_out)[0] > 0).mean()
    rows_.append(row)
digits = pd.DataFrame(rows_)
assert digits["steps, 0.001"].iloc[-1] == digits["steps, 1e-06"].iloc[-1] == 0
assert digits["rejected, 1e-06"].iloc[-1] == 1
assert digits["rejected, shifted"].between(0.06, 0.15).all()
digits.style.hide(axis="index").format(
    "{:.0%}", subset=digits.filter(like="rej").columns
)

# %% [markdown]
# In the last row all entries are the same number, 1. Every set of weights is as good as any other, so the solver returns the one it
# begins with: all weight on the first tenth of the training images. What is left is the distance to the mean of an
# arbitrary tenth, which still ranks. But the offset is the sum of the weights, $\nu n$, and no image reaches it: the boundary rejects
# everything. At the library's tolerance of $10^{-3}$ the solver stops where it began from a spread of $10^{-3}$ on, and the boundary lands anywhere.
#
# The repair is one subtraction. Since $\sum_i a_i$ is fixed, a constant added to the kernel changes no solution. With
# $k - 1$ in place of $k$ all seven digits belong to the distances (`shifted_scores`), and the boundary rejects what $\nu$ promises. We
# keep the library's SVM as the headline, at a tolerance of $10^{-6}$, because the authors most likely used a library too. Newer records hold all readings: both tolerances, the shifted kernel and the distance to the mean.

# %% [markdown]
# ### Baselines
#
# The same SVM is fed with other features: **Original** pixels, the first 64 **PCA** components, **HOG**
# {cite:p}`dalal2005` with nine orientations in 8×8 cells and 2×2 blocks (144 numbers on MNIST, as the paper says, 324
# on CIFAR-10), and the features of a VGG19 {cite:p}`simonyan2015` trained on **ImageNet**. The paper names neither VGG layer nor image
# size; we take the 4096 numbers before the last layer at 224×224. The weights are a download of half a gigabyte, so
# that row is computed only when `methods` names it, and marked where the weights cannot be had.


# %%
def pixels(index):
    return (ds.images[index].float() / 255).flatten(1).numpy()


def hog_features(index):
    pictures = (
        data.to_side(ds.images[index], max(16, ds.images.shape[-1]))
        .permute(0, 2, 3, 1)
        .numpy()
        / 255
    )
    how = {
        "orientations": 9,
        "pixels_per_cell": (8, 8),
        "cells_per_block": (2, 2),
        "channel_axis": -1,
    }
    return np.stack([hog(x, **how) for x in tqdm(pictures, "HOG", leave=False)])


def vgg19_features(index, weights=torchvision.models.VGG19_Weights.IMAGENET1K_V1):
    """float32 (n, 4096). Raises URLError or OSError where the weights are neither
    cached nor reachable."""
    vgg = torchvision.models.vgg19(weights=weights).eval()
    vgg.classifier = vgg.classifier[:-1]  # drop the layer of class names
    prepare = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.vgg = vgg

        def forward(self, X):
            return self.vgg(prepare(X.expand(-1, 3, -1, -1)))

    return training.apply(
        Wrapped().eval().to(training.pick_device(p.device)), images, index, batch=50
    ).numpy()


def features(method, k):
    """Features of the training, held-out and test images for normal class k: three
    float arrays (n, d)."""
    index = (splits[k].train, splits[k].held_out, splits[k].test)
    if method in models:
        return [models[method][k].codes(images, i) for i in index]
    if method == "HOG":
        return [hog_features(i) for i in index]
    if method == "ImageNet":
        return [vgg19_features(i) for i in index]
    raw = [pixels(i) for i in index]
    if method == "PCA":
        pca = PCA(min(64, *raw[0].shape), random_state=p.seed).fit(raw[0])
        return [pca.transform(x) for x in raw]
    return raw


# %% [markdown]
# ### Metrics
#
# The headline is the **AUROC**: the probability that a novel test image scores higher than a normal one, which needs no
# threshold. The paper's main table shows the **balanced accuracy**, with novel as the positive class,
#
# ```{math}
# :label: eq-ics-bacc
# BACC = \frac12 \left( \frac{TP}{TP + FN} + \frac{TN}{TN + FP} \right) ,
# ```
#
# which does need one. A footnote says where it came from: 20 % of the *test set*, labels included, was used to choose it.
# So the printed values presuppose labelled novelties, which the problem says nobody has. We compute {eq}`eq-ics-bacc` three
# ways: by the paper's rule (an oracle), at the SVM's own boundary $s = 0$, and at the 90 % quantile of the held-out
# normals. Only the last two could be used in earnest. Apart from the counts of the card above, no cell before this one reads test labels; after it only figures and metrics do.


# %%
def at_thresholds(y, s_held_out, s_test, boundary=True):
    """Balanced accuracy by the rules above, and the share of held-out normals beyond the
    boundary where the score has one of its own."""
    found = {
        "bacc_tuned_on_test": metrics.tuned_on_test(y, s_test, p.seed),
        "bacc_held_out": metrics.balanced_accuracy(
            y, s_test, np.quantile(s_held_out, 0.9)
        ),
    }
    if boundary:
        found["bacc_zero"] = metrics.balanced_accuracy(y, s_test, 0.0)
        found["held_out_rejected"] = float((s_held_out > 0).mean())
    return found


def other_readings(y, train, held_out, test):
    """The same codes under the other detectors: their metrics, with the reading behind
    each name."""
    detectors = {
        "default_tol": ocsvm_scores(train, held_out, test, tol=1e-3, seed=p.seed),
        "shifted": shifted_scores(train, held_out, test, seed=p.seed),
        "distance": distance_scores(train, held_out, test),
    }
    scaled_train, scaled_test = standardised(train, test)
    scaled = ocsvm_scores(scaled_train, scaled_test, seed=p.seed)[0]
    found = {"auroc_standardised": metrics.auroc(y, scaled)[0]}
    for reading, (s_held_out, s_test) in detectors.items():
        of_it = {"auroc": metrics.auroc(y, s_test)[0]}
        of_it |= at_thresholds(y, s_held_out, s_test, reading != "distance")
        found |= {f"{name}_{reading}": value for name, value in of_it.items()}
    return found


# %% [markdown]
# Two things can be told without a label: whether closeness has done what is free, and how much farther away than each other normal images see pictures of noise.


# %% tags=["define"]
def contraction(train, held_out, noise):
    """How far closeness got, from codes (n, L): the mean deviation of a coordinate on
    training images and on held-out normals, and the root-mean-square distance of two
    held-out codes, as a share of that to pictures of noise."""
    far = cdist(held_out, noise, "sqeuclidean").mean()
    found = {"code_spread": train.std(0).mean(), "spread": held_out.std(0).mean()}
    found["spread_to_noise"] = (2 * held_out.var(0).sum() / far) ** 0.5
    return {name: float(value) for name, value in found.items()}


# %%
NOISE = torch.randint(
    0,
    256,
    (200, C, SIDE, SIDE),
    dtype=torch.uint8,
    generator=torch.Generator().manual_seed(p.seed),
)
CONTRACTED = BN[p.bn]["eps"] ** 0.5  # where the decoder begins to see the codes shrink


def evaluate(method, k):
    """Scores of the test images of class k, and the results to record."""
    split = splits[k]
    try:
        train, held_out, test = features(method, k)
    except (URLError, OSError):
        return None, [
            Result(method=method, metric="auroc", value=None, note="weights needed")
        ]
    y, more = split.reveal(), {}
    if method in models:
        model = models[method][k]
        model.enclose(train)
        started = time.perf_counter()
        s_test = model.score(images, split.test)
        seconds[k, method] = time.perf_counter() - started
        s_held_out = svm_scores(model.fitted, held_out)
        more |= other_readings(y, train, held_out, test)
        z_noise = model.codes(NOISE, torch.arange(len(NOISE)))
        more |= contraction(train, held_out, z_noise)
    else:
        s_held_out, s_test = ocsvm_scores(train, held_out, test, seed=p.seed)
    value, low, high = metrics.auroc(y, s_test)
    found = [Result(method=method, metric="auroc", value=value, low=low, high=high)]
    more = at_thresholds(y, s_held_out, s_test) | more
    found += [Result(method=method, metric=name, value=v) for name, v in more.items()]
    found += mixtures.of_score(method, split, s_test, s_held_out, p.seed)
    return s_test, found


HEADLINES = ["auroc", "bacc_tuned_on_test", "bacc_held_out", "bacc_zero"]
HEADLINES += ["held_out_rejected", "auroc_default_tol", "auroc_shifted"]
HEADLINES += ["auroc_standardised", "auroc_distance", "code_spread", "spread"]
scores, seconds, found = {}, {}, {k: [] for k in splits}
for k, method in tqdm([(k, m) for k in splits for m in wanted], "score", leave=False):
    scores[k, method], results_ = evaluate(method, k)
    found[k] += results_
    for spread in (
        r.value for r in results_ if r.metric == "spread" and method != "CAE"
    ):
        state = "contracted" if spread < CONTRACTED else "NOT CONTRACTED"
        print(
            f"{method} {ds.classes[k]}: spread {spread:.2g} on held-out normals, {state}"
        )


# %% tags=["hide-input"]
def trained(method, k):
    """What the record says of one training; only what is scored has a time."""
    network = models[method][k].network
    judged = collapse.of_autoencoder(network, images, splits[k].held_out)
    died = collapse.part(f"{method} {ds.classes[k]}", judged)
    timed = {"seconds": seconds.get((k, method)), "images": len(splits[k].test)}
    return records.trained(histories[method][k], died, **timed)


named = {ds.classes[k]: results_ for k, results_ in found.items()}
trainings = {ds.classes[k]: {m: trained(m, k) for m in models} for k in splits}
records.write_run("ics", p, ds, watch, named, trainings)

# %% [markdown]
# The results of this run, for the class shown:

# %%
from novelty_utils.ledger import tables

columns = {metric: metric for metric in HEADLINES}
tables.show(tables.this_run(found[shown], columns).reindex(wanted), precision=4)

# %% [markdown]
# Read no order of methods from a smoke run, and do not mind if it calls a network collapsed or its codes not contracted. It trains for seconds, on a few hundred images of 8 × 8 pixels; another seed or another machine may turn the trained rows round, and CLS may well be ahead of ICS here. What it does show is `code_spread`:
# closeness pulls the codes together by an order of magnitude or more. On the small digits PCA repeats the row of Original: they have 64 pixels, so 64 components only turn the axes.

# %% mystnb={"figure": {"name": "fig-ics-scores", "caption": "Scores of the normal and the novel test images, for the trained networks; the outermost 1 % of the scores stand at the edges."}, "image": {"alt": "Histograms of the scores of normal and novel test images, one panel per method"}}
y = splits[shown].reveal()
drawn = {m: scores[shown, m] for m in wanted if scores[shown, m] is not None}
plots.score_histograms(
    y, {m: s for m, s in drawn.items() if m in models or len(models) == 1}
)
plt.show()

# %% mystnb={"figure": {"name": "fig-ics-roc", "caption": "ROC curves of all methods on the test images of the class shown."}, "image": {"alt": "ROC curves of all methods with the diagonal of chance"}}
plots.roc(y, drawn)
plt.show()

# %% [markdown]
# ## Looking inside
#
# ### The latent space
#
# The paper's Fig. 3 draws two latent features, with closeness only and with the full loss, and reads off that dispersion
# keeps the abnormal images away. It does not say which class or which two features. We take the two coordinates that
# vary most over the training images, for each network its own.

# %% mystnb={"figure": {"name": "fig-ics-latent", "caption": "The two latent coordinates of largest spread, as in the paper's Fig. 3: typical (green) and atypical (yellow) training images, normal (blue) and novel (red) test images. Each panel has its own axes: compare the axis numbers."}, "image": {"alt": "Scatter plots of two latent coordinates for each trained network, coloured by typical, atypical, normal test and novel test images"}}
groups = [
    ("novel test", splits[shown].test[torch.from_numpy(y == 1)][:400], plots.NOVEL),
    ("normal test", splits[shown].test[torch.from_numpy(y == 0)][:400], plots.NORMAL),
    ("typical", parts[shown]["typical"][:400], plots.TYPICAL),
    ("atypical", parts[shown]["atypical"][:400], plots.ATYPICAL),
]
figure, axes = plt.subplots(
    1, len(models), figsize=(3.6 * len(models), 3.4), squeeze=False
)
for axis, (method, model) in zip(axes[0], models.items(), strict=True):
    codes = {
        name: training.apply(model[shown].network.encoder, images, index)
        for name, index, _ in groups
    }
    i, j = codes["typical"].std(0).argsort(descending=True)[:2].tolist()
    for name, _, colour in groups:
        axis.scatter(
            codes[name][:, i],
            codes[name][:, j],
            s=5,
            alpha=0.6,
            color=colour,
            label=name,
        )
    axis.set(title=method, xlabel=f"$z_{{{i}}}$", ylabel=f"$z_{{{j}}}$")
    axis.ticklabel_format(useOffset=False)
axes[0][0].legend(fontsize=7, markerscale=2)
plt.show()

# %% [markdown]
# In the run of this page (small digits, no more than a hint) closeness does what it should: in each panel but that of CAE the typical images make one dense spot, and novel images trail away from it. Dispersion is harder to see. The atypical images lie in or near the spot with it (ICS) and without it (Control), and most novel images of both panels lie on the same side. The paper's figure shows two networks, one of them with the loss; what it cannot show is whether the loss made the difference.

# %% [markdown]
# ### Failures
#
# Which images does a detector get most wrong? On the left the normal test images with the highest scores (false alarms), on
# the right the novel ones with the lowest (misses).

# %% mystnb={"figure": {"name": "fig-ics-failures", "caption": "The five worst false alarms and the five worst misses of the last method trained, with the reconstructions of the network behind it."}, "image": {"alt": "Two rows of pictures: five normal images scored as most anomalous and five novel images scored as most normal, above their reconstructions"}}
method = next(m for m in reversed(list(models)) if m in drawn or m == "CAE")
if method in drawn:

    def look(index):
        """The images, and what the network makes of them."""
        worst = splits[shown].test[index]
        redrawn = training.apply(models[method][shown].network, images, worst)
        return {method: images[worst], "reconstructed": redrawn}

    plots.failures(y, drawn[method], look)
    plt.show()

# %% [markdown]
# ### Watching closeness collapse
#
# The derivation said that closeness alone maps everything to a point. Take the encoder of stage 1, train it further on
# {eq}`eq-ics-cls` and nothing else, and measure the typical distance between codes before and after: for normal images,
# and for pictures of pure noise, which no data set contains.


# %%
def closeness_only(encoder, batch):
    l_cls = closeness(encoder(batch["all"]))
    return {"loss": l_cls, "cls": l_cls}


normal = images[splits[shown].train[:200]]
collapsing = copy.deepcopy(models["CAE"][shown].network.encoder)


def distances(encoder):
    both = {"normal": normal, "noise": NOISE}
    codes = {
        name: training.apply(encoder, pictures, torch.arange(len(pictures)))
        for name, pictures in both.items()
    }
    between = rms(codes["normal"][: len(NOISE)], codes["noise"][: len(normal)])
    return {f"within {name}": float(closeness(z)) for name, z in codes.items()} | {
        "normal to noise": float(between)
    }


before = distances(collapsing)
few = 30 if p.tier == "smoke" else 2  # epochs of the paper's protocol
few *= training.steps_per_epoch(len(of_paper.train), BATCH)
training.fit(
    [training.Job(collapsing, {"all": splits[shown].train}, p.seed, "closeness only")],
    images,
    [training.Objective(closeness_only)],
    epochs=training.epochs_for(few, len(splits[shown].train), BATCH),
    batch=BATCH,
    device=p.device,
    label="collapse",
)
shrunk = pd.DataFrame({"before": before, "after": distances(collapsing)}).T
shrunk["ratio"] = shrunk["normal to noise"] / shrunk["within normal"]
shrunk.rename_axis("mean distance of codes").round(4)

# %% [markdown]
# All distances fall, those to pictures that look like nothing in the class included: the pull is felt by images that nobody
# trained on. But they do not fall alike. What a detector lives on is the *ratio* of "normal to noise" to "within normal",
# and it has *grown*. The derivation spoke of the minimum, where everything is one point; training stops long before, and on
# the way it contracts first what the training images vary in. This is one class of small pictures and pure noise; but it suggests why CLS, closeness without any outward push, does so
# well in the tables below, and why the collapse that the dispersion loss is meant to prevent is hard to find in them.

# %% [markdown]
# ## Beside the paper's tables
#
# This section shows tables; {doc}`the ledger <../book/claims>` has every printed number of the paper by itself, with a verdict by margins fixed beforehand.
#
# What follows is read from the records of finished runs, committed with the book under `results/`, each with its seed,
# data checksum, commit, hardware and seconds. Runs of the smoke tier are left out: they say nothing about a paper. Values are percent.

# %% tags=["hide-input"]
from novelty_utils.evaluation import statistics

printed = published.read("ics")
DEFAULTS = {"rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
DEFAULTS |= {"bn": "torch", "ssim": "gaussian"}
ORDER = ["ICS", "CLS", "CAE", "Control", "Random", "Double"]
ORDER += ["Original", "PCA", "HOG", "ImageNet"]

every = records.to_frame(replications.counted("ics", p.results))
every = records.where(every, protocol="one_class")  # the paper's
every = every.dropna(subset="value")
as_set = records.where(every, **DEFAULTS)  # in either tier
at_defaults = records.one_tier(as_set, "dataset")
at_defaults = tables.ordered(at_defaults, dataset=tables.DATASETS, method=ORDER)
ours = every.merge(at_defaults[["dataset", "tier"]].drop_duplicates())


def show_beside(dataset, table, metric):
    """Printed and measured values of one data set, per class."""
    mine = records.where(at_defaults, dataset=dataset, metric=metric)
    if not len(mine):
        return print(f"{tables.DATASETS[dataset]}: {tables.NOTHING}")
    paper = records.where(printed, table=table, dataset=dataset)
    both = tables.beside(mine, ORDER, paper).rename_axis(index="normal class")
    return tables.show(both, caption=tables.runs(mine))


# %% [markdown]
# ### Table 4: AUROC
#
# Ours are means over the seeds named above each table. A run that was made again on another processor counts as the mean of both. {ref}`± and σ <statistics>` in the last rows: how the mean depends on the classes, and how one run depends on its seed.
#
# **Read no finding from the column CAE.** It is the first stage alone, so in the demo tier it has had six epochs where CLS and ICS have had twelve. "What length does" below puts short and full runs side by side.

# %%
show_beside("mnist", "Table 4", "auroc")

# %%
show_beside("fashion_mnist", "Table 4", "auroc")

# %%
show_beside("cifar10_jpeg", "Table 4", "auroc")

# %% [markdown]
# ### Table 1: balanced accuracy
#
# By the paper's rule, the threshold tuned on labelled test images:

# %%
show_beside("mnist", "Table 1", "bacc_tuned_on_test")

# %%
show_beside("fashion_mnist", "Table 1", "bacc_tuned_on_test")

# %% [markdown]
# And what the same detectors reach with a threshold that one could have in practice: the 90 % quantile of held-out normals, or the SVM's own boundary. **rejected** is the share of held-out normals beyond that boundary, which $\nu$ promises to be about 10 %: mean over classes, and the lowest and highest of any run.

# %%
RULES = {
    "bacc_tuned_on_test": "tuned on test",
    "bacc_held_out": "90 % of held-out normals",
    "bacc_zero": "own boundary",
    "held_out_rejected": "rejected",
}
BY = ["dataset", "method"]


def by_metric(names):
    """What picks the rows of each column of a table."""
    return {name: {"metric": metric} for metric, name in names.items()}


def by_rule(rows, rules):
    """In percent, one column per metric; of the shares the range over all runs as well."""
    table = tables.overview(rows, BY, by_metric(rules)).set_index(["data", "method"])
    rows = rows.assign(data=rows.dataset.map(tables.DATASETS))
    for rule, name in rules.items():
        if rule.startswith("held"):
            runs = records.where(rows, metric=rule).groupby(["data", "method"]).value
            ends = runs.agg(lambda v: f" ({100 * v.min():.0f} to {100 * v.max():.0f})")
            table[name] = table[name].map("{:.1f}".format) + ends
    return tables.show(table)


by_rule(at_defaults, RULES)

# %% [markdown]
# ### Class by class
#
# The same numbers as a picture: hollow for the paper, filled for ours.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-classes", "caption": "AUROC per class: the paper (hollow) and our recorded runs (filled), for the three trained methods."}, "image": {"alt": "Dot plot of AUROC per class for CAE, CLS and ICS, paper values hollow and our values filled"}}
sets = [
    d
    for d in ("mnist", "fashion_mnist", "cifar10_jpeg")
    if d in set(at_defaults.dataset)
]
colours = {"CAE": plots.NORMAL, "CLS": plots.ATYPICAL, "ICS": plots.NOVEL}
if sets:
    figure, axes = plt.subplots(
        len(sets), 1, figsize=(7.5, 2.8 * len(sets)), squeeze=False
    )
    for axis, name in zip(axes[:, 0], sets, strict=True):
        mine = records.where(at_defaults, dataset=name, metric="auroc")
        table = tables.beside(
            mine, list(colours), records.where(printed, table="Table 4", dataset=name)
        )
        table = table[table.index.isin(mine.class_name)]
        x = np.arange(len(table))
        for shift, (method, colour) in zip(
            (-0.2, 0, 0.2), colours.items(), strict=True
        ):
            hollow = {"facecolors": "none", "edgecolors": colour}
            if (method, "paper") in table:
                axis.scatter(x + shift, table[method, "paper"], **hollow)
            if (method, "ours") in table:
                axis.scatter(
                    x + shift, table[method, "ours"], color=colour, label=method
                )
        axis.set(title=tables.DATASETS[name], ylabel="AUROC in %")
        axis.set_xticks(x, table.index, rotation=30)
    axes[0, 0].legend(fontsize=8, loc="lower left")
    plt.show()
else:
    print(tables.NOTHING)

# %% [markdown]
# ### Which step helps?
#
# Differences in AUROC, in points, between methods on the same class, with the same training images, seed and first stage, averaged over all
# recorded classes. CLS − CAE is left out: CAE is trained half as long. Seeds of a class are averaged first. The interval is Student's at 95 % over classes; the last column is the two-sided *p* value of
# Wilcoxon's signed-rank test. Differences between classes are large, so a mean over few of them says little.


# %%
def compare(better, worse, dataset, metric):
    """The difference of two methods over the classes of a data set, in points of AUROC."""
    rows = records.where(at_defaults, metric=metric, dataset=dataset)
    more, less = (records.where(rows, method=method) for method in (better, worse))
    gain = statistics.paired(100 * statistics.differences(more, less))
    if gain.n < 6:
        return []
    cells = published.cells("ics", "Table 4")
    known = dataset in cells.index and metric == "auroc"
    known = known and {better, worse} <= set(cells.columns)
    cells = cells.loc[dataset] if known else None
    row = {"data set": dataset, "comparison": f"{better} − {worse}"}
    row |= {"score": SEES[metric]}
    row |= {"paper": 100 * (cells[better] - cells[worse]).mean() if known else None}
    row |= {"ours": gain.mean, "±": gain.half, "median": gain.median}
    row |= {"classes won": f"{gain.won} of {gain.n}", "p": gain.p}
    return [row | {"seeds": len(set(more.seed) & set(less.seed))}]


SEES = {
    "auroc": "SVM",
    "auroc_distance": "distance",
    "auroc_standardised": "SVM, standardised",
    "code_spread": "spread",
}
pairs = [("ICS", "CLS"), ("Control", "CLS"), ("ICS", "Control")]
pairs += [("Control", "Random"), ("Random", "Double"), ("Double", "CLS")]
pairs += [("ICS", "Double")]
kinds = ("auroc", "auroc_distance")
steps = [
    row
    for d in sets
    for kind in kinds
    for a, b in pairs
    for row in compare(a, b, d, kind)
]
tables.show(pd.DataFrame(steps), {"paper": "{:.1f}", "p": "{:.3f}"}, precision=2)

# %% [markdown]
# Read "ICS − Control" first: it isolates the dispersion loss. "ICS − Double" compares with a CLS that sees as many images per step, and takes a tenth more steps. Read both under the plain distance as well as under the SVM.

# %% [markdown]
# ### What the SVM sees
#
# For the trained networks, mean over classes: the AUROC of the same codes under the SVM, under the plain distance, and under the SVM on standardised codes; and the spread of a code coordinate.

# %%
seen = at_defaults[at_defaults.method.isin(ORDER[:6])]
seen = tables.overview(seen, BY, by_metric(SEES), scale=1)
tables.show(seen.set_index(["data", "method"]), precision=4)

# %% [markdown]
# Newer records solve the same SVM three times: to $10^{-6}$, to the library's $10^{-3}$, and with the shifted kernel. Of these runs alone, in percent:

# %%
SOLVED = {"": "1e-6", "_default_tol": "1e-3", "_shifted": "shifted"}
thrice = {f"auroc{end}": f"AUROC, {name}" for end, name in SOLVED.items()}
thrice["auroc_distance"] = "AUROC, distance"
thrice |= {f"held_out_rejected{end}": f"rejected, {n}" for end, n in SOLVED.items()}
run_key = ["dataset", "class_name", "seed", "tier", "method"]
newer = at_defaults[at_defaults.metric == "auroc_shifted"][run_key]
by_rule(at_defaults.merge(newer), thrice)

# %% [markdown]
# ### Run by run: pullover and T-shirt
#
# Two classes of Fashion-MNIST whose first short runs failed, each run by itself, repeats on another processor included. Three columns need no label:
#
# * **atypical / typical**: the distance of an atypical code from a typical one over that of two typical ones, in the last epoch of training.
# * **contracted**: whether the spread of the codes is below $\sqrt\varepsilon$.
# * **normal / noise**: the root-mean-square distance of two held-out normals over that of a normal from a picture of noise. Near 1, some normals lie as far out as noise. In newer records only.

# %% tags=["hide-input"]
LIMIT = {"torch": 1e-5**0.5, "keras": 1e-3**0.5}  # of the spread, as derived above
single_runs = records.read_with_reference("ics", p.results)
single_runs += records.read("ics", records.BOOK / replications.FOLDER)


def run_by_run(class_names, bn="torch"):
    """One row per run and network with closeness, at the defaults."""
    rows = []
    for r in single_runs:
        at = DEFAULTS | {"protocol": "one_class", "bn": bn}
        if r.class_name not in class_names or r.tier == "smoke":
            continue
        if any(r.parameters[name] != value for name, value in at.items()):
            continue
        value = {(one.method, one.metric): one.value for one in r.results}
        for method in [m for m in ("ICS", "Control", "CLS") if (m, "auroc") in value]:
            terms = r.training[method]["terms"]
            spread = value[method, "code_spread"]
            row = {"class": r.class_name, "method": method, "tier": r.tier}
            row |= {"seed": r.seed, "processor": r.machine["gpu"] or r.machine["cpu"]}
            row["atypical / typical"] = -terms.get("disp2", np.nan) / terms["cls"]
            row |= {"spread": spread, "contracted": spread < LIMIT[bn]}
            row["normal / noise"] = value.get((method, "spread_to_noise"), np.nan)
            for metric, name in AUROCS.items():
                row[name] = 100 * value.get((method, metric), np.nan)
            rows.append(row)
    return pd.DataFrame(rows, columns=EACH).sort_values(
        EACH[:4], key=lambda c: c.map(lambda v: ORDERED.get(v, v))
    )


AUROCS = {"auroc": "SVM", "auroc_default_tol": "SVM, 1e-3"}
AUROCS |= {"auroc_shifted": "SVM, shifted", "auroc_distance": "distance"}
ORDERED = {"ICS": "0", "Control": "1", "CLS": "2"}
EACH = ["class", "method", "tier", "seed", "processor", "atypical / typical"]
EACH += ["spread", "contracted", "normal / noise", *AUROCS.values()]
each = run_by_run(("pullover", "t-shirt"))
looks = {"spread": "{:.5f}", "atypical / typical": "{:.1f}"}
looks["normal / noise"] = "{:.2f}"
looks |= {name: "{:.1f}" for name in each.columns[-4:]}
tables.show(each, looks)

# %% [markdown]
# The range of the AUROC over these runs, and in brackets their number: of all, and of those whose codes had contracted.

# %% tags=["hide-input"]


def ranges(rows):
    """Lowest to highest AUROC under the SVM, by class, method and tier."""
    by = rows.groupby(["class", "method", "tier"])["SVM"]
    ends = by.agg(lambda v: " to ".join(sorted({f"{v.min():.1f}", f"{v.max():.1f}"})))
    return ends + by.size().map(" ({})".format)


both = {"all runs": ranges(each), "contracted": ranges(each[each.contracted == True])}  # noqa: E712
both = pd.DataFrame(both).reset_index()
garments = published.cells("ics", "Table 4").loc["fashion_mnist"].stack()
paper = 100 * garments.reindex(pd.MultiIndex.from_frame(both[["class", "method"]]))
both.insert(3, "printed", paper.to_numpy())
tables.show(both)

# %% [markdown]
# ### What length does
#
# Every class that was also trained at full length, 100 + 100 epochs, beside its short runs. AUROC under the SVM, in percent.

# %% tags=["hide-input"]
of_length = records.where(as_set, metric="auroc")
of_length = of_length[of_length.method.isin(["CAE", "CLS", "ICS"])]
one = ["dataset", "class_name", "method"]
both = {"6 + 6 epochs": {"tier": "demo"}, "100 + 100": {"tier": "paper"}}
full = records.where(of_length, tier="paper")[one].drop_duplicates()
length = of_length.merge(full).sort_values(one)
paper = published.cells("ics", "Table 4").stack()
paper = [100 * paper.get(key) for key, _ in length.groupby(one)]
length = tables.overview(length, one, both).drop(columns="n").assign(printed=paper)
tables.show(length.set_index(["data", "class", "method"]))

# %% [markdown]
# ## Under other readings of the paper
#
# The paper leaves choices open. Each row below changes one of them and keeps the rest, on classes that were fixed beforehand. Nothing is chosen by it: the defaults of this page stay what they were.

# %% tags=["hide-input"]
counted = replications.counted("ics", p.results)
claim = readings.claims()["ics-fashion"]
table_of_readings = readings.table(claim, counted)
print(readings.sentence(table_of_readings))
readings.shown(table_of_readings)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-readings", "caption": "ICS on Fashion-MNIST under one changed choice at a time: large points are means over the fixed classes, small ones the classes, and the line is what the paper prints."}, "image": {"alt": "Dot plot with one row per choice that the paper leaves open and its values; our means as large points, a vertical line at the printed value"}}
readings.figure(claim, table_of_readings)
plt.show()

# %% tags=["hide-input"]
on_mnist = readings.table(readings.claims()["ics-mnist"], counted)
print(readings.sentence(on_mnist))
readings.shown(on_mnist)

# %% [markdown]
# ## Sweeps over β and ρ
#
# The paper's Tables 5 and 6 (its Figs. 8 and 7) vary $\beta_1 = \beta_2$ and $\rho$. Both are parameters here, so a sweep is a loop:
#
# ```bash
# for beta in 0 1e-7 1e-5 1e-3 1e-1; do
#   novelty run ics -p dataset=mnist -p class_name=3 -p tier=demo \
#     -p methods=ICS -p beta=$beta -p results=mine
# done
# ```
#
# {numref}`fig-ics-sweeps` draws the paper's averages over ten classes, and ours over whichever classes have a record for
# *every* value of the sweep, so that each point of a line averages the same classes. A value $\beta = 0$ of ours is drawn at
# $10^{-8}$; the paper has no such point. The cell says whether any sweep of ours is there.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-sweeps", "caption": "Balanced accuracy, threshold tuned on test images, against the weight of the dispersion losses (left) and the share of atypical images (right): the paper's means over ten classes (dashed) and, where a whole sweep has been recorded, ours over the classes named in the legend (solid)."}, "image": {"alt": "Two line plots of balanced accuracy, against beta on the left and rho on the right; three nearly level dashed lines each, one per data set; two of those over beta fall at its largest value"}}
def printed_line(dataset, table):
    """The printed means over ten classes by the value of the parameter, in percent."""
    paper = records.where(printed, table=table, dataset=dataset)
    paper = paper[~paper.setting.str.contains("mean") & (paper.class_name != "mean")]
    value = paper.setting.str.split("=").str[1].astype(float)
    return 100 * paper.groupby(value).value.mean()


def our_line(dataset, name):
    """Ours over the classes that have a run at every value, and which these are."""
    mine = records.where(ours, **{k: v for k, v in DEFAULTS.items() if k != name})
    mine = records.where(mine, dataset=dataset, method="ICS")
    mine = records.where(mine, metric="bacc_tuned_on_test")
    grid = mine.groupby(["class_name", name]).value.mean().unstack()
    grid = grid.dropna(thresh=3).dropna(axis=1)
    return 100 * grid.mean(), ", ".join(grid.index)


figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for axis, name, table in ((axes[0], "beta", "Table 5"), (axes[1], "rho", "Table 6")):
    for number, d in enumerate(("mnist", "fashion_mnist", "cifar10")):
        colour, words = f"C{number}", tables.DATASETS[d]
        line, (mine, classes) = printed_line(d, table), our_line(d, name)
        axis.plot(line, "--", color=colour, alpha=0.7, label=f"{words}, paper")
        if len(mine) >= 3:
            mine.index = mine.index.where(mine.index > 0, 1e-8)  # for the logarithm
            axis.plot(mine, "o-", color=colour, label=f"{words}: {classes}")
    axis.set(xlabel={"beta": "β", "rho": "ρ in %"}[name])
    axis.set(xscale={"beta": "log", "rho": "linear"}[name])
    if not any(line.get_marker() == "o" for line in axis.lines):
        print(f"no whole sweep over {name} has been recorded: the paper's values alone")
axes[0].set_ylabel("balanced accuracy in %")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## What the paper leaves unsaid, and what we chose
#
# | open | our choice | why |
# |---|---|---|
# | optimiser, rate | Adam, $10^{-3}$ | the default of Keras, which the paper used |
# | epochs | 100 + 100 (paper tier), 6 + 6 (demo), the same for all classes, last weights | no epoch is picked by a test score; 6 is what the time at hand allowed |
# | stage 3 starts from | the weights of stage 1 | "the network" is one model throughout; `start="fresh"` runs the other reading |
# | batch in stage 3 | 64 typical + 64 atypical | eqs. 3 and 4 both average over $B$ |
# | eq. 2, sum or mean | mean | see above; `rec="sum"` |
# | batch normalisation after five convolutions (text) or four (Table 2) | four | the table's shapes agree with it |
# | its momentum and ε | PyTorch's 0.1 and $10^{-5}$ | not stated; `bn="keras"` has 0.01 and $10^{-3}$ |
# | last kernel, up-sampling | 3×3, nearest neighbour | like the other layers |
# | L2 weight $10^{-6}$ | added to the loss over convolution kernels | Adam's `weight_decay` is a different thing |
# | SSIM | Gaussian window 11, σ 1.5, on the unpadded image | the setting of the paper that introduced SSIM; `ssim="uniform"` has a flat window of 7 |
# | normalisation in stage 2 and for features | evaluation mode | else an image's score depends on its neighbours |
# | balanced accuracy: which images are scored | the 80 % not used for the threshold | otherwise it is tuned on what it reports |
# | SVM tolerance | $10^{-6}$ | shrunken codes differ in late digits; the library's $10^{-3}$ stands beside it in every newer record |
# | length of CAE | the first stage alone, half of what CLS and ICS have | the paper calls it a regular autoencoder and gives no length |
#
# **What changed, and when.**
#
# | date | change |
# |---|---|
# | 2026-11-22 | six epochs for the demo tier, after a trial with ten on the digit 3 whose test scores we had seen |
# | 2026-11-22 | plain distance and standardised codes added, after a look at scores on the small digits and before the recorded runs: a diagnosis, not a method that was fixed beforehand |
# | 2026-11-26 | Random, then Double added to Control, each because the one before had left a lead unexplained |
# | 2026-11-29 | **A verdict withdrawn.** This page and the start page said that on Fashion-MNIST ICS lies below plain pixels, with pullovers ranked worse than chance, and called the SVM the weakest link. That was one seed on one processor, in two of whose trainings the codes had not contracted. For the pullover the same seed on another processor and the full length do not show it; for the T-shirt another seed on that processor does not |
# | 2026-11-29 | in the record from then on: spread of held-out codes, the library's tolerance, the shifted kernel; `bn` and `ssim` became parameters |
# | 2026-11-29 | a run made again on another processor counts: tables take the mean of both |

# %% [markdown]
# ## What holds up, and what does not
#
# ### The printed tables against the printed sentences
#
# These checks need no training: they recompute the paper's statements from its own cells.

# %%
cells = published.cells("ics", "Table 1")
rivals = cells.drop(columns="ICS")
said = {"all": 25, "CLS": 27, "ImageNet": 30, "CAE": 30, "Original": 30}
rows_ = []
for rival, claim in said.items():
    best = rivals.max(axis=1) if rival == "all" else cells[rival]
    row = {"ICS against": rival, "classes won, as stated": claim}
    row |= {"won, by the cells": (cells.ICS - best > 1e-9).sum()}
    rows_.append(row | {"tied": np.isclose(cells.ICS, best).sum()})
tables.show(pd.DataFrame(rows_))

# %% [markdown]
# Twenty-four wins and a tie were counted as 25, which is fair enough; but CLS is beaten on 25 classes rather than 27, and
# "all 30" fails for one class each against ImageNet and CAE.
#
# ### The Trouser cell
#
# Table 5 prints four values of $\beta$ and a column "Mean ± Std". The mean is not that of the four printed values. If it is
# taken over *five*, the fifth being $\beta = 0$ without a split, that is CLS, we can solve for the fifth value and compare it
# with the CLS column of Table 1:

# %%
table5 = printed[printed.table == "Table 5"]
four = table5[~table5.setting.str.contains("mean") & (table5.class_name != "mean")]
four = four.groupby(["dataset", "class_name"]).value.sum()
means = table5[
    table5.setting.str.contains("mean_over_row")
    & (table5.metric == "balanced_accuracy")
]
implied = 5 * means.set_index(["dataset", "class_name"]).value - four
check = pd.DataFrame({"implied": implied, "Table 1": cells.CLS})
check["difference, points"] = 100 * (check["implied"] - check["Table 1"])
tolerance = 0.5  # five values and a mean, each rounded to 0.1 points
print(
    f"{(check['difference, points'].abs() <= tolerance).sum()} of {len(check)} classes agree within rounding"
)
check[check["difference, points"].abs() > tolerance].round(3)

# %% [markdown]
# One class stands out. Its CLS cell in Table 1 is most likely a slip; with the implied value CLS would beat ICS there, and ICS would be best on 24
# classes instead of 25. It also removes part of the Fashion-MNIST gain over CLS.
#
# ### Thresholds that know the answer
#
# Balanced accuracy with a threshold tuned on labelled test images cannot fall much below one half, however bad the
# ranking. In the printed tables this hides detectors that rank novelties *below* normals:

# %%
auroc = published.cells("ics", "Table 4")
hidden = (auroc < 0.5) & (cells[auroc.columns] > 0.5)
print(
    f"{hidden.sum().sum()} cells have an AUROC below and a balanced accuracy above one half"
)
hidden.groupby("dataset").sum().astype(int)

# %% [markdown]
# ### Is it the dispersion?
#
# Not in our runs. On MNIST, over three seeds, ICS and Control differ by about a tenth of a point, and Control is the one ahead.
# So the gain over CLS belongs to what came with the split, and not to the loss that gave the method its reasoning.
#
# The paper reads its Table 5 as insensitivity to $\beta$: $10^{-7}$ is nearly as good as $10^{-5}$ on Fashion-MNIST and CIFAR-10. A loss that plays no part would look the same. On MNIST
# its column disagrees: there $10^{-7}$ loses a point of balanced accuracy against $10^{-5}$, on eight digits of ten, and lies below CLS. Those are single runs, with a threshold tuned on test images, of a length that the paper does not give.
#
# {numref}`fig-ics-curves` says the same from the inside: with and without the dispersion loss, the atypical codes behave alike.
#
# ### Is it the split?
#
# In part. Most of the lead is the number of images per step. These are the four parts of ICS − CLS on MNIST (6 + 6 epochs, one seed):
#
# | part | what it measures | under the SVM | under the plain distance |
# |---|---|---|---|
# | Double − CLS | *how many* images a step sees | more than three quarters of the lead, all ten digits | about two thirds, eight digits |
# | Random − Double | how they are mixed | none | none |
# | Control − Random | *which* images are shown more often | a third of the lead, eight digits | half of it, eight digits |
# | ICS − Control | the dispersion loss | none, or a little less | the same |
#
# Two parts are left: images per step, which the paper does not mention, and the knowledge which images were reconstructed badly. One seed of ten digits cannot rank the two. Double, which knows of no split, comes within half a point of ICS.
#
# Why should more images per step help? Perhaps because six epochs end before anything has settled, and more images make a steadier step. Then the lead should melt at full length. The paper's own Table 4 has CLS ahead on MNIST in the mean, through the digits 5 and 7. We have not run it.
#
# The lesson does not wait for that: *a baseline has to see as many images as the method that is compared with it*. "64 images per step" for both does not say so when one of them draws its 64 twice.
#
# The runs, on any data set: `novelty run ics -p dataset=mnist -p class_name=all -p tier=demo -p methods=Random,Double -p results=mine`.
#
# ### What happened on Fashion-MNIST?
#
# Some short runs stopped half-way. In the first ones, of one seed on one processor, two classes stand out. For the pullover and the T-shirt the typical codes had drawn together after 6 + 6 epochs, and the atypical ones had not: see **atypical / typical** in "Run by run". Control, without the dispersion
# loss, ended in the same state, so it is no effect of that loss. The SVM fails on such codes, for a reason given below. The plain distance on the same codes does not.
#
# At full length the pullover's codes contract, and ICS reaches 89.4 where the paper prints 89.9. So the short run was no evidence against the paper. "Run by run" has all seeds and processors.
#
# **How to notice without labels.** Look at two numbers that cost nothing. The log has the distance of atypical codes from typical ones: where it is several times that among typical ones, the class is coming apart. And held-out normals whose codes spread over $\sqrt\varepsilon$ show that closeness has not finished what is free.
# The bound comes from the derivation, and among the first records of Fashion-MNIST under the paper's protocol it singles out ICS and Control on these two classes. Under SIMO it marks ICS on the pullover and CLS on the coat. A run prints it, and the record has it as `spread`.
#
# What to do then? Train longer. We throw no such run away: it stands in every mean, and the table of ranges has a column without it.
#
# ### Is it the SVM?
#
# Its boundary, yes. Its ranking, where some codes have stayed behind.
#
# **The boundary.** Closeness uses up the digits that the solver keeps, as the table above shows on made-up codes. In the recorded runs the share of held-out normals beyond the SVM's zero ranges from a few percent to all of them. Take the threshold from held-out normals.
# All of this hangs on one choice. With eq. 2 as printed, a sum over pixels, closeness weighs a thousand times less beside the reconstruction. The second implementation, which takes the sum, ends on the pullover (one seed) with codes nearly as wide as those of CAE. "Under other readings" has a row for it.
#
# **The ranking.** With $\nu = 0.1$ the SVM hands its weight to the most
# widely spread tenth of the training images, and with $\rho = 10$ the split has made such a tenth. The greatest variance
# comes from half of the weight on either side. So the centre $\bar z$ lands *half-way between* typical and
# atypical codes, where no image is, and a novel image that falls there gets the lowest score of all. A drawing with
# made-up codes shows it.

# %% mystnb={"figure": {"name": "fig-ics-centre", "caption": "Made-up codes, not data: nine tenths of the training codes around the origin, one tenth at a distance D, novel codes half-way between. As D grows beyond the spread of the cloud, the centre that the SVM measures distances from (dotted) moves to the middle, and its AUROC falls to zero; the plain distance to the mean of all codes does not suffer."}, "image": {"alt": "Line plot over the distance D: the AUROC of the SVM falls to zero, that of the plain distance rises, and the position of the SVM's centre approaches one half"}}
draw = np.random.default_rng(p.seed)
cloud = 2e-4  # a coordinate's spread; the recorded runs show this order of magnitude


def around(n, place):
    codes = draw.normal(scale=cloud, size=(n, L))
    codes[:, 0] += place
    return codes


rows_ = []
for D in (2, 4, 8, 16, 32, 64):
    train = np.vstack([around(900, 0), around(100, D * cloud)])
    normal_test = np.vstack([around(450, 0), around(50, D * cloud)])
    both = np.vstack([normal_test, around(500, D * cloud / 2)])
    labels = np.repeat([0, 1], 500)
    svm = OneClassSVM(nu=0.1, gamma="auto", tol=1e-6).fit(train)
    a = svm.dual_coef_[0]
    rows_.append(
        {
            "D": D,
            "SVM": metrics.auroc(labels, -svm.decision_function(both))[0],
            "distance": metrics.auroc(labels, distance_scores(train, both)[0])[0],
            "centre": (a @ svm.support_vectors_)[0] / a.sum() / (D * cloud),
        }
    )
toy = pd.DataFrame(rows_).set_index("D")
figure, axis = plt.subplots(figsize=(5.5, 3))
axis.plot(toy.index, toy["SVM"], "o-", label="AUROC of the SVM")
axis.plot(toy.index, toy["distance"], "s-", label="AUROC of the distance")
axis.plot(toy.index, toy["centre"], ":", color="black", label="centre of the SVM / D")
axis.set(xscale="log", xlabel="D in units of the cloud's spread")
axis.set_xticks(list(toy.index), [str(D) for D in toy.index])
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# If this is what happened, the split and the detector behind it work against each other until the codes have contracted. We infer it from the distances of the log and from the gap between SVM and distance; the records do not hold the position of the centre.
#
# For CAE the SVM falls below the distance on all ten digits of MNIST, although its codes have *not* shrunk. Nor need they. With $\gamma = 1/L$ and codes in $(0,1)^L$ the exponent
# $\gamma\lVert z-z'\rVert^2$ never exceeds 1, so here, too, the SVM is close to a distance to the centre of the widest tenth.
#
# ### A baseline that was too weak
#
# HOG, with no training at all, reaches far more on MNIST than the paper prints, on nine digits of ten. Some of the printed values are no better than a coin. Ours has the same length and the same SVM. PCA and Original,
# which go through the same code, come close to the paper. The paper does not describe its HOG beyond the length of the vector, so
# we cannot say what differed. But a claim to beat "all baselines" is only as strong as its strongest baseline.
#
# ### What we have not shown
#
# * **Tier and seeds.** Most recorded runs train for 6 + 6 epochs instead of 100 + 100. They can confirm a printed number and not refute it. Random and Double have one seed, on MNIST.
# * **Insensitivity.** That results hardly depend on $\rho$, and on $\beta$ only when it is large, is the paper's claim of its Tables 5 and 6. All our runs have $\rho = 10$ and $\beta = 10^{-5}$, or no dispersion at all (Control).
# * **CAE** on MNIST is far below its printed level after six epochs. That is the length, at least on the digit 1: at full length it has 97.4. (CAE has had six epochs here, CLS and ICS twelve.)
# * **CIFAR-10** numbers, where present, come from a JPEG-compressed copy and are marked `cifar10_jpeg`.
# * **ImageNet features** need weights that were not at hand for the recorded runs.
# * The paper's defaults $\rho = 10$ and $\beta = 10^{-5}$ are the best columns of its Tables 6 and 5 on the mean of every
#   data set, so they were presumably chosen with test results in view. We keep them and add nothing of that kind.

# %% [markdown]
# ## Exercises
#
# To talk about. The one that is marked, by tests and by a reader, is assignment 1 of {doc}`the course <../book/course>`, which has hints, too.
#
# 1. *(on paper)* Show that $\mathcal L_{rec} + \alpha\mathcal L_{cls}$ has no minimiser if the decoder starts with a batch
#    normalisation without ε, the encoder ends in a linear layer, and there is no L2 term. What does ε change? And the sigmoid at the end of our encoder?
# 2. *(one line)* Replace `z.roll(1, 0)` by the mean over all pairs. Does the value of eq. 3 change in expectation? Its variance?
# 3. *(a run)* Run `beta=0.1`. What happens to `cls`, `disp2` and the rejected share of held-out normals?
# 4. *(a little code)* Instead of twice the images per step, give CLS twice the epochs in its third stage. Is it Double then? What if both ICS and CLS get
#    them?
#
# ```{admonition} Hint for exercise 4
# :class: dropdown
# `model.stage3` takes the number of epochs from `how`. Change it there for this one method.
# ```
#
# ## References
#
# The full list is on the page {doc}`Bibliography <../book/bibliography>`.
