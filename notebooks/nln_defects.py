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
# # NLN on defects: where in the picture is the novelty?
#
# A camera looks down on a production line. You have pictures of sixty flawless parts and none of a flawed one. Is the next part flawed, and if so, *where*? The worker who takes it off the line wants to see the scratch.
#
# {cite:t}`mesarcik2022` write that autoencoders give such maps "for free", and that latent neighbours make them better. Encode the part, decode the codes of the most similar *flawless* parts instead of its own, and subtract. What a flawless part would not show stays behind.
# On MVTec-AD {cite:p}`bergmann2019`, fifteen products with masks of their defects, they report a gain on objects and none on textures.

# %% tags=["hide-input", "same-in-every-run"] mystnb={"figure": {"name": "fig-defects-idea", "caption": "A drawing, not data. Top: the brightness along one line across a scratched part (black), with what each method compares it to (red). Bottom: the absolute difference; the scratch is the shaded stretch. An autoencoder that generalises copies part of the scratch and so loses it. The decoded neighbour is flawless, but it is another part, which lay a little to the left: the scratch stands out, and so do the edges."}, "image": {"alt": "Two columns of line plots. Left, reconstruction: it follows half of the dip and the error at the scratch is small. Right, decoded neighbour: it has no dip but is shifted, and the error is large at the scratch and at both edges"}}
import matplotlib.pyplot as plt
import numpy as np

t = np.linspace(0, 1, 500)


def part(shift, scratch):
    edge = 1 / (1 + np.exp(-(t - 0.2 - shift) / 0.008))
    other = 1 / (1 + np.exp((t - 0.8 - shift) / 0.008))
    return 0.1 + 0.7 * edge * other - scratch * np.exp(-(((t - 0.55) / 0.015) ** 2))


compared = {
    "reconstruction": part(0, 0.3),
    "decoded neighbour": part(-0.02, 0),
}
figure, axes = plt.subplots(
    2,
    2,
    figsize=(8.5, 3.2),
    dpi=110,
    sharex=True,
    sharey="row",
    height_ratios=[2, 1],
    layout="constrained",
)
for column, (title, other) in zip(axes.T, compared.items(), strict=True):
    column[0].plot(t, part(0, 0.5), color="black", label="the part")
    column[0].plot(t, other, color="#d55e00", label=title)
    column[0].legend(fontsize=8, loc="lower center")
    column[1].fill_between(t, np.abs(part(0, 0.5) - other), color="gray")
    for axis in column:
        axis.axvspan(0.52, 0.58, color="#e69f00", alpha=0.3)
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("brightness")
axes[1, 0].set_ylabel("difference")
plt.show()

# %% [markdown]
# {numref}`fig-defects-idea` cuts a flawless part along one line. An autoencoder can copy the defect. A neighbour never does, but its edges lie elsewhere.
#
# **In short.** The printed table lacks the one comparison that would show what the neighbours contribute: the error of the *same* autoencoder. This page makes it, in a smoke run on one drawn object. The only recorded run is of a network that
# learned nothing but a constant. So we can say how to measure the neighbours' share, and not how large it is.
#
# ```{admonition} What you will learn
# * How a score of an image becomes a map of its defects, and what a map of neighbours loses at edges.
# * Which three metrics judge a map, and which of them needs an oracle.
# * How to tell a network that draws a constant from one that has learned.
#
# **Reading:** about 15 minutes. **Running:** a minute or two of one CPU core at the smallest tier.
#
# **You need** {doc}`the notebook on NLN <nln>`, which derives the method. {ref}`Pixel AUROC <metric-pixel-auroc>` and {ref}`intersection over union <metric-iou>` are explained with the metrics.
# ```
#
# The photographs cannot be bundled with a book. So the page runs on small pictures of its own, photographed or drawn, with drawn defects. They exercise every line, and no number of theirs is put beside the paper's. With the real archive the same page runs on that.
#
# ## Setup
#
# `novelty run nln_defects -p KEY=VALUE` replaces the parameters below. The defaults of `model`, `L`, `K` and `alpha` are those of the paper's Table 5.

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
dataset = "synthetic_defects"  # mvtec_ad, folder:PATH
class_name = "nut"  # the product: its name, its number, or all
tier = "smoke"  # smoke (a minute or two), demo (minutes), paper (a GPU)
seed = 0  # of the held-out images, the patches, the weights and the batches
device = "auto"  # auto, cpu or cuda
results = "results"  # folder that the record of this run is written to
model = "AE"  # AE, AE-res or AE-con
L = 128  # dimension of the latent space
K = 1  # number of neighbours
alpha = 0.6  # weight of image space against latent space

# %% tags=["schema", "hide-input"]
from typing import Literal

from pydantic import Field

from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters, defect_class_names


class Parameters(RunParameters):
    """The parameters of a run of NLN on defects."""

    classes_of = staticmethod(defect_class_names)
    dataset: str = Field(description="synthetic_defects, mvtec_ad or folder:PATH")
    model: Literal["AE", "AE-res", "AE-con"] = Field(
        description="plain, with a discriminator, or feature-consistent autoencoder"
    )
    L: int = Field(ge=1, le=4096, description="dimension of the latent space")
    K: int = Field(ge=1, description="number of neighbours, eq. 4")
    alpha: float = Field(
        ge=0, le=1, description="weight of image space against latent space"
    )


p = Parameters.check(globals())

# %% tags=["hide-input"]
import shutil

import matplotlib.pyplot as plt
import pandas as pd

from novelty_utils import records
from novelty_utils.evaluation import metrics, plots
from novelty_utils.ledger import published, tables
from novelty_utils.records import Result

plots.set_style()
pd.set_option("display.max_columns", 40, "display.width", 160)

# %% tags=["define", "hide-input"]
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from novelty_utils import training
from novelty_utils.data import defects
from novelty_utils.evaluation import scoring
from novelty_utils.evaluation.neighbours import nearest
from novelty_utils.progress import tqdm

# %% [markdown]
# ## The pictures
#
# A data set of defects has a folder per product, in the layout of MVTec-AD: flawless pictures to train on, flawless and flawed ones to test on, and a mask for each flawed one.
#
# ```
# CLASS/train/good/000.png
# CLASS/test/good/000.png        CLASS/test/scratch/000.png
#                                CLASS/ground_truth/scratch/000_mask.png
# ```
#
# `mvtec_ad` reads the unpacked archive, `folder:PATH` your own pictures. `synthetic_defects` draws such pictures in memory. *Brick* and *gravel* are cut from two photographs, the left halves for training, the right ones for testing. *Cloth*, *capsule*, *nut* and *zipper* are drawn.
# Every picture has its own position, exposure and noise, and every mask is exact.
#
# One fifth of the flawless training pictures is **held out**. They bring the two parts of the score to one scale and set a threshold; neither the network nor the store of neighbours sees them. Some figures show masks of test pictures. No computation before the metrics uses one.

# %% tags=["define", "hide-input"]
PATCH = 128
TEXTURES = {"brick", "cloth", "gravel", "carpet", "grid", "leather", "tile", "wood"}

# %% tags=["hide-input"]
SIDE = {"smoke": 256, "demo": 512, "paper": 1024}[p.tier]
HELD_OUT = 0.2

watch = records.RunMeter()
names = [defect_class_names(p.dataset)[k] for k in p.labels()]
shown = names[0]  # the figures below show this class


def read(name):
    """One class: its data, the flawless images to train on and the held-out ones."""
    ds = defects.load(p.dataset, name, SIDE)
    n = len(ds.train)
    if n < 2:
        raise InputError(
            f"class_name={name!r} has {n} image to train on; one is held out, so give 2"
        )
    n_held_out = max(1, round(HELD_OUT * n))
    patches = (n - n_held_out) * (ds.train.shape[-1] // PATCH) ** 2
    if patches < K:
        raise InputError(
            f"K={K}: {name!r} has {patches} training patches; choose K of at most that"
        )
    draw = torch.Generator().manual_seed(p.seed)
    order = torch.randperm(n, generator=draw)
    return ds, ds.train[order[n_held_out:]], ds.train[order[:n_held_out]]


ds, sound, held_out = read(shown)
C = ds.images.shape[1]
print(f"{ds.name}, {ds.class_name}, checksum {ds.checksum}")
print(f"{C} × {ds.images.shape[2]} × {ds.images.shape[3]} pixels")
print(f"{len(sound)} images to train on, {len(held_out)} held out")
tables.show(ds.card(), {"defective pixels": "{:.2%}"})


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-data", "caption": "Top: flawless images to train on. Below: test images, two of each kind of defect, with the outline of the mask."}, "image": {"alt": "Grid of pictures of one product: four flawless ones, then pairs of flawed ones with a coloured outline around each defect"}}
def picture(axis, image, mask=None):
    """Draw uint8 or float (c, h, w), the outline of a mask (h, w) over it."""
    pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
    axis.imshow(
        pixels, cmap="gray", vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1
    )
    if mask is not None and mask.any():
        axis.contour(mask, [0.5], colors=plots.NOVEL, linewidths=1)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def examples(kinds, each):
    """The first `each` test images of every kind of defect: a list of indices."""
    flawed = sorted(set(kinds) - {defects.GOOD})
    return [[i for i, k in enumerate(kinds) if k == f][:each] for f in flawed]


masks, kinds = ds.reveal()
chosen = [i for pair in examples(kinds, 2) for i in pair]
figure, axes = plt.subplots(2, max(4, len(chosen)), figsize=(9, 3.3))
for axis in axes.flat:
    axis.set_axis_off()
for axis, image in zip(axes[0], sound, strict=False):
    axis.set_axis_on()
    picture(axis, image)
for axis, i in zip(axes[1], chosen, strict=False):
    axis.set_axis_on()
    picture(axis, ds.test[i], masks[i])
    axis.set_title(kinds[i], fontsize=9)
plt.show()

# %% [markdown]
# ## Patches
#
# The network is small and the pictures are large, so it sees squares of 128 × 128 pixels.
#
# * **A grid without overlap** for everything that is stored or scored: every pixel belongs to one patch.
# * **Random cut-outs** for training, besides the grid: from the central 80 % of the picture, and for textures turned by a random multiple of 90°. A carpet has no upright; a transistor has.
#
# The paper says that "random rotations and crops" follow {cite:t}`bergmann2019`; the rest is from the public code. Mind the scale: at 1024 pixels a patch shows a sixty-fourth of the picture, at the 256 pixels of this run a quarter.

# %% tags=["hide-input"]
images_ = torch.arange(2 * 3 * 256 * 256).view(2, 3, 256, 256)
assert defects.patches(images_).shape == (8, 3, PATCH, PATCH)
assert torch.equal(defects.whole(defects.patches(images_)[:, 0], 256), images_[:, 0])


# %% tags=["define", "hide-input"]
def training_patches(sound, name, seed):
    """uint8 (n, c, 128, 128): the grid, and as many random cut-outs per image as it
    has patches (at least 16)."""
    cuts = max(16, (sound.shape[-1] // PATCH) ** 2)
    random_ = defects.augmented(sound, cuts, seed, name in TEXTURES, PATCH)
    return torch.cat([defects.patches(sound, PATCH), random_])


# %% [markdown]
# ## From a score to a map
#
# {doc}`The notebook on NLN <nln>` arrives at the score of an image $x$ with code $z = f_{enc}(x)$, nearest training codes $z^1, \dots, z^K$ and their decodings $\hat x^k = f_{dec}(z^k)$: the mean absolute difference to the decodings, plus the mean distance to the codes (the paper's eq. 4).
# Leave the mean over pixels undone, and a number remains for every row $n$ and column $m$, here with $C$ colour channels:
#
# ```{math}
# :label: eq-defects-recon
# e_{recon}[n,m] = \frac1C \sum_{c=1}^{C} \bigl| x[c,n,m] - \hat x[c,n,m] \bigr|
# ```
#
# for the plain reconstruction $\hat x = f_{dec}(z)$ (eq. 3), and
#
# ```{math}
# :label: eq-defects-nln
# e_{nln}[n,m] = \frac1{KC} \sum_{k=1}^{K} \sum_{c=1}^{C} \bigl| x[c,n,m] - \hat x^k[c,n,m] \bigr| ,
# \qquad
# d = \frac1K \sum_{k=1}^{K} \lVert z - z^k \rVert
# ```
#
# for the neighbours. The distance $d$ belongs to the patch. It says *which patches* to distrust, while $e_{nln}$ says *where in the patch*.
#
# **One scale.** An error in brightness lies between 0 and 1; a distance of codes has whatever size the encoder gave it. With the mean $\mu$ and deviation $\sigma$ of each part over the held-out flawless pictures, both are on one scale, and no anomaly is needed for it:
#
# ```{math}
# :label: eq-defects-map
# \eta_{nln}[n,m] = \alpha\, \frac{e_{nln}[n,m] - \mu_e}{\sigma_e} + (1-\alpha)\, \frac{d - \mu_d}{\sigma_d} .
# ```
#
# $\alpha = 1$ is the decoded neighbour alone, $\alpha = 0$ a map of constant squares. At $\alpha = 0.5$ both halves have the same weight in units of their own spread.
#
# **A score for the whole picture** has to pool the patches. The paper does not say how. Its public code takes the *mean* of the error over the picture and the *maximum* of the distance over its patches, and so do we, each on its own scale:
#
# ```{math}
# :label: eq-defects-image
# \eta_{image} = \alpha\, \frac{\overline{e} - \mu_{\overline e}}{\sigma_{\overline e}}
#   + (1-\alpha)\, \frac{\max d - \mu_{\max d}}{\sigma_{\max d}} .
# ```
#
# For the models with a discriminator $\overline e$ averages the feature errors of the paper's eqs. 7 and 8. Their maps are {eq}`eq-defects-map` like everyone's, since features have no pixels.

# %% [markdown]
# ## The network, block by block
#
# The paper takes the architecture of {cite:t}`bergmann2019` and names one number, 1.79 million parameters for the feature-consistent model. The layers of the public code have $1.798$ million in colour and $1.794$ million in grey: the printed number, if it was truncated. We take it as a sign that they are the right ones.
# Four convolutions of stride 2 halve the side from 128 to 8, three more mix channels, and a last one, as large as what is left, gives the $L$ numbers of $z$.


# %% tags=["define"]
def conv(inputs, outputs, kernel, stride):
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=1)
    return nn.Sequential(layer, nn.LeakyReLU(0.2))


def up(inputs, outputs):
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Sequential(layer, nn.LeakyReLU(0.2))


class Encoder(nn.Module):
    """f_enc: patches float32 (B, C, 128, 128) in [0, 1] -> codes float32 (B, L).
    Eq. 1."""

    def __init__(self, C, L):
        super().__init__()
        self.shrink = nn.Sequential(
            conv(C, 32, 4, 2),
            conv(32, 32, 4, 2),
            conv(32, 32, 4, 2),
            conv(32, 32, 3, 1),
            conv(32, 64, 4, 2),
        )
        self.mix = nn.Sequential(
            conv(64, 64, 3, 1), conv(64, 64, 3, 1), conv(64, 32, 3, 1)
        )
        self.code = nn.Conv2d(32, L, 8)

    def forward(self, X):
        return self.code(self.mix(self.shrink(X))).flatten(1).float()


# %% tags=["hide-input"]
def shape(block, *size):
    with torch.no_grad():
        return tuple(block(torch.zeros(2, *size)).shape[1:])


assert shape(conv(C, 32, 4, 2), C, 128, 128) == (32, 64, 64)
assert shape(Encoder(C, L).shrink, C, 128, 128) == (64, 8, 8)
assert shape(Encoder(C, L).mix, 64, 8, 8) == (32, 8, 8)
assert shape(Encoder(C, L), C, 128, 128) == (L,)


# %% [markdown]
# The decoder goes back the same way, somewhat wider in the middle. A sigmoid keeps the picture in $(0, 1)$.


# %% tags=["define"]
class Decoder(nn.Module):
    """f_dec: codes float32 (B, L) -> patches float32 (B, C, 128, 128) in (0, 1).
    Eq. 2."""

    def __init__(self, C, L):
        super().__init__()
        self.start = nn.Sequential(nn.ConvTranspose2d(L, 32, 8), nn.LeakyReLU(0.2))
        self.mix = nn.Sequential(
            conv(32, 64, 3, 1), conv(64, 128, 3, 1), conv(128, 64, 3, 1)
        )
        self.grow = nn.Sequential(
            up(64, 32), conv(32, 32, 3, 1), up(32, 32), up(32, 32)
        )
        self.paint = nn.ConvTranspose2d(32, C, 4, stride=2, padding=1)

    def forward(self, z):
        h = self.grow(self.mix(self.start(z[:, :, None, None])))
        return torch.sigmoid(self.paint(h).float())


# %% tags=["hide-input"]
assert shape(Decoder(C, L).start, L, 1, 1) == (32, 8, 8)
assert shape(Decoder(C, L).mix, 32, 8, 8) == (64, 8, 8)
assert shape(Decoder(C, L).grow, 64, 8, 8) == (32, 64, 64)
assert shape(Decoder(C, L), L) == (C, 128, 128)

# %% [markdown]
# Three models share them. `AE` is the plain autoencoder of Table 5. `AE-res`, the paper's choice for Table 4, adds a discriminator $d_x$: an encoder with one more unit, whose inner layer $q$ has $H = L$ numbers. `AE-con` adds a second encoder $f_{con}$ for reconstructions.


# %% tags=["define"]
class Autoencoder(nn.Module):
    """f_dec ∘ f_enc."""

    def __init__(self, C, L):
        super().__init__()
        self.encoder, self.decoder = Encoder(C, L), Decoder(C, L)

    def forward(self, X):
        return self.decoder(self.encoder(X))


class Critic(nn.Module):
    """d_x before its sigmoid: patches -> logits (B, 1); `features` is q. Eq. 5."""

    def __init__(self, C, L):
        super().__init__()
        self.features, self.verdict = Encoder(C, L), nn.Linear(L, 1)

    def forward(self, X):
        return self.verdict(self.features(X)).float()


class ResidualAutoencoder(Autoencoder):
    """An autoencoder whose reconstructions have to pass for real patches."""

    def __init__(self, C, L):
        super().__init__(C, L)
        self.critic = Critic(C, L)


class ConsistentAutoencoder(ResidualAutoencoder):
    """The same with a second encoder f_con that encodes the reconstruction again."""

    def __init__(self, C, L):
        super().__init__(C, L)
        self.re_encoder = Encoder(C, L)


# %% tags=["hide-input"]
def millions(network):
    return round(sum(w.numel() for w in network.parameters()) / 1e6, 3)


if L == 128:  # the paper's 1.79 million, if it was truncated
    assert millions(ConsistentAutoencoder(3, L)) == 1.798
    assert millions(ConsistentAutoencoder(1, L)) == 1.794
for make in (Autoencoder, ResidualAutoencoder, ConsistentAutoencoder):
    print(f"{make.__name__}: {millions(make(C, L))} million parameters")

# %% [markdown]
# ## Training
#
# The losses are those of {doc}`the notebook on NLN <nln>`: the squared error for `AE`; a weak adversarial term for `AE-res`; and for `AE-con` reconstruction, matching of the critic's features and agreement of the two codes. The critic is trained against eq. 6, on the same batches.


# %% tags=["define"]
ADVERSARIAL = 0.01


def squared_error(X, X_hat):
    """Mean over everything; a scalar."""
    return (X - X_hat).square().mean()


def ae_loss(model, batch):
    l_rec = squared_error(batch["all"], model(batch["all"]))
    return {"loss": l_rec, "rec": l_rec}


def res_loss(model, batch):
    X_hat = model(batch["all"])
    l_rec = squared_error(batch["all"], X_hat)
    l_adv = F.softplus(-model.critic(X_hat)).mean()
    return {"loss": l_rec + ADVERSARIAL * l_adv, "rec": l_rec, "adv": l_adv}


def con_loss(model, batch):
    X = batch["all"]
    z = model.encoder(X)
    X_hat = model.decoder(z)
    q = model.critic.features(X).detach()
    l_rec = squared_error(X, X_hat)
    l_adv = squared_error(q, model.critic.features(X_hat)) / q.var()
    l_con = squared_error(z, model.re_encoder(X_hat))
    total = 50 * l_rec + l_adv + l_con
    return {"loss": total, "rec": l_rec, "adv": l_adv, "con": l_con}


def critic_loss(model, batch):
    """Minus eq. 6, on logits."""
    with torch.no_grad():
        X_hat = model(batch["all"])
    real, fake = model.critic(batch["all"]), model.critic(X_hat)
    l_critic = F.softplus(-real).mean() + F.softplus(fake).mean()
    return {"loss": l_critic, "critic": l_critic}


# %% [markdown]
# The paper trains for 50 epochs with Adam at $10^{-4}$. With a few dozen pictures that is next to nothing. So the two small tiers fix the number of *steps*, at a rate of $10^{-3}$: 200 steps of 32 patches for `smoke`, 1000 of 64 for `demo`.
#
# Is that enough? A network can reach the error of the mean training patch by drawing that patch for every input, and some trainings end there. So the page compares the two errors on held-out pictures, below, and records both.

# %% tags=["hide-input"]
STEPS = {"smoke": 200, "demo": 1000}
BATCH = {"smoke": 32, "demo": 64, "paper": 128}[p.tier]
LR = 1e-4 if p.tier == "paper" else 1e-3
CRITIC_LR = 1e-4

critic_step = training.Objective(critic_loss, ("critic",), lr=CRITIC_LR)
MODELS = {
    "AE": (Autoencoder, [training.Objective(ae_loss, lr=LR)]),
    "AE-res": (
        ResidualAutoencoder,
        [training.Objective(res_loss, ("encoder", "decoder"), lr=LR), critic_step],
    ),
    "AE-con": (
        ConsistentAutoencoder,
        [
            training.Objective(con_loss, ("encoder", "decoder", "re_encoder"), lr=LR),
            critic_step,
        ],
    ),
}


def train(name, sound):
    """Train the chosen model on one class; returns it and its history."""
    make, steps = MODELS[p.model]
    C, seen = sound.shape[1], training_patches(sound, name, p.seed)
    network = training.build(lambda: make(C, L), p.seed)
    everything = {"all": torch.arange(len(seen))}
    detector = training.Job(network, everything, p.seed, f"{p.model} {name}")
    per_epoch = max(1, len(seen) // min(BATCH, len(seen)))
    # an interrupted run resumes from here
    checkpoint = None if p.tier == "smoke" else records.scratch("nln_defects", p) / name
    history = training.fit(
        [detector],
        seen,
        steps,
        epochs=50 if p.tier == "paper" else max(1, round(STEPS[p.tier] / per_epoch)),
        batch=BATCH,
        device=p.device,
        checkpoint=checkpoint,
        label=f"{p.model} {name}",
    )
    return network, history[0]


network, history = train(shown, sound)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-curve", "caption": "Terms of the loss over the epochs, on a logarithmic scale, for the class shown."}, "image": {"alt": "Line plot of the terms of the loss over epochs"}}
plots.curves({f"{p.model}, {shown}": history.terms})
plt.show()

# %% [markdown]
# ## The bank
#
# The bank holds the code of every grid patch of the flawless training pictures, in $4L$ bytes each, and nothing else. Held-out pictures would find themselves at distance zero. A turned copy of a patch would make the second neighbour a copy of the first.


# %% tags=["define", "hide-input"]
def through(part, inputs):
    """What a part of the network makes of patches uint8 or float32 (n, c, 128, 128), or
    of codes float32 (n, L); float32, on the CPU."""
    return training.apply(part, inputs, torch.arange(len(inputs)))


# %% tags=["hide-input"]
bank = through(network.encoder, defects.patches(sound))
print(f"{len(bank)} codes, {bank.numel() * 4 / 1e6:.2f} MB")
print(f"the paper's bank for bottle: {209 * 16 * 4 * 128 * 4 / 1e6:.2f} MB")

# %% [markdown]
# ## From pictures to maps
#
# For each patch: encode, look up, decode the neighbours, subtract. This gives {eq}`eq-defects-recon`, both halves of {eq}`eq-defects-nln`, and the feature error of the model, if it has one.


# %% tags=["define"]
def feature_error(network, patches, z, X_hat_k):
    """The first half of eqs. 7 and 8 for each patch, (B,), of patches (B, c, s, s),
    their codes z and K decoded neighbours."""
    if isinstance(network, ConsistentAutoencoder):
        # eq. 8: z against f_con of the decoded neighbours
        own, inner = z, network.re_encoder
    else:  # eq. 7: q of the patch against q of the decoded neighbours
        inner = network.critic.features
        own = through(inner, patches)
    errors = [(own - through(inner, X_hat)).abs().mean(1) for X_hat in X_hat_k]
    return torch.stack(errors).mean(0)


def patch_parts(network, bank, patches, K):
    """The parts of the score of patches uint8 (B, c, s, s): maps `recon` and `nln`
    (B, s, s), `dist` (B,), and `feature` (B,) where the model has features."""
    X, z = patches.float() / 255, through(network.encoder, patches)
    distances, indices = nearest(z, bank, K)
    X_hat = through(network.decoder, z)
    X_hat_k = [through(network.decoder, bank[index]) for index in indices.T]
    found = {
        "recon": (X - X_hat).abs().mean(1),
        "nln": torch.stack([(X - other).abs().mean(1) for other in X_hat_k]).mean(0),
        "dist": distances.mean(1),
    }
    if isinstance(network, ResidualAutoencoder):
        found["feature"] = feature_error(network, patches, z, X_hat_k)
    return found


# %% tags=["define", "hide-input"]
def in_parts(function, pictures):
    """Apply a function of patches to all patches of pictures uint8 (n, c, h, h): maps
    come back as (n, h, h), numbers as (n, patches); numpy, float32."""
    patches, side = defects.patches(pictures), pictures.shape[-1]
    chunks = tqdm(patches.split(128), "score", leave=False, delay=2)
    found = [function(chunk) for chunk in chunks]
    joined = {key: torch.cat([part[key] for part in found]) for key in found[0]}
    return {
        key: (
            defects.whole(value, side)
            if value.ndim == 3
            else value.view(len(pictures), -1)
        ).numpy()
        for key, value in joined.items()
    }


def score(network, bank, pictures, K):
    """The parts of the score of pictures uint8 (n, c, h, h)."""
    return in_parts(lambda some: patch_parts(network, bank, some, K), pictures)


# %% tags=["hide-input"]
def held_out_errors(reference, sound, held_out, name):
    """Mean absolute error on held-out pictures, of the network and of the mean training
    patch; a warning where they agree, for then the network may draw a constant."""
    seen = training_patches(sound, name, p.seed)
    mean = sum(some.float().sum(0) for some in seen.split(512)) / len(seen)
    constant = (defects.patches(held_out).float() - mean).abs().mean() / 255
    errors = {p.model: float(reference["recon"].mean()), "mean patch": float(constant)}
    if abs(errors[p.model] / errors["mean patch"] - 1) < 0.02:
        print("WARNING: on held-out pictures the network is no better than a constant")
    return errors


test, reference = (score(network, bank, part, K) for part in (ds.test, held_out))
errors = held_out_errors(reference, sound, held_out, shown)
told = [f"{name} {error:.3f}" for name, error in errors.items()]
tables.Text(f"Mean absolute error on held-out pictures: {', '.join(told)}.")

# %% [markdown]
# Next, one scale for both halves, and their sum, for any $\alpha$: {eq}`eq-defects-map` for pixels, {eq}`eq-defects-image` for whole pictures.


# %% tags=["define"]
def on_one_scale(found, reference):
    """Each part in standard deviations above the held-out flawless images, float32."""
    return {
        key: np.float32(scoring.standardise(found[key], reference[key]))
        for key in found
    }


def to_pixels(numbers, side):
    """One number per patch, (n, patches), as a map (n, side, side)."""
    per = side // PATCH
    grid = numbers.reshape(-1, per, per)
    return grid.repeat(PATCH, 1).repeat(PATCH, 2)


def nln_map(scaled, alpha):
    """eta_nln, float32 (n, h, h), of parts on one scale."""
    d = to_pixels(scaled["dist"], scaled["nln"].shape[-1])
    return np.float32(alpha) * scaled["nln"] + np.float32(1 - alpha) * d


def pooled(found):
    """What a whole image gets of each part, (n,): the mean of an error, the maximum of
    a distance."""
    error = found.get("feature", found["nln"].reshape(len(found["nln"]), -1))
    recon = found["recon"].reshape(len(error), -1)
    return {
        "recon": recon.mean(1),
        "error": error.mean(1),
        "dist": found["dist"].max(1),
    }


def nln_image(scaled, alpha):
    """eta_image, (n,), of pooled parts on one scale."""
    return alpha * scaled["error"] + (1 - alpha) * scaled["dist"]


# %% tags=["hide-input"]
scaled = on_one_scale(test, reference)
four = to_pixels(np.arange(4.0).reshape(1, 4), 2 * PATCH)[0]
assert four[::255, ::255].tolist() == [[0, 1], [2, 3]]
eta = nln_map(scaled, alpha)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-maps", "caption": "As in the paper's Figs. 1 and 4, one picture per kind of defect and a flawless one below: the input with the outline of its mask, its reconstruction, the decodings of the nearest codes, the two errors (the same grey scale), the distance of the codes, one number per patch, and the map that adds the last two."}, "image": {"alt": "Rows of seven pictures: input with outlined defect, reconstruction, decoded neighbours, error of the reconstruction, error against the neighbours, distance per patch, and their weighted sum"}}
def redrawn(image):
    """The reconstruction of one image (1, c, h, h) and its decoded first neighbours,
    each (c, h, h)."""
    z = through(network.encoder, defects.patches(image))
    codes = (z, bank[nearest(z, bank, 1)[1][:, 0]])
    drawn = [through(network.decoder, code) for code in codes]
    side = image.shape[-1]
    return [torch.cat([defects.whole(c, side) for c in d.unbind(1)]) for d in drawn]


rows = [pair[0] for pair in examples(kinds, 1)] + [kinds.index(defects.GOOD)]
columns = ["input", "reconstruction", "decoded\nneighbours", "error of\nreconstruction"]
columns += ["error against\nneighbours", "distance", f"map, α = {alpha:g}"]
bright = np.quantile(test["nln"], 0.999)
distance = to_pixels(test["dist"], test["nln"].shape[-1])
low, high = np.quantile(eta, [0.02, 0.999])
figure, axes = plt.subplots(len(rows), 7, figsize=(9, 1.42 * len(rows)), squeeze=False)
for line, i in zip(axes, rows, strict=True):
    picture(line[0], ds.test[i], masks[i])
    line[0].set_ylabel(kinds[i], fontsize=9)
    for axis, drawn in zip(line[1:3], redrawn(ds.test[[i]]), strict=True):
        picture(axis, drawn)
    line[3].imshow(test["recon"][i], cmap="gray", vmin=0, vmax=bright)
    line[4].imshow(test["nln"][i], cmap="gray", vmin=0, vmax=bright)
    line[5].imshow(distance[i], cmap="gray", vmin=0, vmax=distance.max())
    line[6].imshow(eta[i], cmap="magma", vmin=low, vmax=high)
    for axis in line:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
for axis, title in zip(axes[0], columns, strict=True):
    axis.set_title(title, fontsize=9)
plt.show()

# %% [markdown]
# Read {numref}`fig-defects-maps` from left to right.
#
# * The **reconstruction** is a smoothed likeness. Where the defect has left a trace in it, the error lacks that much.
# * The **decoded neighbours** are flawless, but they are not *this* part. Whatever lies elsewhere in them is an error too, and seams may show.
# * The **distance** says how unusual the code of a patch is. It draws no outline. When a defect crosses a seam, two patches light up.
#
# The method pays where the gain at the defect is larger than the loss at all the edges that do not match. A rigid object in a fixed place has little to lose. In an irregular texture no stored patch has its stones in the same place: there one should expect it to fail.

# %% [markdown]
# ## Metrics
#
# Three, and their small print ({ref}`more <metric-pixel-auroc>`):
#
# * **Pixel AUROC** ranks all pixels of all test pictures in one pile, Table 5's metric.
# * **Image AUROC** ranks pictures; flawed is positive. Table 4's metric.
# * **IoU** compares marked with defective pixels, and so needs a threshold. The authors' code takes the best one *by the test masks*, an **oracle**. Ours marks what exceeds 99 % of the pixels of held-out flawless pictures, which anyone can set.
#
# Two detectors without any network stand beside, for scale:
#
# * **mean image**: the difference to the mean of the flawless training pictures;
# * **pixel neighbour**: the difference to the nearest *training patch itself*, found by comparing thumbnails of 32 × 32 pixels. NLN without code, decoder and blur.


# %% tags=["define", "hide-input"]
def mean_image(sound, pictures):
    """Mean absolute difference to the mean training image: {"recon": (n, h, h)}."""
    mean = sound.float().mean(0)
    maps = [(image - mean).abs().mean(0) / 255 for image in pictures]
    return {"recon": torch.stack(maps).numpy()}


def pixel_neighbour(sound, pictures):
    """Mean absolute difference to the training patch whose thumbnail is nearest."""
    stored = defects.patches(sound)

    def thumbnails(patches):
        return F.avg_pool2d(patches.float() / 255, 4).flatten(1)

    small = thumbnails(stored)

    def error(patches):
        _, index = nearest(thumbnails(patches), small, 1)
        difference = patches.float() - stored[index[:, 0]].float()
        return {"recon": difference.abs().mean(1) / 255}

    return in_parts(error, pictures)


# %% tags=["hide-input"]
def quality(maps, image_scores, held_out_maps, truth):
    """The metrics of one detector."""
    masks, kinds = truth
    y = np.array([kind != defects.GOOD for kind in kinds], dtype=np.int64)
    oracle = metrics.oracle_threshold(masks, maps)
    practical = float(np.quantile(held_out_maps, 0.99))
    return {
        "pixel_auroc": metrics.pixel_auroc(masks, maps),
        "image_auroc": metrics.auroc(y, image_scores)[0],
        "iou_oracle": metrics.iou(masks, maps, oracle),
        "iou_held_out": metrics.iou(masks, maps, practical),
    }


GRID = sorted({a / 10 for a in range(11)} | {p.alpha})


def evaluate(ds, sound, held_out, test, reference):
    """All metrics of one class: {(method, alpha or None): {metric: value}}."""
    truth = ds.reveal()
    plain = {"recon": (test, reference)}
    for name, detector in (
        ("mean image", mean_image),
        ("pixel neighbour", pixel_neighbour),
    ):
        plain[name] = (detector(sound, ds.test), detector(sound, held_out))
    found = {}
    for name, (of_test, of_held_out) in plain.items():
        maps, known = of_test["recon"], of_held_out["recon"]
        found[name, None] = quality(maps, maps.mean((1, 2)), known, truth)
    scaled, known = on_one_scale(test, reference), on_one_scale(reference, reference)
    images = on_one_scale(pooled(test), pooled(reference))
    for alpha in tqdm(GRID, "metrics", leave=False, delay=2):
        maps, image = nln_map(scaled, alpha), nln_image(images, alpha)
        found["NLN", alpha] = quality(maps, image, nln_map(known, alpha), truth)
    return found


found = evaluate(ds, sound, held_out, test, reference)

# %% [markdown]
# ### This run
#
# Side by side: the paper's $\alpha$ (0.6 in Table 5), the $\alpha$ that needs no anomaly (0.5), and the best of the grid *by the test masks*, an oracle as in the paper's Fig. 6. The image AUROC rests on a few dozen pictures: its third digit means nothing.

# %% tags=["hide-input"]
METRICS = {
    "pixel_auroc": "pixel AUROC",
    "image_auroc": "image AUROC",
    "iou_oracle": "IoU, oracle threshold",
    "iou_held_out": "IoU, 99 % of held out",
}


def side_by_side(found):
    """One row per detector: the plain ones, and NLN with three choices of alpha."""
    rows = {
        name: found[name, None] for name in ("mean image", "pixel neighbour", "recon")
    }
    rows |= {f"NLN, α = {a:g}": found["NLN", a] for a in sorted({p.alpha, 0.5})}
    grid = pd.DataFrame({a: found["NLN", a] for a in GRID})
    table = pd.DataFrame(rows | {"NLN, best α (oracle)": grid.max(axis=1)})
    return table.T.rename(columns=METRICS)


y = np.array([kind != defects.GOOD for kind in kinds], dtype=np.int64)
images = on_one_scale(pooled(test), pooled(reference))
_, low, high = metrics.auroc(y, nln_image(images, p.alpha))
print(f"{p.dataset}, {shown}, {p.tier} tier, seed {p.seed}")
print(f"95 % interval of the image AUROC at α = {p.alpha:g}: {low:.3f} to {high:.3f}")
tables.show(side_by_side(found).rename_axis("method"), precision=3)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-alpha", "caption": "The three metrics of the paper's Fig. 6 against α, for the class shown. Dotted: the reconstruction error, dashed: the nearest training patch without a network. The vertical line is the α of the run. The curves are drawn, not used: nothing was chosen by them."}, "image": {"alt": "Three line plots against alpha: pixel AUROC, image AUROC, and IoU with two thresholds, with horizontal lines for reconstruction and pixel neighbour"}}
curve = pd.DataFrame({a: found["NLN", a] for a in GRID}).T
panels = {
    "pixel AUROC": ["pixel_auroc"],
    "image AUROC": ["image_auroc"],
    "IoU": ["iou_oracle", "iou_held_out"],
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
for axis, (title, keys) in zip(axes, panels.items(), strict=True):
    for key, colour in zip(keys, (plots.NOVEL, plots.NORMAL), strict=False):
        axis.plot(curve.index, curve[key], "o-", ms=3, color=colour, label=METRICS[key])
        for name, style in (("recon", ":"), ("pixel neighbour", "--")):
            value = found[name, None][key]
            axis.axhline(value, linestyle=style, color=colour, alpha=0.7, lw=1.2)
    axis.axvline(p.alpha, color="gray", lw=0.8)
    axis.set(title=title, xlabel="α")
    if len(keys) > 1:
        axis.legend(fontsize=7)
plt.show()

# %% [markdown]
# The left end of each curve in {numref}`fig-defects-alpha` is the distance alone, the right end the decoded neighbour alone. *Does the curve rise above both ends?* Then the two halves know different things. *Is its right end above the dotted line?* Then decoding a neighbour beats decoding the code itself, which is the claim in its purest form.
#
# (In the public code, the script behind the paper's Fig. 6 puts $\alpha$ on the *distance*, eq. 4 puts it on the error. The printed axis may be mirrored.)
#
# ### Which defects are found?
#
# Pixel AUROC kind by kind: the pixels of one kind of flawed pictures and of all flawless ones.

# %% tags=["hide-input"]
maps = {"recon": test["recon"]}
maps |= {f"NLN, α = {a:g}": nln_map(scaled, a) for a in sorted({p.alpha, 1.0})}
by_kind = {}
for kind in sorted(set(kinds) - {defects.GOOD}):
    use = np.array([k in (kind, defects.GOOD) for k in kinds])
    by_kind[kind] = {
        name: metrics.pixel_auroc(masks[use], m[use]) for name, m in maps.items()
    }
tables.show(pd.DataFrame(by_kind).T.rename_axis("kind"), precision=3)

# %% [markdown]
# ### From a map to a region
#
# What a user would get to see: the pixels above a threshold.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-regions", "caption": "The same pictures as above. Defective pixels (mask), then the pixels that the map marks: above 99 % of the pixels of held-out flawless pictures, and above the oracle's threshold, which was chosen with all masks of the test part."}, "image": {"alt": "Rows of four pictures: input, mask, region above the held-out threshold, region above the oracle threshold"}}
known = nln_map(on_one_scale(reference, reference), alpha)
thresholds = {
    "99 % of held out": np.quantile(known, 0.99),
    "oracle": metrics.oracle_threshold(masks, eta),
}
figure, axes = plt.subplots(4, len(rows), figsize=(1.7 * len(rows), 6.8), squeeze=False)
for column, i in zip(axes.T, rows, strict=True):
    picture(column[0], ds.test[i])
    column[0].set_title(kinds[i], fontsize=9)
    column[1].imshow(masks[i], cmap="gray", vmin=0, vmax=1)
    for axis, threshold in zip(column[2:], thresholds.values(), strict=True):
        axis.imshow(eta[i] > threshold, cmap="gray", vmin=0, vmax=1)
    for axis in column:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
for axis, title in zip(axes[:, 0], ("input", "mask", *thresholds), strict=True):
    axis.set_ylabel(title, fontsize=9)
plt.show()

# %% [markdown]
# The oracle marks too much. It takes the largest difference of two *rates*, so five false alarms per hundred sound pixels cost as much as five misses per hundred defective ones, and sound pixels are many. Its IoU is low for this reason before it says anything about the map.

# %% [markdown]
# ## All classes of the run, recorded
#
# One record per class, with every metric of every detector. With `class_name="all"` the other classes follow here, one at a time.


# %% tags=["hide-input", "remove-output"]
def as_results(found):
    """One Result per method, alpha and metric."""
    return [
        Result(
            method=method,
            metric=metric,
            value=value,
            note="" if alpha is None else f"alpha={alpha:g}",
        )
        for (method, alpha), values in found.items()
        for metric, value in values.items()
    ]


def record(ds, found, errors, history, seconds):
    """Write the record of one class."""
    extra = [
        Result(method=method, metric="held_out_error", value=error)
        for method, error in errors.items()
    ]
    trained = {p.model: records.trained(history)}
    cost = (seconds, watch.peak_memory_mb())
    made = records.make(
        "nln_defects", p, ds, ds.class_name, as_results(found) + extra, trained, *cost
    )
    print("recorded in", records.write(made, p.results))


record(ds, found, errors, history, watch.seconds())

# %% tags=["hide-input"]
for name in names[1:]:
    started = watch.seconds()
    ds_, sound_, held_out_ = read(name)
    network_, history_ = train(name, sound_)
    bank_ = through(network_.encoder, defects.patches(sound_))
    parts_ = [score(network_, bank_, pictures, K) for pictures in (ds_.test, held_out_)]
    found_ = evaluate(ds_, sound_, held_out_, *parts_)
    errors_ = held_out_errors(parts_[1], sound_, held_out_, name)
    record(ds_, found_, errors_, history_, watch.seconds() - started)
shutil.rmtree(records.scratch("nln_defects", p), ignore_errors=True)

# %% [markdown]
# ## Recorded runs
#
# What follows is read from records. Runs of the smoke tier, such as the one on this page, are left out.
#
# ### On our own pictures (synthetic)
#
# Pixel and image AUROC in percent. **These are drawn pictures with drawn defects**: the numbers say what the code does, not what the method does on real parts.

# %% tags=["hide-input"]

SETTINGS = {"model": "AE", "L": 128, "K": 1}
printed = records.where(published.read("nln"), dataset="mvtec_ad")
every = records.to_frame(records.read_with_reference("nln_defects", p.results))


def recorded(dataset):
    """Results on a data set, default settings, of the tier with most classes; a method's
    name tells its alpha."""
    rows = records.where(every, dataset=dataset)
    if not len(rows):
        return rows
    rows = records.one_tier(records.where(rows, **SETTINGS), "dataset")
    same = ["class_name", "tier", "seed", "method", "metric", "note"]
    rows = rows.drop_duplicates(same)
    alpha = rows.note.fillna("").str.removeprefix("alpha=")
    named = rows.method.where(alpha == "", rows.method + ", α = " + alpha)
    return rows.assign(method=named)


COLUMNS = ["mean image", "pixel neighbour", "recon"]
COLUMNS += [f"NLN, α = {a}" for a in ("0", "0.5", "0.6", "1")]


def by_kind(rows, methods, printed):
    """Classes in rows, textures first, each kind with its mean; percent."""
    parts = {}
    for kind, is_texture in (("texture", True), ("object", False)):
        mine, paper = (
            some[some.class_name.isin(TEXTURES) == is_texture]
            for some in (rows, printed)
        )
        parts[kind] = tables.beside(mine, methods, paper)
    return pd.concat(parts, names=["kind", "class"])


def show(dataset, metric):
    rows = recorded(dataset)
    if not len(rows):
        return print(f"{tables.DATASETS[dataset]}: {tables.NOTHING}")
    both = by_kind(records.where(rows, metric=metric), COLUMNS, printed[:0])
    return tables.show(both, caption=tables.runs(rows))


show("synthetic_defects", "pixel_auroc")

# %% tags=["hide-input"]
show("synthetic_defects", "image_auroc")

# %% [markdown]
# **Read *brick* with care.** Its recorded network, in the demo tier, learned a constant. Its error on the training patches is their variance. Its error on held-out pictures is that of the mean training patch. And "NLN, α = 1" equals `recon` in every digit
# shown: if every code decodes to the same patch, so does the neighbour's. What is left of NLN in this row is the distance of codes.

# %% [markdown]
# ### Beside the paper's Table 5
#
# Pixel AUROC on MVTec-AD, in percent, as printed: two autoencoders of {cite:t}`bergmann2019`, a network that fills in masked regions (SMAI), a VAE with attention maps (VE-VAE) and NLN. Our columns appear once a run on the real archive is recorded: `novelty run nln_defects -p dataset=mvtec_ad -p class_name=all -p tier=paper -p results=results`.

# %% tags=["hide-input"]
mine = recorded("mvtec_ad")
of_paper = ["AE-L2", "AE-SSIM", "SMAI-L2", "VE-VAE", "NLN"]
rows = records.where(mine, metric="pixel_auroc")
both = by_kind(rows, of_paper + COLUMNS, records.where(printed, table="Table 5"))
print(f"{tables.DATASETS['mvtec_ad']}: {tables.runs(mine)}")
tables.show(both, precision=1 if len(mine) else 0)

# %% [markdown]
# And the image scores. The paper prints one mean over the fifteen classes, for AE-res with $\alpha = 0.8$ (Table 4):

# %% tags=["hide-input"]
table4 = records.where(printed, table="Table 4").set_index("method").value
table4 = (100 * table4).rename("paper, image AUROC").to_frame()
if len(mine):
    rows = records.where(mine, metric="image_auroc")
    image = tables.overview(rows, ["method"], {"ours (AE)": {}}).set_index("method")
    table4 = table4.join(image["ours (AE)"], how="outer")
tables.show(table4)

# %% [markdown]
# ## What the paper leaves unsaid, and what we chose
#
# ```{admonition} Fourteen choices, and why
# :class: dropdown
#
# | open | our choice | why |
# |---|---|---|
# | layers | those of the public code | they have the printed number of parameters, if it was truncated |
# | last layer of the discriminator: the paper replaces the encoder's by a dense layer with a sigmoid | kept, and one unit added | the public code |
# | size of the pictures | 1024 pixels for all (paper tier) | the public code; it takes 1000 for *capsule*, which 128 does not divide |
# | rotations, crops | multiples of 90° for textures only; cut-outs of the central 80 % | the public code; objects have an upright |
# | grey classes | one channel where all pictures are grey (*grid*, *screw*, *zipper*) | as stored |
# | what the bank holds | the grid patches of the training pictures, 64 each | the count in the paper's footnote on storage |
# | batch, loss | 128, squared error | neither is printed; the public code changed both over time |
# | the norm in eq. 4 | Euclidean | the public code |
# | bringing both halves to one scale | mean and deviation on held-out flawless pictures | the public code uses the minimum and maximum *of the test set*; see below |
# | held-out pictures | a fifth | the paper has none; the sets are small |
# | pooling of patches for the image score | mean of the error, maximum of the distance | the public code |
# | maps of AE-res and AE-con | eq. 4 | features have no pixels |
# | colour | the mean over channels | eq. 3 has no channels |
# | threshold of the IoU | the oracle's and the held-out one, side by side | the paper does not say; the public code uses the oracle |
# ```
#
# ### The same α, another weight
#
# **"The best $\alpha$ is 0.6" cannot be carried from one scale to another, nor from one test set to another.** With minimum and maximum of the test set, the error is divided by its range $R_e$ and the distance by $R_d$. The order of the pixels is then that of {eq}`eq-defects-map` with another weight,
#
# $$ \alpha' = \frac{\alpha\,\sigma_e / R_e}{\alpha\,\sigma_e / R_e + (1 - \alpha)\,\sigma_d / R_d} . $$
#
# One saturated pixel in the whole test set stretches $R_e$ and so takes weight from the error; one odd patch stretches $R_d$ and gives it back. For the class shown:

# %% tags=["hide-input"]
width = {key: np.ptp(test[key]) / reference[key].std() for key in ("nln", "dist")}
rows_ = []
for a in (0.25, 0.5, 0.6, 0.8):
    e, d = a / width["nln"], (1 - a) / width["dist"]
    rows_.append({"α with min-max": a, "α on our scale": e / (e + d)})
tables.show(pd.DataFrame(rows_), precision=2)

# %% [markdown]
# ## What holds up, and what does not
#
# ### The printed table against the printed sentences
#
# The paper says that NLN "demonstrates performance increases in the object classes" and that "this is not the case for the texture classes". Table 5 lets you check this without training anything (mean gain in points, classes won, classes tied):

# %% tags=["hide-input"]
table5 = published.cells("nln", "Table 5").loc["mvtec_ad"][of_paper]
kind = np.where(table5.index.isin(TEXTURES), "texture", "object")
table5 = table5.set_index(pd.Index(kind, name="kind"), append=True).swaplevel()
table5 = table5.sort_index(ascending=[False, True])
rows_ = []
for rival in [*table5.columns.drop("NLN"), "best of the four"]:
    others = (
        table5.drop(columns="NLN").max(axis=1) if "best" in rival else table5[rival]
    )
    gain = table5.NLN - others
    row = {"NLN against": rival}
    for group, points in gain.groupby(level="kind"):
        row[f"{group}s: gain"] = 100 * points.mean()
        row[f"{group}s: won"] = int((points > 1e-9).sum())
        row[f"{group}s: tied"] = int((points.abs() < 1e-9).sum())
    rows_.append(row)
tables.show(pd.DataFrame(rows_))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-defects-table5", "caption": "The paper's Table 5, class by class: pixel AUROC of NLN minus that of the plain autoencoder from which it takes its layers (AE-L2, filled) and minus the best of the four others (hollow), in points."}, "image": {"alt": "Dot plot of differences per class, textures on the left and objects on the right: filled dots mostly above zero, hollow dots mostly at or below zero"}}
figure, axis = plt.subplots(figsize=(8.5, 3.2))
x = np.arange(len(table5))
colours = [plots.ATYPICAL if k == "texture" else plots.NORMAL for k, _ in table5.index]
gain = 100 * (table5.NLN - table5["AE-L2"])
over_best = 100 * (table5.NLN - table5.drop(columns="NLN").max(axis=1))
axis.scatter(x, gain, color=colours, label="NLN − AE-L2")
axis.scatter(
    x, over_best, facecolors="none", edgecolors=colours, label="NLN − best other"
)
axis.axhline(0, color="gray", lw=0.8)
axis.set_xticks(x, [name for _, name in table5.index], rotation=45, ha="right")
axis.set_ylabel("points of pixel AUROC")
axis.legend(fontsize=8, loc="lower right")
plt.show()

# %% [markdown]
# **The contrast depends on the rival.** Against AE-L2, the plain autoencoder from which NLN takes its layers, the mean gain on *textures* is as large as that on objects. It comes from *carpet* and *leather*; *grid*, *tile* and *wood* gain nothing. Against the strongest of the four rivals, NLN wins outright on three objects and no texture.
#
# ### The comparison that is missing
#
# **No cell of Table 5 shows what the neighbours contribute.** AE-L2 is another group's work, with their epochs, patches and scaling. On this page the two stand side by side, from one network: `recon` and "NLN, α = 1" in the tables, the dotted line and the right end of the curve in {numref}`fig-defects-alpha`.
#
# The *pixel neighbour* belongs beside them. Where it does as well as NLN, the latent space has contributed its compactness, $4L$ bytes per patch, and not a better notion of what is similar. Where the *mean image* does as well, the class is easy.
#
# ### Where does the gain come from?
#
# At $\alpha = 0$ the map is a chequerboard, and its pixel AUROC is what one gets for pointing at the right *patch*. With 1024-pixel pictures a patch is 1.6 % of the picture; with our 256 pixels it is a quarter. So the distance half should be worth more on the real data than here. We have not shown that it is.
#
# ### What we have not shown
#
# * **MVTec-AD.** No run on the real photographs is recorded here. The path is tested on files in the official layout.
# * **Real defects.** Ours were drawn by the hand that wrote the detector. Small, sharp outlines of strong contrast suit a difference of pixels.
# * **Training.** An autoencoder this young does not yet *copy* defects well, which is the fault that NLN sets out to cure. A smoke run understates it.
# * **One seed**, here and in the only record. The photographs behind *brick* and *gravel* are two pictures.
# * **Other pooling.** The maximum of the map would be a natural image score and was not tried, lest one more choice be made by looking at the test set.
#
# ```{admonition} Take away
# * A score becomes a map by leaving a mean undone. What belongs to a patch, not to a pixel, draws no outline.
# * A gain over somebody else's autoencoder says nothing about neighbours. Compare with your own.
# * Before you believe a network, set its error beside that of a constant.
# ```

# %% [markdown]
# ## Check yourself
#
# **1.** The decoded neighbour is flawless. Why can its error map be worse than that of the reconstruction?
#
# ```{admonition} Answer
# :class: dropdown
# It is another part. Its edges lie elsewhere, and every edge that does not match is an error on sound pixels. Pixel AUROC ranks those above a faint defect.
# ```
#
# **2.** "NLN, α = 1" and `recon` agree in every digit. What has the network learned?
#
# ```{admonition} Answer
# :class: dropdown
# A constant. If all codes decode to the same patch, the neighbour's decoding is the reconstruction.
# ```
#
# **3.** Multiply the distance by ten on all pictures, held-out ones included. What happens to {eq}`eq-defects-map`?
#
# ```{admonition} Answer
# :class: dropdown
# Nothing: $\mu_d$ and $\sigma_d$ grow with it. That is what the common scale is for.
# ```
#
# ## Exercises
#
# To talk about. Marked assignments, and hints for them, are part of {doc}`the course <../book/course>`.
#
# 1. *(on paper)* Show that $\alpha'$ above gives the same order of pixels. Why may you drop $\mu_e$ and $\mu_d$? For image scores the argument needs another $R$ and $\sigma$: which?
# 2. *(one line)* Draw the map for $\alpha = 0$. What is the largest pixel AUROC that any map of constant patches can reach on this class?
# 3. *(a run)* Run `class_name=gravel` and `class_name=nut`. On which one does the right end of the curve lie above the dotted line? Explain it with {numref}`fig-defects-maps`.
# 4. *(a little code)* Move the test grid by 64 pixels in both directions, score again where both grids have pixels, and average. What happens to the seams, and to the pixel AUROC?
#
# ```{admonition} Hint for exercise 2
# :class: dropdown
# Give each patch the share of its pixels that is defective, and ask what is left undecided inside the patches: defective and sound pixels of the same patch are ties.
# ```
#
# ## References
#
# The full list is on the page {doc}`Bibliography <../book/bibliography>`.
