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
# You have four thousand pictures of the digit 3 and nothing else. Is a new picture a 3? A one-class support vector machine
# {cite:p}`scholkopf2001` can draw a boundary around the threes. In raw pixels that boundary is poor: two threes by different hands
# differ in more pixels than a 3 and an 8 by the same hand. We need other coordinates, *features*. Features are usually learned by telling classes
# apart, and here there is one class.
#
# {cite:t}`schlachter2018` **split the one class in two.** An autoencoder learns the class. The images that it redraws worst are
# called *atypical*, the rest *typical*. The atypical ones play the part of the novelties that nobody has. Training then pulls the
# typical images together (*closeness*) and pushes the atypical ones away (*dispersion*).

# %% tags=["hide-input", "same-in-every-run"] mystnb={"figure": {"name": "fig-ics-idea", "caption": "A drawing, not data. Left: the codes of an autoencoder; novel images (red) land among the normal ones. Middle: closeness pulls everything together, novel images included. Right: what intra-class splitting hopes for; atypical normal images (yellow) are pushed outwards and take the novel ones with them, so that a tight boundary (dotted) fits around the typical ones (green)."}, "image": {"alt": "Three sketches of code space: a loose cloud of normal points with novel points among them, a single small cloud of both, and a tight green cluster ringed by yellow atypical points with red novel points outside a dotted circle"}}
import matplotlib.pyplot as plt
import numpy as np

draw = np.random.default_rng(1)
typical, atypical, novel = (draw.normal(size=(n, 2)) for n in (60, 12, 25))
far = 2.2 * atypical / np.linalg.norm(atypical, axis=1, keepdims=True)
out = 3.4 * novel / np.linalg.norm(novel, axis=1, keepdims=True)
colours = ("#009e73", "#e69f00", "#d55e00")
panels = {
    "autoencoder": (1.2 * typical, 1.4 * atypical, 1.6 * novel),
    "closeness alone": (0.25 * typical, 0.25 * atypical, 0.25 * novel),
    "closeness + dispersion": (0.4 * typical, far + 0.2 * atypical, out + 0.4 * novel),
}
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3), dpi=110, layout="constrained")
for axis, (title, clouds) in zip(axes, panels.items(), strict=True):
    for cloud, colour, name in zip(
        clouds, colours, ("typical", "atypical", "novel"), strict=True
    ):
        axis.scatter(*cloud.T, s=14, color=colour, label=name)
    axis.set(
        title=title, xlim=(-5, 5), ylim=(-5, 5), xticks=[], yticks=[], aspect="equal"
    )
axes[2].add_patch(plt.Circle((0, 0), 1.4, fill=False, linestyle=":", color="black"))
axes[1].legend(fontsize=9, loc="upper left")
plt.show()

# %% [markdown]
# **In short**, from short training (6 + 6 epochs), which can confirm a number of the paper and not refute it:
#
# * On MNIST, ICS reaches 96.2 AUROC. The paper prints 96.3.
# * Our ICS beats our CLS, closeness without a split, on nine of ten digits. The paper's AUROC table has CLS ahead, so the lead is our
#   CLS falling short. Give it as many images per step, and three quarters of the lead are gone.
# * The dispersion loss, which the reasoning is about, adds nothing.
# * On Fashion-MNIST, ICS reaches 88.4; the paper prints 93.0. A plain distance on the same codes reaches 92.5.
# * The paper does not say on which images its SVM is fitted. On all normal ones, ours, it fails in some runs: 58.5 on the pullover with one
#   seed. On the *typical* images alone the same run has 89.1, and 89.9 is printed. Two runs of the t-shirt
#   agree.
#
# ```{admonition} Before you start
# :class: tip
# **You will learn** how a requirement on features becomes a loss, and what a loss leaves open; what a support vector machine does with
# codes that lie close together, and how to choose a threshold without novelties.
#
# **You need** autoencoders, stochastic gradient descent and ROC curves. {doc}`Notation <../book/notation>`,
# {doc}`protocols and metrics <../book/protocols>` and {doc}`words <../book/glossary>` are a page each.
#
# **Time**: 20 minutes to read. The run of this page takes one or two minutes on a laptop's processor.
# ```
#
# Two pages go with this one: {doc}`the evidence <ics_evidence>` has every recorded class, the controls and the failures, and
# {doc}`the choices <../book/choices-ics>` what the paper leaves open.
#
# ## Setup
#
# `papermill` or `novelty run ics -p KEY=VALUE` replaces the parameters from outside. The defaults of `rho`, `alpha` and `beta` are
# the paper's.

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
    source = "novelty-utils @ git+https://github.com/novelty-book/novelty-book@v0.1.0"
    source = os.environ.get("NOVELTY_UTILS_SOURCE", source)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters", "hide-input"]
dataset = "digits"  # mnist, mnist_sample, fashion_mnist, cifar10, folder:PATH ...
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

from novelty_utils.params import Protocol, RunParameters, several

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
        return several("methods", value, METHODS)


p = Parameters.check(globals())
wanted = p.methods.split(",")

# %% tags=["hide-input"]
import copy
import math
import time
from urllib.error import URLError

import pandas as pd
import torchvision
from skimage.feature import hog
from sklearn.decomposition import PCA

from novelty_utils import data, records
from novelty_utils.data import protocols
from novelty_utils.evaluation import metrics, mixtures, plots, statistics
from novelty_utils.evaluation.movable import Movable, sprite
from novelty_utils.ledger import published, tables
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
# ## Data and protocol
#
# One class is normal. The network sees at most 4000 of its training images and nothing else. What the class has beyond them is held
# out: it may set thresholds, because it costs no label. The test set is the official test part, normal and novel. Images are padded
# from 28×28 to 32×32 and scaled to $[0, 1]$.

# %% tags=["define", "hide-input"]
BATCH, L, SIDE = 64, 64, 32  # images per set and step, length of a code, side

# %% tags=["hide-input"]
watch = records.RunMeter()
ds = data.load(p.dataset, side=SIDE)
images = data.to_side(ds.images, SIDE)
C = images.shape[1]
shape = ds.images.shape[1:]
splits = {k: protocols.split(p.protocol, ds, k, p.seed) for k in p.labels()}
shown = next(iter(splits))  # the figures below show this class
single = "novel" if p.protocol == "miso" else "normal"  # what class_name is
of_paper = len(protocols.split("one_class", ds, shown, p.seed).train)
if p.tier != "smoke":
    of_paper = max(of_paper, 4000)  # a smaller set is gone through as many more times
if p.tier == "smoke" and p.dataset in ("mnist_sample", "fashion_sample"):
    BATCH = 32  # so that the book builds in minutes
STEPS = {"smoke": 40, "demo": 6, "paper": 100}[p.tier]  # epochs of the paper's protocol
STEPS *= training.steps_per_epoch(of_paper, BATCH)
STEPS = min(STEPS, 100) if p.tier == "smoke" else STEPS  # a minute of a core
EPOCHS = training.epochs_for(STEPS, len(splits[shown].train), BATCH)  # per stage
print(
    f"{ds.name}, checksum {ds.checksum}, {EPOCHS} + {EPOCHS} epochs, batches of {BATCH}"
)
print(f"{p.protocol}, {single} class {ds.classes[shown]!r}")
tables.show(splits[shown].card())

# %% [markdown]
# ## From two requirements to two losses
#
# What should features look like so that a tight boundary around the normal ones shuts the novel ones out? Two requirements, the same
# that linear discriminant analysis has for labelled classes:
#
# * **Closeness**: the codes of normal images lie close together.
# * **Dispersion**: the codes of novel images lie far from them.
#
# Write $z = f_{enc}(x) \in (0,1)^L$ for the code of an image and $\hat x = f_{dec}(z)$ for its reconstruction. The paper arrives at
# one weighted sum:
#
# ```{math}
# :label: eq-ics-total
# \begin{aligned}
# \mathcal L = {} & \mathcal L_{rec} + \alpha\,\mathcal L_{cls} \\
# & + \beta_1\,\mathcal L_{disp,1} + \beta_2\,\mathcal L_{disp,2}
# \end{aligned}
# ```
#
# Each term answers a failure of the ones before it.
#
# **Reconstruction.** An autoencoder minimises the squared error over a batch of $B$ images,
#
# ```{math}
# :label: eq-ics-rec
# \mathcal L_{rec} = \frac1B \sum_{j=1}^{B} \lVert x_j - \hat x_j \rVert^2 ,
# ```
#
# and so keeps in $z$ what is needed to redraw the image. Nothing in {eq}`eq-ics-rec` asks that two threes get similar codes. A
# slanted and an upright 3 may sit at opposite ends of the code space. A boundary around both encloses much that is no 3.
#
# **Closeness.** The most direct remedy is to charge for distance. For two independent normal images the expected root-mean-square
# distance of their codes is $\mathbb E \sqrt{\tfrac1L\lVert z - z' \rVert^2}$. A batch is a random draw. Pairing each image with a
# random other one of its batch estimates this expectation without bias, with $B$ distances instead of $B^2$:
#
# ```{math}
# :label: eq-ics-cls
# \mathcal L_{cls} = \frac1B \sum_{j=1}^{B} \sqrt{\frac1L \lVert z_j - z_{i \neq j} \rVert^2} .
# ```
#
# **Why closeness alone collapses.** The minimum of {eq}`eq-ics-cls` is zero, and every constant encoder reaches it. Novel images are
# then mapped to the same point as normal ones. Adding {eq}`eq-ics-rec` back forbids the constant encoder, since nothing can be
# redrawn from a constant. But it forbids less than it seems. The decoder begins with a batch normalisation, which subtracts the mean of
# each coordinate and divides by its deviation. Take any encoder and shrink its codes towards a point $c$,
#
# ```{math}
# :label: eq-ics-shrink
# z \;\longmapsto\; c + s\,(z - c), \qquad 0 < s < 1 .
# ```
#
# The normalisation undoes this. So $\mathcal L_{rec}$ stays where it was, while $\mathcal L_{cls}$ falls by the factor $s$: closeness
# is free. It stays free as long as the variance of a coordinate is large beside the small constant $\varepsilon$ in the
# denominator. We call codes *contracted* once their spread, the deviation $\sigma$ of a coordinate, is below that bound:
#
# ```{math}
# :label: eq-ics-contracted
# \sigma < \sqrt{\varepsilon} , \qquad \text{which is } 0.003 \text{ for PyTorch's } \varepsilon = 10^{-5} .
# ```
#
# Where closeness is asked of every image, wider codes mean that the part that costs nothing is not finished. No label is needed to
# see it. Narrower codes do not mean that the detector works.
#
# Shrinking moves normal and novel codes alike. *The absolute size of the codes says nothing; only the ratio of distances does.*
# This will matter for the support vector machine, which does have an absolute scale.
#
# **Dispersion.** Something must push outwards. Distances to novel images cannot be used, since there are none. The paper lets the
# worst-redrawn normal images stand in for them. It assumes that novel images resemble atypical normals more than typical
# ones. With $z^{aty}$ and $z^{typ}$ drawn from the two parts,
#
# ```{math}
# :label: eq-ics-disp
# \begin{aligned}
# \mathcal L_{disp,1} &= -\frac1B \sum_{j=1}^{B} \sqrt{\tfrac1L \lVert z_j^{aty} - z_{i\neq j}^{aty} \rVert^2} , \\
# \mathcal L_{disp,2} &= -\frac1B \sum_{j=1}^{B} \sqrt{\tfrac1L \lVert z_j^{aty} - z_j^{typ} \rVert^2} .
# \end{aligned}
# ```
#
# The first term spreads the atypical codes. The second drives them away from the typical ones. Closeness is now asked of typical
# images only: one part contracts, the other is pushed out, and a uniform shrinking no longer wins on every term. Keep an eye on
# the weights: $\alpha = 1$ against $\beta_1 = \beta_2 = 10^{-5}$.
#
# ## The network, block by block
#
# The encoder descends from AlexNet. Dilated 3×3 kernels look at a 5×5 neighbourhood with nine weights. Without padding each takes
# four pixels off the side.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-network", "caption": "The autoencoder. A box is what a block returns: as high as the image's side and as wide as the channels, both on a logarithmic scale, with channels \u00d7 side \u00d7 side below it. Arches lead round the blocks between: the code sees four scales at once, and so does the last layer of the decoder."}, "image": {"alt": "Two rows of boxes from left to right. The encoder's shrink from 32 by 32 pixels to a code of 64 numbers, with arches from blocks 2, 3 and 4 to a joined layer of 512; the decoder's grow back, with arches from blocks 7, 8 and 9 to a joined layer"}}
# channels and side of what each block returns
DOWN = {"x": (C, SIDE), "block1": (32, 16), "block2": (64, 12), "block3": (64, 8)}
DOWN |= {"block4": (128, 4), "block5": (256, 1), "joined": (512, 1), "z": (L, 1)}
UP = {"z": (L, 1), "block7": (256, 2), "block8": (128, 4), "block9": (64, 8)}
UP |= {"block10": (64, 16), "joined": (512, 16), "block11": (32, 32), "x̂": (C, SIDE)}

figure, axes = plt.subplots(2, 1, figsize=(8.5, 5.4))
taps = {(f"block{n}", "joined"): "mean" for n in (2, 3, 4)}
plots.network(axes[0], DOWN, taps)
taps = {(f"block{n}", "joined"): "enlarged" for n in (7, 8, 9)}
plots.network(axes[1], UP, taps)
axes[0].set_title("encoder", loc="left")
axes[1].set_title("decoder", loc="left")
plt.show()

# %% [markdown]
# Batch normalisation follows each activation in the paper's Table 2. We write it as the first layer of the *next* block. That is the
# same network, and it leaves the activations in reach for the arches of {numref}`fig-ics-network`.

# %% tags=["define"]
BN = {"torch": {"eps": 1e-5, "momentum": 0.1}, "keras": {"eps": 1e-3, "momentum": 0.01}}


def normalised(conv, channels, bn):
    return nn.Sequential(nn.BatchNorm2d(channels, **bn), conv, nn.ReLU())


def dilated(inputs, outputs, bn):
    return normalised(nn.Conv2d(inputs, outputs, 3, dilation=2), inputs, bn)


# %% [markdown]
# The averages of blocks 2, 3 and 4 and the maximum of block 5 are concatenated to $64 + 64 + 128 + 256 = 512$ numbers. A 1×1
# convolution with a sigmoid maps them to the $L = 64$ coordinates of $z$.


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


# %% [markdown]
# The decoder mirrors it. Four transposed convolutions double the side from 1 to 16. All four maps are brought to 16×16 and
# concatenated, and a last doubling and a plain convolution give the image. Its first layer is the normalisation of
# {eq}`eq-ics-shrink`.


# %% tags=["define", "hide-input"]
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
        h = self.join_and_double([r7, r8, r9, r10])
        return torch.sigmoid(self.block12(h).float())

    def join_and_double(self, maps):
        """Block 11 of the maps (B, c_i, s_i, s_i), all enlarged to 16×16 and joined. An
        enlarged map is made of copies, so each map meets its rows of the weights before
        it is enlarged: the same sums with a sixth of the products."""
        double, relu = self.block11
        rows = double.weight.split([r.shape[1] for r in maps])
        products = None
        for r, W in zip(maps, rows, strict=True):
            of_map = F.conv2d(r, W.flatten(1).T[:, :, None, None]).float()
            if products is not None:
                of_map = F.interpolate(products, r.shape[2:]) + of_map
            products = of_map
        h = F.fold(products.flatten(2), 2 * r.shape[-1], 3, padding=1, stride=2)
        h = h.contiguous(memory_format=torch.channels_last)  # as the layers around it
        return relu(h + double.bias[:, None, None])


class Autoencoder(nn.Module):
    """f_dec ∘ f_enc; `encoder` alone gives the features."""

    def __init__(self, channels, L=L, bn=BN["torch"]):
        super().__init__()
        self.encoder, self.decoder = Encoder(channels, L, bn), Decoder(channels, L, bn)

    def forward(self, X):
        return self.decoder(self.encoder(X))


# %% tags=["hide-input"]
def shape_of(block, *inputs):
    return tuple(block(torch.zeros(2, *inputs)).shape[1:])


encoder, decoder = Encoder(C, L, BN[p.bn]), Decoder(C, L, BN[p.bn])
for part, drawn, before in ((encoder, DOWN, "x"), (decoder, UP, "z")):
    for name, (channels, side) in [*drawn.items()][1:-1]:
        if name != "joined":
            of_block = shape_of(
                getattr(part, name), *(drawn[before][i] for i in (0, 1, 1))
            )
            assert of_block == (channels, side, side), name
        before = name
assert shape_of(encoder, C, SIDE, SIDE) == (L,)
assert shape_of(decoder, L) == (C, SIDE, SIDE)
for part in (encoder, decoder):
    count = sum(w.numel() for w in part.parameters())
    print(f"{type(part).__name__}: {count:,} parameters")


# %% [markdown]
# ## The losses in code
#
# One function per equation: {eq}`eq-ics-rec`, {eq}`eq-ics-cls` and {eq}`eq-ics-disp`. The paper calls {eq}`eq-ics-rec` a mean squared error
# but prints a sum over pixels, a factor of 1024 with $\alpha = 1$. {doc}`We take the mean <../book/choices-ics>`; `rec="sum"` runs the printed form.


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


# %% tags=["hide-input"]
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
# The first stage minimises {eq}`eq-ics-rec` over all normal training images. Its encoder is also a baseline: the paper's **CAE**.
# Each method of this page is a class with its parameters, network, losses, stages and score. Outside the page,
# `detectors.load("ics").ICS` is the same class for anybody's images: `ICS(seed=0).fit(images)` trains it.


# %% tags=["define", "hide-input"]
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

    def redraw(self, images, index):
        return training.apply(self.network, images, index)


# %% tags=["hide-input"]
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
# Each training image $x$ is compared with its reconstruction $\hat x$ by the structural similarity SSIM {cite:p}`wang2004ssim`. It
# looks through a small window at corresponding places of both. With the means $\mu$, variances $\sigma^2$ and covariance
# $\sigma_{x\hat x}$ of the pixels in the window,
#
# ```{math}
# :label: eq-ics-ssim
# \text{SSIM} = \frac{2\mu_x \mu_{\hat x} + c_1}{\mu_x^2 + \mu_{\hat x}^2 + c_1} \cdot
# \frac{2\sigma_{x\hat x} + c_2}{\sigma_x^2 + \sigma_{\hat x}^2 + c_2} ,
# \qquad c_1 = 0.01^2 , \quad c_2 = 0.03^2 ,
# ```
#
# averaged over all places. The first factor compares brightness, the second contrast and structure. Both are 1 for equal
# images. The constants avoid a division by zero where a window is black. A squared error asks how much ink is wrong; SSIM asks whether the strokes run
# alike. The $\rho$ % least similar images become $\chi_{atypical}$, the rest $\chi_{typical}$.


# %% tags=["define", "hide-input"]
def inside(shape):
    """Where the pixels of an image (c, h, w) lie once `to_side` has given it a border,
    in rows and columns: a slice."""
    height, width = shape[-2:]
    padded = height == width and SIDE - 4 <= height < SIDE
    before = (SIDE - height) // 2 if padded else 0
    return slice(before, before + height if padded else SIDE)


def split_by(order, train, rho):
    """The first rho % of the training images in this order are atypical, the rest
    typical; neither part is empty."""
    n_aty = min(max(1, round(len(train) * rho / 100)), len(train) - 1)
    return {"typical": train[order[n_aty:]], "atypical": train[order[:n_aty]]}


# %% tags=["define"]
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


def intra_class_split(network, images, train, shape, rho, ssim="gaussian"):
    """From the lowest similarity to the highest. shape: of the images before `to_side`."""
    similar = similarity(network, images, train, inside(shape), ssim)
    return split_by(np.argsort(similar, kind="stable"), train, rho)


# %% tags=["hide-input"]
parts = {  # the same split for ICS and Control
    k: intra_class_split(
        models["CAE"][k].network, images, split.train, shape, p.rho, p.ssim
    )
    for k, split in splits.items()
}

# %% mystnb={"figure": {"name": "fig-ics-gallery", "caption": "Stage 2 at work, as in the paper's Fig. 2: training images of the class with their reconstructions, typical ones green, atypical ones yellow. The picture has the best and the worst; on the screen of the book are those next to the border that ρ sets."}, "image": {"alt": "Four rows of small pictures of one class: typical images, their reconstructions, atypical images, their reconstructions"}} tags=["hide-input"]
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

# %% tags=["remove-input"]
# What the page needs so that readers can move ρ.
order = torch.cat([parts[shown]["atypical"], parts[shown]["typical"]])
some = order[torch.linspace(0, len(order) - 1, min(100, len(order))).long()]
similar = similarity(network, images, some, inside(shape), p.ssim)
Movable(
    "split",
    similar=similar,
    images=len(order),
    start=p.rho,
    range=[math.floor(10 * similar.min()) / 10, 1],
    sprite=sprite(images[some].float() / 255, training.apply(network, images, some)),
)


# %% [markdown]
# In the book, move $\rho$ in {numref}`fig-ics-gallery`, and look at the images next to the border. Atypical is not the same as ugly: SSIM punishes fine detail and low
# contrast, so busy and thin images fall below. That novelties resemble *these* images is the paper's second assumption. Nothing in
# the training data can test it.
#
# ## Stage 3: closeness and dispersion together
#
# The third stage trains the same network further, in three versions that differ in as little as possible:
#
# | method | images per step | loss |
# |---|---|---|
# | **CLS** | 64 of all | $\mathcal L_{rec} + \alpha\mathcal L_{cls}$, no split: the paper's strongest baseline |
# | **ICS** | 64 typical + 64 atypical, our reading | {eq}`eq-ics-total` in full |
# | **Control** | 64 typical + 64 atypical | {eq}`eq-ics-total` with $\beta_1 = \beta_2 = 0$ |
#
# Control is ours. ICS differs from CLS in more than the dispersion loss: in our reading of "minibatch size 64" it also sees twice the images per step. Control
# drops the loss and keeps the rest, so ICS − Control is what the loss does. Two more controls, *Random* and *Double*, take the rest
# apart {doc}`on the page of evidence <ics_evidence>`.


# %% tags=["define", "hide-input"]
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


# %% tags=["define"]
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


# %% tags=["define", "hide-input"]
@dataclass(kw_only=True, eq=False)
class Control(ICS):
    """ICS without the dispersion loss."""

    beta: float = field(default=0.0, init=False)


@dataclass(kw_only=True, eq=False)
class Random(Control):
    """Control with a split by lot, of the same sizes."""

    lot: Annotated[int, Field(ge=0)] = 0  # one seed has a draw for every class

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


# %% tags=["hide-input"]
sets_of = {}  # what the third stage drew from
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
        sets_of[name, k] = sets
        histories[name][k] = model.stage3(images, sets, **how(name, k))
        models[name][k] = model

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-curves", "caption": "This page's run: the reconstruction error, the mean distance of two typical codes (for CLS of any two) and of an atypical code from a typical one, on logarithmic scales. CAE is stage 1, the others start from its last epoch."}, "image": {"alt": "Three line plots over the epochs of a stage, one line per method: reconstruction error, distance of typical codes, distance of atypical from typical codes"}}
terms = {"rec": "reconstruction error", "cls": "typical to typical"}
terms |= {"disp2": "atypical to typical"}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (term, title) in zip(axes, terms.items(), strict=True):
    for number, (method, history) in enumerate(histories.items()):
        if term in history[shown].terms:
            values = np.abs(history[shown].terms[term])
            axis.plot(np.arange(1, len(values) + 1), values, f"C{number}", label=method)
    axis.set(title=title, xlabel="epoch of its stage", yscale="log")
    if axis.lines:  # without ICS nothing has a distance to atypical images
        axis.legend(fontsize=8)
plt.show()

# %% tags=["remove-input"]
last = {m: h[shown].terms for m, h in histories.items() if "disp2" in h[shown].terms}
said = ", ".join(f"{-one['disp2'][-1]:.2g} in {method}" for method, one in last.items())
within = ", ".join(f"{one['cls'][-1]:.2g} in {method}" for method, one in last.items())
tables.Text(
    f"Mean distances in the last epoch of this run, typical to typical: {within}; atypical to typical: {said}."
    if last
    else ""
)

# %% [markdown]
# Compare ICS with Control in the right panel of {numref}`fig-ics-curves`. Only ICS asks for this distance to be large. But its push
# weighs $10^{-5}$ against a pull of 1. Whether the atypical codes follow the typical ones is decided by the images and the
# reconstruction, not by the dispersion loss.
#
# ## From features to a score
#
# The features go to a one-class support vector machine with the kernel $k(z, z') = \exp(-\gamma \lVert z - z' \rVert^2)$, and the paper's
# $\nu = 0.1$ and $\gamma = 1/L$. Write $k(z, z') = \langle \phi(z), \phi(z') \rangle$. The machine looks for a direction $w$ along which the $n$
# training images lie beyond an offset $b$, and forgives shortfalls $\xi_i$:
#
# ```{math}
# \min_{w, b, \xi} \; \tfrac12 \lVert w \rVert^2 + \sum_i \xi_i - \nu n\, b
# \qquad \text{with} \quad \langle w, \phi(z_i) \rangle \ge b - \xi_i , \quad \xi_i \ge 0 .
# ```
#
# **Its dual.** Give the constraints multipliers $a_i \ge 0$ and $c_i \ge 0$, and set the derivatives of
#
# ```{math}
# \tfrac12 \lVert w \rVert^2 + \sum_i \xi_i - \nu n\, b - \sum_i a_i \bigl( \langle w, \phi(z_i) \rangle - b + \xi_i \bigr) - \sum_i c_i \xi_i
# ```
#
# to zero. By $w$: $w = \sum_i a_i \phi(z_i)$. By $\xi_i$: $a_i + c_i = 1$, so $0 \le a_i \le 1$. By $b$: $\sum_i a_i = \nu n$. Put back, all terms but
# the first cancel or join it, and what is left to minimise is
#
# ```{math}
# :label: eq-ics-dual
# \tfrac12 \sum_{i,j} a_i a_j\, k(z_i, z_j) \qquad \text{with} \quad 0 \le a_i \le 1 , \quad \sum_i a_i = \nu n .
# ```
#
# An image beyond the boundary has $\xi_i > 0$, hence $c_i = 0$ and $a_i = 1$. The weights sum to $\nu n$, so at most a share $\nu$ of the
# training images lies outside. Our score is high for anomalous images:
#
# ```{math}
# :label: eq-ics-score
# s(z) = b - \langle w, \phi(z) \rangle = b - \sum_i a_i\, k(z_i, z) .
# ```


# %% tags=["define"]
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


# %% [markdown]
# **What it sees when distances are small.** Closeness makes $\gamma \lVert z - z' \rVert^2 \ll 1$, and then $k(z, z') \approx 1 - \gamma \lVert z - z' \rVert^2$. Let
# $A = \sum_i a_i$, and let $\bar z = \tfrac1A \sum_i a_i z_i$ be the weighted mean. Write $z_i - z_j = (z_i - \bar z) - (z_j - \bar z)$ and expand the square. The mixed
# term vanishes, because $\sum_i a_i (z_i - \bar z) = 0$. The two squares are left:
#
# ```{math}
# :label: eq-ics-variance
# \sum_{i,j} a_i a_j \lVert z_i - z_j \rVert^2 = 2A \sum_i a_i \lVert z_i - \bar z \rVert^2 .
# ```
#
# For a new point the same step gives $\sum_i a_i \lVert z - z_i \rVert^2 = A \lVert z - \bar z \rVert^2 + \text{const}$. Put both into {eq}`eq-ics-dual` and {eq}`eq-ics-score`:
#
# ```{math}
# \tfrac12 \sum_{i,j} a_i a_j\, k(z_i, z_j) \approx \tfrac12 A^2 - \gamma A \sum_i a_i \lVert z_i - \bar z \rVert^2 ,
# \qquad s(z) \approx \text{const} + \gamma A\, \lVert z - \bar z \rVert^2 .
# ```
#
# The machine that can draw any boundary has turned into a distance to one point. And its weights *maximise* a variance: they go to
# that tenth of the training images whose codes are *spread most widely*, and $\bar z$ is their centre. Keep this in mind. ICS makes
# sure that a tenth of the images lies apart.
#
# So we compute the plain distance to the mean of *all* training codes as a second score. Closeness also costs the solver its digits;
# {doc}`the evidence <ics_evidence>` shows when its boundary fails and a repair in one subtraction.


# %% tags=["define", "hide-input"]
SVM_MOST = 6000  # its time grows with the square of the images; one_class has fewer


def thinned(train, seed):
    """Features (n, d) for an SVM: a random part where there are too many."""
    if len(train) > SVM_MOST:
        train = np.random.default_rng(seed).choice(train, SVM_MOST, replace=False)
    return train


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
# ### Baselines and metrics
#
# The same machine is fed with other features: **Original** pixels, the first 64 **PCA** components, **HOG** {cite:p}`dalal2005` with
# nine orientations in 8×8 cells and 2×2 blocks, and the features of a VGG19 {cite:p}`simonyan2015` trained on **ImageNet**. Its weights
# are a download of half a gigabyte, so that row is computed only when `methods` names it.


# %% tags=["hide-input"]
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
# The headline is the **AUROC**: the probability that a novel test image scores higher than a normal one. It needs no threshold.
# The paper's main table shows the **balanced accuracy**, with novel as the positive class,
#
# ```{math}
# :label: eq-ics-bacc
# BACC = \frac12 \left( \frac{TP}{TP + FN} + \frac{TN}{TN + FP} \right) ,
# ```
#
# which does need one. A footnote says where it came from: 20 % of the *test set*, labels included. So the printed values
# presuppose labelled novelties. We compute {eq}`eq-ics-bacc` three ways: by that rule (an oracle), at the machine's own boundary
# $s = 0$, and at the 90 % quantile of the held-out normals. Only the last two could be used in earnest.


# %% tags=["hide-input"]
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


def other_readings(y, train, held_out, test, typical=None):
    """The same codes under the other detectors: their metrics, with the reading behind
    each name. typical: the rows of train that the split calls so, where there is one."""
    detectors = {
        "default_tol": ocsvm_scores(train, held_out, test, tol=1e-3, seed=p.seed),
        "shifted": shifted_scores(train, held_out, test, seed=p.seed),
        "distance": distance_scores(train, held_out, test),
    }
    if typical is not None:
        few = ocsvm_scores(train[typical], held_out, test, seed=p.seed)
        detectors["typical"] = few
    scaled_train, scaled_test = standardised(train, test)
    scaled = ocsvm_scores(scaled_train, scaled_test, seed=p.seed)[0]
    found = {"auroc_standardised": metrics.auroc(y, scaled)[0]}
    for reading, (s_held_out, s_test) in detectors.items():
        of_it = {"auroc": metrics.auroc(y, s_test)[0]}
        of_it |= at_thresholds(y, s_held_out, s_test, reading != "distance")
        found |= {f"{name}_{reading}": value for name, value in of_it.items()}
    return found


# %% tags=["define", "hide-input"]
def contraction(train, held_out, noise):
    """How far closeness got, from codes (n, L): the mean deviation of a coordinate on
    training images and on held-out normals, and the root-mean-square distance of two
    held-out codes, as a share of that to pictures of noise."""
    far = cdist(held_out, noise, "sqeuclidean").mean()
    found = {"code_spread": train.std(0).mean(), "spread": held_out.std(0).mean()}
    found["spread_to_noise"] = (2 * held_out.var(0).sum() / far) ** 0.5
    return {name: float(value) for name, value in found.items()}


# %% tags=["hide-input"]
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
        typical = sets_of.get((method, k), {}).get("typical")
        rows = None if typical is None else np.isin(split.train, typical)
        more |= other_readings(y, train, held_out, test, rows)
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


scores, seconds, found = {}, {}, {k: [] for k in splits}
for k, method in tqdm([(k, m) for k in splits for m in wanted], "score", leave=False):
    scores[k, method], results_ = evaluate(method, k)
    found[k] += results_


# %% tags=["hide-cell"]
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
# ## What this run found

# %% tags=["hide-input"]
COLUMNS = {"auroc": "AUROC", "auroc_distance": "AUROC, distance"}
COLUMNS |= {"bacc_tuned_on_test": "BACC, tuned on test", "bacc_held_out": "quantile"}
COLUMNS |= {"bacc_zero": "own boundary", "held_out_rejected": "rejected"}
COLUMNS |= {"spread": "spread of codes"}
of_run = tables.this_run(found[shown], COLUMNS).reindex(wanted)
caption = "The class shown. BACC by three thresholds; rejected: held-out normals beyond the own boundary, which ν sets near 0.1; spread: of a coordinate on held-out normals."
tables.show(of_run, {"spread of codes": "{:.2g}"}, precision=3, caption=caption)

# %% tags=["remove-input"]
spreads = {m: of_run.loc[m, "spread of codes"] for m in models if m in of_run.index}
closest = [m for m in spreads if m != "CAE"]
done = [m for m in closest if spreads[m] < CONTRACTED]
left = [m for m in closest if m not in done]
words = [f"The best AUROC of this run is that of {of_run['AUROC'].idxmax()}."]
if "CAE" in spreads and closest:
    factor = spreads["CAE"] / min(spreads[m] for m in closest)
    words += [
        f"Closeness drew the codes of CAE together by a factor of up to {factor:,.0f}."
    ]
if closest:
    words += [f"Contracted: {', '.join(done) or 'none'}."]
words += [f"Not contracted: {', '.join(left)}."] * bool(left)
tables.Text(" ".join(words))

# %% [markdown]
# One class and one seed rank nothing; the recorded runs below do. Read this table for `spread`, and for the gap between the last two thresholds.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "This page's run: distance of test codes from the mean training code, on a logarithmic scale, unit areas. Dashed: the 90 % quantile of held-out normals, a threshold that needs no novel image.", "name": "fig-ics-scores"}, "image": {"alt": "Histograms of the distance from the mean training code for normal and novel test images, one panel per trained network, with a dashed threshold"}}
y = splits[shown].reveal()
drawn = {m: scores[shown, m] for m in wanted if scores[shown, m] is not None}
rows_ = -(-len(models) // 2)
figure, axes = plt.subplots(rows_, 2, figsize=(8, 2.3 * rows_), squeeze=False)
beyond = {}
for axis, method in zip(axes.flat, models, strict=False):
    codes = features(method, shown)
    s_held_out, s = (np.log10(v) for v in distance_scores(codes[0], *codes[1:]))
    bins = np.histogram_bin_edges(s, bins=40)
    for label, name, colour in ((0, "normal", plots.NORMAL), (1, "novel", plots.NOVEL)):
        how_drawn = {"density": True, "alpha": 0.65, "color": colour, "label": name}
        axis.hist(s[y == label], bins, **how_drawn)
    threshold = np.quantile(s_held_out, 0.9)
    axis.axvline(threshold, linestyle="--", color="black")
    axis.set(title=method, xlabel="log10 of the distance", yticks=[])
    beyond[method] = (s[y == 1] > threshold).mean()
for axis in axes.flat[len(models) :]:
    axis.set_visible(False)
axes[0][0].legend(fontsize=9)
plt.show()

# %% tags=["remove-input"]
told = ", ".join(f"{share:.0%} in {method}" for method, share in beyond.items())
tables.Text(f"Beyond the dashed line lie, of the novel images: {told}.")

# %% mystnb={"figure": {"name": "fig-ics-roc", "caption": "ROC curves of all methods on the test images of the class shown."}, "image": {"alt": "ROC curves of all methods with the diagonal of chance"}} tags=["hide-input"]
plots.roc(y, drawn)
plt.show()

# %% [markdown]
# ## Looking inside
#
# ### The latent space
#
# The paper's Fig. 3 draws two latent features, with closeness only and with the full loss, and reads off that dispersion keeps the
# abnormal images away. It does not say which features. We take the two coordinates that vary most over the typical training images.

# %% mystnb={"figure": {"name": "fig-ics-latent", "caption": "The two latent coordinates of largest spread, as in the paper's Fig. 3: typical (green) and atypical (yellow) training images, normal (blue) and novel (red) test images. Each panel has its own axes: compare the axis numbers."}, "image": {"alt": "Scatter plots of two latent coordinates for each trained network, coloured by typical, atypical, normal test and novel test images"}} tags=["hide-input"]
groups = [
    ("novel test", splits[shown].test[torch.from_numpy(y == 1)][:400], plots.NOVEL),
    ("normal test", splits[shown].test[torch.from_numpy(y == 0)][:400], plots.NORMAL),
    ("typical", parts[shown]["typical"][:400], plots.TYPICAL),
    ("atypical", parts[shown]["atypical"][:400], plots.ATYPICAL),
]
figure, axes = plt.subplots(2, -(-len(models) // 2), figsize=(8, 5.8), squeeze=False)
ratios = {}
for axis, (method, model) in zip(axes.flat, models.items(), strict=False):
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
    centre = codes["typical"].mean(0)
    away = {name: (z - centre).norm(dim=1).median() for name, z in codes.items()}
    ratios[method] = float(away["novel test"] / away["normal test"])
for axis in axes.flat[len(models) :]:
    axis.set_visible(False)
axes[0][0].legend(fontsize=8, markerscale=2)
plt.show()

# %% tags=["remove-input"]
told = ", ".join(f"{ratio:.1f} times in {method}" for method, ratio in ratios.items())
tables.Text(
    f"From the centre of the typical codes, in all coordinates, the median novel test image lies as far as the median normal one: {told}."
)


# %% [markdown]
# Compare ICS with Control: the paper's figure has no such panel. Two networks, one of them with the loss, cannot show whether the
# loss made the difference.
#
# ### Watching closeness collapse
#
# The derivation said that closeness alone maps everything to a point. Take the encoder of stage 1, train it on {eq}`eq-ics-cls` and
# nothing else, and measure the distances of codes before and after, for normal images and for pictures of pure noise.


# %% tags=["hide-input"]
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
few *= training.steps_per_epoch(of_paper, BATCH)
few = min(few, 75) if p.tier == "smoke" else few
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
formats = dict.fromkeys(shrunk, "{:.2g}") | {"ratio": "{:.1f}"}
tables.show(shrunk.rename_axis("distance of codes"), formats)

# %% tags=["remove-input"]
fell = shrunk.loc["before"] / shrunk.loc["after"]
turned = "grew" if shrunk.ratio["after"] > shrunk.ratio["before"] else "fell"
tables.Text(
    f"Distances within the class fell by a factor of {fell['within normal']:,.0f}, those from normal to noise by {fell['normal to noise']:,.0f}. "
    f"So the ratio that a detector lives on {turned}, from {shrunk.ratio['before']:.1f} to {shrunk.ratio['after']:,.1f}."
)

# %% [markdown]
# The derivation spoke of the minimum, where everything is one point. Training stops long before. What does it contract first? If it is what
# the training images vary in, closeness without any outward push is already a good detector.
#
# ### Failures
#
# Left: the normal test images with the highest scores. Right: the novel ones with the lowest.

# %% mystnb={"figure": {"name": "fig-ics-failures", "caption": "The five worst false alarms and the five worst misses of the last method trained, with the reconstructions of the network behind it."}, "image": {"alt": "Two rows of pictures: five normal images scored as most anomalous and five novel images scored as most normal, above their reconstructions"}} tags=["hide-input"]
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
# ## Beside the paper's tables
#
# From here on the numbers come from recorded runs on the full data sets, committed under `results/` with seed, checksum, commit and
# hardware. Single classes stand on {doc}`the page of evidence <ics_evidence>`.

# %% tags=["hide-input", "same-in-every-run"]
printed = published.read("ics")
DEFAULTS = {"rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
DEFAULTS |= {"bn": "torch", "ssim": "gaussian", "protocol": "one_class"}
every = records.to_frame(replications.counted("ics", p.results)).dropna(subset="value")
recorded = records.one_tier(records.where(every, **DEFAULTS), "dataset")
recorded = recorded[recorded.dataset.isin(["mnist", "fashion_mnist"])]
names = {name: tables.DATASETS[name] for name in ("mnist", "fashion_mnist")}


def values_of(dataset, method, metric="auroc"):
    """One per class, in percent."""
    rows = records.where(recorded, dataset=dataset, metric=metric)
    return 100 * statistics.per_class(rows, method=method)


def beside(methods, metric, table):
    """Means over classes, printed and ours, of both data sets."""
    rows = {}
    for dataset, words in names.items():
        paper = 100 * published.cells("ics", table).loc[dataset].mean()
        for method in methods:
            mine = values_of(dataset, method, metric)
            rows.setdefault(method, {})[words, "paper"] = paper.get(method)
            rows[method][words, "ours"] = mine.mean()
            rows[method][words, "±"] = statistics.half_width(mine)
    return pd.DataFrame(rows).T.astype(float).rename_axis("method")


caption = "AUROC in percent, mean over ten classes, beside Table 4."
methods = ["ICS", "CLS", "CAE", "Original", "PCA", "HOG"]
tables.show(beside(methods, "auroc", "Table 4"), caption=caption)

# %% tags=["remove-input", "same-in-every-run"]
tables.Text(f"The runs: {tables.runs(recorded)}.")

# %% [markdown]
# CAE is the first stage alone and has had half the epochs of CLS and ICS: read no finding from it. ± is {ref}`half the interval of a
# mean over classes <statistics>`.
#
# The second table asks what the threshold is worth. "Tuned" follows the paper and looks at labels; the quantile of held-out normals does not.

# %% tags=["hide-input", "same-in-every-run"]
RULES = {"bacc_tuned_on_test": "tuned", "bacc_held_out": "quantile"}
RULES |= {"bacc_zero": "boundary"}
rows_ = {}
for (dataset, words), method in (
    (d, m) for m in ("ICS", "CLS", "Original") for d in names.items()
):
    row = rows_.setdefault(method, {})
    row[words, "paper"] = (
        100 * published.cells("ics", "Table 1").loc[dataset][method].mean()
    )
    row |= {(words, r): values_of(dataset, method, m).mean() for m, r in RULES.items()}
caption = "Balanced accuracy in percent, mean over ten classes, beside Table 1, by three thresholds of ours."
tables.show(pd.DataFrame(rows_).T.rename_axis("method"), caption=caption)


# %% [markdown]
# ## What holds up


# %% tags=["hide-input", "same-in-every-run"]
def gain(better, worse, dataset, metric="auroc"):
    """Points between two methods over the classes of a data set."""
    rows = records.where(recorded, dataset=dataset, metric=metric)
    more, less = (records.where(rows, method=method) for method in (better, worse))
    return statistics.paired(100 * statistics.differences(more, less))


cells_ = 100 * published.cells("ics", "Table 4").groupby("dataset").mean()
ASKED = {
    "ICS is ahead of CLS on MNIST": ("ICS", "CLS", "mnist"),
    "… of CLS with as many images per step": ("ICS", "Double", "mnist"),
    "… because of the dispersion loss": ("ICS", "Control", "mnist"),
    "ICS is ahead of CLS on Fashion-MNIST": ("ICS", "CLS", "fashion_mnist"),
    "… because of the dispersion loss, there": ("ICS", "Control", "fashion_mnist"),
    "ICS is ahead of raw pixels on MNIST": ("ICS", "Original", "mnist"),
    "ICS is ahead of HOG on Fashion-MNIST": ("ICS", "HOG", "fashion_mnist"),
}
rows_ = []
for claim, (better, worse, dataset) in ASKED.items():
    one = gain(better, worse, dataset)
    known = {better, worse} <= set(cells_)
    row = {"claim": claim, "difference": f"{better} − {worse}"}
    row["paper"] = (
        cells_.loc[dataset, better] - cells_.loc[dataset, worse] if known else None
    )
    rows_.append(
        row | {"ours": one.mean, "±": one.half, "ahead": f"{one.won} of {one.n}"}
    )
caption = (
    "Points of AUROC over classes. Where ± exceeds the difference, the sign is open."
)
tables.show(pd.DataFrame(rows_), caption=caption)

# %% [markdown]
# * **The level of ICS on MNIST holds**, after 6 + 6 epochs. The lead over CLS is ours alone. In AUROC the paper prints CLS ahead, and our
#   CLS falls short of print by about as much as ICS leads it.
# * **Most of that lead is the number of images per step.** In our reading ICS sees 128 and CLS 64; the paper says 64 "for all experiments".
#   The dispersion loss adds nothing.
# * **Fashion-MNIST is open.** On the pullover and the T-shirt three short runs of ICS came apart: typical codes close, atypical ones far. There
#   the machine fails and the plain distance does not, nor, in the one run that tells, does the machine on typical codes alone. That is not the whole shortfall, as the line below shows. On another processor the
#   pullover did not fail; at full length it reaches 89.4 there, where the paper prints 89.9.
# * **The boundary is not to be trusted.** Closeness uses up the digits that the solver keeps. Take the threshold from held-out normals.
# * **The paper's sentences** "27 of 30" and "all 30" do not agree with its own Table 1, and one cell of it is most likely a slip.
#

# %% tags=["remove-input", "same-in-every-run"]
garments = pd.DataFrame({"ours": values_of("fashion_mnist", "ICS")})
garments["print"] = 100 * published.cells("ics", "Table 4").loc["fashion_mnist"].ICS
behind = garments[garments["ours"] < garments["print"] - 2]
if len(garments.dropna()) == 10:  # elsewhere than in the clone there are no records
    known = {"bag", "dress", "shirt", "sneaker", "pullover", "t-shirt"}
    assert set(behind.index) == known
told = ", ".join(
    f"{name} {row['ours']:.1f} ({row['print']:.1f})" for name, row in behind.iterrows()
)
tables.Text(
    f"ICS on Fashion-MNIST, more than 2 points below print: {told}. In brackets the printed AUROC."
)

# %% [markdown]
# {doc}`The evidence <ics_evidence>` has the controls, the runs that failed, other readings of the paper, and what was not shown.
# {doc}`The ledger <../book/claims>` has a verdict on every printed number.
#
# ## Three takeaways
#
# 1. **A loss has an optimum that nobody asked for.** Closeness is free until the codes have contracted, whatever the images.
# 2. **A baseline has to see as many images as the method it is compared with.** "64 per step" for both is not enough when one draws its 64 twice, as in our reading.
# 3. **Ranking and threshold are two questions.** A score may rank well while its own boundary rejects everything.
#
# ## Check yourself
#
# ```{admonition} 1. All codes shrink to a tenth of their distances. What happens to the two losses, and to the AUROC of the plain distance?
# :class: dropdown
# $\mathcal L_{rec}$ stays, because the decoder's normalisation undoes the shrinking. $\mathcal L_{cls}$ falls to a tenth. The AUROC
# stays: all distances shrink alike, and a ranking does not see a common factor.
# ```
#
# ```{admonition} 2. A detector has an AUROC of 0.45 and a balanced accuracy of 0.52. How can that be?
# :class: dropdown
# The threshold was tuned on labelled test images. Calling everything novel already gives one half, so a tuned value cannot fall much below
# it, however bad the ranking. The AUROC says that novel images tend to score *lower* than normal ones.
# ```
#
# ```{admonition} 3. ICS beats CLS. Which comparison tells whether the dispersion loss did it?
# :class: dropdown
# ICS − Control. Both see the same split and as many images per step, and only the loss differs. As we read the paper, CLS differs from
# ICS in four ways at once.
# ```
#
# ## Exercises
#
# The exercises that are marked are in assignment 1 of {doc}`the course <../book/course>`.
#
# 1. *(hard, on paper)* Show that $\mathcal L_{rec} + \alpha\mathcal L_{cls}$ has no minimiser if the decoder starts with a batch normalisation
#    without ε, the encoder ends in a linear layer, and there is no L2 term. What changes with ε, and with the sigmoid at the end of
#    our encoder? To talk about: a marked exercise is close to it.
# 2. *(easy)* Replace `z.roll(1, 0)` by the mean over all pairs. Does the value of {eq}`eq-ics-cls` change in expectation? Its variance?
# 3. *(a run)* Run `beta=0.1`. What happens to `cls`, `disp2` and the rejected share of held-out normals?
# 4. *(a little code)* Instead of twice the images per step, give CLS twice the epochs in its third stage. Is it Double then?
#
# ```{admonition} Solution to exercise 2
# :class: dropdown
# The expectation is the same. In a random batch every pair of different images is as likely as any other, so each distance has the same
# expectation, and so has every mean of them. The variance falls, because more distances are averaged. It falls by less than the number of
# pairs suggests, since pairs share images.
# ```
#
# ```{admonition} Solution to exercise 3
# :class: dropdown
# The push now weighs a tenth of the pull instead of a hundred-thousandth. In the left of the curves nothing need change; watch whether
# `disp2` stays up while `cls` falls. The paper's Table 5 has its lowest means on MNIST and Fashion-MNIST at this value and calls the
# dispersion dominant. Keep `tier` and `seed` as they are, so that nothing else differs.
# ```
#
# ```{admonition} Solution to exercise 4
# :class: dropdown
# `model.stage3` takes the number of epochs from `how`: pass `how("CLS", k) | {"epochs": 2 * EPOCHS}`. It is not Double. Both see as many
# images, but this CLS makes twice as many updates, each with a noisier gradient. For a fair comparison ICS needs the same number of updates.
# ```
