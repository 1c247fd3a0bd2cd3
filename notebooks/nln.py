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
# # NLN: novelty from the reconstructions of nearest neighbours

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

# %% tags=["parameters"]
dataset = "digits"  # mnist, fashion_mnist, cifar10, cifar10_jpeg, folder:PATH
class_name = "2"  # the single class: novel under miso, normal under simo; or all
tier = "smoke"  # smoke (a minute or two), demo (minutes), paper (a GPU)
seed = 0  # of the held-out images, the weights and the batches
device = "auto"  # auto, cpu or cuda
results = "results"  # folder that the record of this run is written to
protocol = "miso"  # miso (all classes but one are normal) or simo (one is)
models = "AE,VAE,AAE,AE-res,AE-con"  # which autoencoders to train
arch = "paper"  # layers as the paper describes them, or as its public code has them
L = 32  # dimension of the latent space
K = 2  # number of neighbours
alpha = 0.9  # weight of image space against latent space

# %% tags=["schema", "hide-input"]
from typing import Literal

from pydantic import Field, field_validator

from novelty_utils.params import InputError, RunParameters

MODELS = ("AE", "VAE", "AAE", "AE-res", "AE-con")


class Parameters(RunParameters):
    """The parameters of an NLN run."""

    protocol: Literal["miso", "simo"] = Field(
        description="miso: all classes but class_name are normal; simo: only it is"
    )
    models: str = Field(description=f"comma-separated choice of {', '.join(MODELS)}")
    arch: Literal["paper", "code"] = Field(
        description="layers as in the paper's text, or as in its public code"
    )
    L: int = Field(ge=1, le=4096, description="dimension of the latent space")
    K: int = Field(ge=1, description="number of neighbours, eqs. 4, 7, 8")
    alpha: float = Field(
        ge=0, le=1, description="weight of image space against latent space"
    )

    @field_validator("models")
    @classmethod
    def _known(cls, value: str) -> str:
        names = value.split(",")
        for name in names:
            if name not in MODELS:
                raise InputError(
                    f"models: {name!r} is not one of {', '.join(MODELS)}; separate names by commas"
                )
        if len(set(names)) < len(names):
            raise InputError(f"models={value!r} names a model twice; name each once")
        return value


p = Parameters.check(globals())
wanted = p.models.split(",")
L, K = p.L, p.K

# %% tags=["hide-input"]
import shutil

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from novelty_utils import (
    data,
    metrics,
    neighbours,
    plots,
    protocols,
    records,
    scoring,
    training,
)
from novelty_utils.records import Result

plots.set_style()
pd.set_option(
    "display.max_columns", 40, "display.width", 160, "display.max_colwidth", 80
)

# %% [markdown]
# ## Data and protocol

# %%
BATCH = 128
STEPS = {"smoke": 250, "demo": 1000}  # the paper tier trains for 50 epochs instead
LR = {"smoke": 1e-3, "demo": 1e-3, "paper": 1e-4}[p.tier]

watch = records.Stopwatch()
ds = data.load(p.dataset, side=32)
SIDE = max(28, min(ds.images.shape[-2:]))
images = data.to_side(ds.images, SIDE)
C = images.shape[1]
make_split = {"miso": protocols.miso, "simo": protocols.simo}[p.protocol]
splits = {k: make_split(ds, k, p.seed) for k in p.labels()}
shown = next(iter(splits))  # the figures below show this class
smallest = min(len(split.train) for split in splits.values())
if smallest < K:
    raise InputError(
        f"K={K}: there are {smallest} training codes; choose a K of at most {smallest}"
    )


def epochs(split):
    """50 as in the paper, or as many whole epochs as come closest to the tier's number
    of steps."""
    per_epoch = max(1, len(split.train) // min(BATCH, len(split.train)))
    return 50 if p.tier == "paper" else max(1, round(STEPS[p.tier] / per_epoch))


print(f"{ds.name}, checksum {ds.checksum}, {SIDE}×{SIDE} pixels")
print(f"{p.protocol}, class {ds.classes[shown]!r}, {epochs(splits[shown])} epochs")
splits[shown].card()

# %% [markdown]
# ## The network, block by block


# %%
def halves(side, times):
    """The sides of the feature maps: each convolution of stride 2 halves them, rounded
    up."""
    return [side] if not times else [side, *halves((side + 1) // 2, times - 1)]


SIDES = halves(SIDE, 3)


def down(inputs, outputs):
    """Half the side: (B, inputs, s, s) -> (B, outputs, ⌈s/2⌉, ⌈s/2⌉)."""
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]


def up(inputs, outputs, small, large):
    """The way back: (B, inputs, small, small) -> (B, outputs, large, large)."""
    odd = large - (2 * small - 1)
    return nn.ConvTranspose2d(
        inputs, outputs, 3, stride=2, padding=1, output_padding=odd
    )


def paper_trunk():
    return nn.Sequential(*down(C, 32), *down(32, 64), *down(64, 128), nn.Flatten())


def paper_decoder():
    s0, s1, s2, s3 = SIDES
    return nn.Sequential(
        *(nn.Linear(L, 128 * s3 * s3), nn.ReLU(), nn.Unflatten(1, (128, s3, s3))),
        *(up(128, 64, s3, s2), nn.ReLU()),
        *(up(64, 32, s2, s1), nn.ReLU()),
        *(up(32, C, s1, s0), nn.Sigmoid()),
    )


# %%
def code_block(inputs, resize):
    """2×2 convolution, ReLU, batch normalisation, and a change of size."""
    conv = nn.Conv2d(inputs, 32, 2, padding="same")
    return [conv, nn.ReLU(), nn.BatchNorm2d(32), resize]


def code_trunk():
    pool = [nn.MaxPool2d(2, ceil_mode=True) for _ in range(3)]
    blocks = [*code_block(C, pool[0]), *code_block(32, pool[1])]
    return nn.Sequential(*blocks, *code_block(32, pool[2]), nn.Flatten())


def code_decoder():
    s0, s1, s2, s3 = SIDES
    return nn.Sequential(
        *(nn.Linear(L, 32 * s3 * s3), nn.Unflatten(1, (32, s3, s3))),
        *(layer for s in (s2, s1, s0) for layer in code_block(32, nn.Upsample(s))),
        *(nn.Conv2d(32, C, 2, padding="same"), nn.Sigmoid()),
    )


ARCHITECTURES = {
    "paper": (paper_trunk, paper_decoder, 128),
    "code": (code_trunk, code_decoder, 32),
}
trunk, decoder, channels = ARCHITECTURES[p.arch]
width = channels * SIDES[3] ** 2  # what the trunk hands to a dense layer


class Encoder(nn.Module):
    """f: images float32 (B, C, s, s) in [0, 1] -> codes float32 (B, L). Eq. 1."""

    def __init__(self):
        super().__init__()
        self.trunk, self.code = trunk(), nn.Linear(width, L)

    def forward(self, X):
        return self.code(self.trunk(X)).float()


class Autoencoder(nn.Module):
    """g ∘ f: images -> images in (0, 1). Eqs. 1 and 2."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), decoder()

    def forward(self, X):
        return self.decoder(self.encoder(X)).float()


# %% [markdown]
# ## Five autoencoders


# %%
def squared_error(X, X_hat):
    """Mean over images, channels and pixels; a scalar."""
    return (X - X_hat).square().mean()


def ae_loss(model, batch):
    l_rec = squared_error(batch["all"], model(batch["all"]))
    return {"loss": l_rec, "rec": l_rec}


# %% [markdown]
# ### VAE


# %%
class VAE(Autoencoder):
    """The encoder gives the mean of q(z|x); one more dense layer gives its log
    variance."""

    def __init__(self):
        super().__init__()
        self.log_variance = nn.Linear(width, L)


def kl_to_standard(mu, log_variance):
    """KL(N(mu, exp(log_variance)) ‖ N(0, I)), (B, L) -> (B,)."""
    return 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(1)


def vae_loss(model, batch):
    X = batch["all"]
    h = model.encoder.trunk(X)
    mu, log_variance = model.encoder.code(h).float(), model.log_variance(h).float()
    z = mu + (0.5 * log_variance).exp() * batch["eps"]
    l_rec = squared_error(X, model.decoder(z).float())
    l_kl = kl_to_standard(mu, log_variance).mean()
    return {"loss": X[0].numel() * l_rec + l_kl, "rec": l_rec, "kl": l_kl}


# %% [markdown]
# ### AAE


# %%
def real_or_fake(real, fake):
    """Minus eq. 6, for logits: what a discriminator minimises."""
    return (F.softplus(-real) + F.softplus(fake)).float().mean()


def fooled(fake):
    """The non-saturating counterpart: what the network that made the fakes
    minimises."""
    return F.softplus(-fake).float().mean()


class AAE(Autoencoder):
    """An autoencoder whose codes have to pass for draws from N(0, I)."""

    def __init__(self):
        super().__init__()
        layers = []
        for inputs, outputs in ((L, 64), (64, 128), (128, 256)):
            layers += [
                nn.Linear(inputs, outputs),
                nn.LeakyReLU(0.2),
                nn.Dropout(0.3),
            ]
        self.latent_critic = nn.Sequential(*layers, nn.Linear(256, 1))


def aae_loss(model, batch):
    z = model.encoder(batch["all"])
    l_rec = squared_error(batch["all"], model.decoder(z).float())
    l_adv = fooled(model.latent_critic(z))
    return {"loss": l_rec + ADVERSARIAL * l_adv, "rec": l_rec, "adv": l_adv}


def latent_critic_loss(model, batch):
    with torch.no_grad():
        z = model.encoder(batch["all"])
    l_critic = real_or_fake(model.latent_critic(batch["eps"]), model.latent_critic(z))
    return {"loss": l_critic, "critic": l_critic}


# %% [markdown]
# ### AE-res


# %%
class Critic(nn.Module):
    """d_x before its sigmoid: images -> logits (B, 1); `features` is q, with H = L.
    Eq. 5."""

    def __init__(self):
        super().__init__()
        self.features, self.verdict = Encoder(), nn.Linear(L, 1)

    def forward(self, X):
        return self.verdict(self.features(X)).float()


class AERes(Autoencoder):
    """An autoencoder whose images have to pass for real ones."""

    def __init__(self):
        super().__init__()
        self.critic = Critic()


def res_loss(model, batch):
    X_hat = model(batch["all"])
    l_rec, l_adv = squared_error(batch["all"], X_hat), fooled(model.critic(X_hat))
    return {"loss": l_rec + ADVERSARIAL * l_adv, "rec": l_rec, "adv": l_adv}


def critic_loss(model, batch):
    with torch.no_grad():
        X_hat = model(batch["all"])
    l_critic = real_or_fake(model.critic(batch["all"]), model.critic(X_hat))
    return {"loss": l_critic, "critic": l_critic}


# %% [markdown]
# ### AE-con


# %%
class AECon(AERes):
    """AE-res with a second encoder f_con that encodes the reconstruction again."""

    def __init__(self):
        super().__init__()
        self.re_encoder = Encoder()


def con_loss(model, batch):
    X = batch["all"]
    z = model.encoder(X)
    X_hat = model.decoder(z).float()
    q = model.critic.features(X).detach()
    l_rec = squared_error(X, X_hat)
    l_adv = squared_error(q, model.critic.features(X_hat)) / q.var()
    l_con = squared_error(z, model.re_encoder(X_hat))
    total = 50 * l_rec + l_adv + l_con
    return {"loss": total, "rec": l_rec, "adv": l_adv, "con": l_con}


# %% [markdown]
# ## Training

# %%
ADVERSARIAL = 0.01
CRITIC_LR = 1e-4


def step(loss, *updates, lr=LR):
    return training.Step(loss, updates, lr=lr)


BUILDS = {
    "AE": (Autoencoder, [step(ae_loss)]),
    "VAE": (VAE, [step(vae_loss)]),
    "AAE": (
        AAE,
        [
            step(aae_loss, "encoder", "decoder"),
            step(latent_critic_loss, "latent_critic", lr=CRITIC_LR),
        ],
    ),
    "AE-res": (
        AERes,
        [
            step(res_loss, "encoder", "decoder"),
            step(critic_loss, "critic", lr=CRITIC_LR),
        ],
    ),
    "AE-con": (
        AECon,
        [
            step(con_loss, "encoder", "decoder", "re_encoder"),
            step(critic_loss, "critic", lr=CRITIC_LR),
        ],
    ),
}


def gaussian(generator, size):
    """The noise of the VAE, and the real codes of the AAE's critic: (size, L)."""
    return {"eps": torch.randn(size, L, generator=generator, device=generator.device)}


def fit(name, n_epochs=None):
    """Train one model per class; returns the models and their histories by class."""
    make, steps = BUILDS[name]
    built = {k: training.build(make, p.seed) for k in splits}
    detectors = [
        training.Detector(
            built[k], {"all": splits[k].train}, p.seed, f"{name} {ds.classes[k]}"
        )
        for k in splits
    ]
    # an interrupted run resumes from here
    checkpoint = None if p.tier == "smoke" else records.scratch("nln", p) / name
    history = training.fit(
        detectors,
        images,
        steps,
        epochs=n_epochs or epochs(splits[shown]),
        batch=BATCH,
        device=p.device,
        draws=gaussian,
        checkpoint=checkpoint,
        label=name,
    )
    return built, dict(zip(splits, history, strict=True))


trained, histories = {}, {}
for name in wanted:
    trained[name], histories[name] = fit(name)

# %% [markdown]
# ## From neighbours to scores


# %%
GRID_K = [k for k in sorted({1, 2, 3, 5, 10, K}) if k <= smallest]
GRID_ALPHA = [a / 10 for a in range(11)]
everything = torch.arange(len(images))


def pixels(index):
    """(len(index), C·s·s), float32 in [0, 1]."""
    return images[index].flatten(1).float() / 255


def mean_of_first(errors):
    """(n, K_max) by neighbour -> the same, averaged over the first 1, 2, ... of them."""
    return errors.cumsum(1) / torch.arange(1, errors.shape[1] + 1)


def neighbour_error(a, b, nearest):
    """First half of eqs. 4, 7 and 8 for K = 1, 2, ...: float32 (n, K_max).

    a: (n, d), the test images as pixels or features. b: (m, d), the same of the decoded
    training codes. nearest: int64 (n, K_max), which of them are neighbours."""
    errors = [(a - b[column]).abs().mean(1) for column in nearest.T]
    return mean_of_first(torch.stack(errors, 1))


a_check, b_check = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
found_check = neighbour_error(a_check, b_check, torch.tensor([[1, 0]]))
assert found_check.tolist() == [[0.5, 0.75]]


class Bank:
    """The training codes of one model, decoded once, and what the model's critics make
    of the decodings."""

    def __init__(self, name, model, index):
        self.name, self.model, self.index = name, model, index
        self.codes = scoring.apply(model.encoder, images, index)
        every = torch.arange(len(index))
        self.decoded = scoring.apply(model.decoder, self.codes, every)
        self.features = {}
        if name == "AE-res":
            q = model.critic.features
            self.features["res"] = scoring.apply(q, self.decoded, every)
        if name == "AE-con":
            f_con = model.re_encoder
            self.features["con"] = scoring.apply(f_con, self.decoded, every)
        self.decoded = self.decoded.flatten(1)

    def parts(self, pictures):
        """All parts of all scores of these images, uint8 (n, C, s, s): eq. 3 as (n,),
        the others (n, K_max)."""
        every, model = torch.arange(len(pictures)), self.model
        z = scoring.apply(model.encoder, pictures, every)
        X = pictures.flatten(1).float() / 255
        X_hat = scoring.apply(model.decoder, z, every)
        distance, nearest = neighbours.nearest(z, self.codes, GRID_K[-1])
        found = {
            "recon": (X - X_hat.flatten(1)).abs().mean(1),
            "dist": mean_of_first(distance),
            "nln": neighbour_error(X, self.decoded, nearest),
            "raw": neighbour_error(X, pixels(self.index), nearest),
        }
        if self.name == "AE-res":
            q = scoring.apply(model.critic.features, pictures, every)
            q_hat = scoring.apply(model.critic.features, X_hat, every)
            found["recon_res"] = (q - q_hat).abs().mean(1)
            found["res"] = neighbour_error(q, self.features["res"], nearest)
        if self.name == "AE-con":
            z_con = scoring.apply(model.re_encoder, X_hat, every)
            found["recon_con"] = (z - z_con).abs().mean(1)
            found["con"] = neighbour_error(z, self.features["con"], nearest)
            found["con_code"] = neighbour_error(z_con, self.codes, nearest)
        return {part: values.double().numpy() for part, values in found.items()}


# %% [markdown]
# ### Pseudo-anomalies


# %%
def paste(X, other, draw):
    """A random rectangle of another normal image at the same place (a seam, no new
    content)."""
    s = X.shape[-1]
    h, w = draw.integers(s // 3, 2 * s // 3, 2)
    i, j = draw.integers(0, s - h), draw.integers(0, s - w)
    return torch.cat([X[:, :i], _band(X, other, i, h, j, w), X[:, i + h :]], 1)


def _band(X, other, i, h, j, w):
    rows = slice(i, i + h)
    parts = [X[:, rows, :j], other[:, rows, j : j + w], X[:, rows, j + w :]]
    return torch.cat(parts, 2)


def swap(X, other, draw):
    """Two halves of the image exchanged."""
    return X.roll(X.shape[-1] // 2, 1 + int(draw.integers(2)))


def turn(X, other, draw):
    return X.rot90(1, (1, 2))


def pseudo_anomalies(index):
    """One made-up anomaly per indexed normal image: uint8 (len(index), C, s, s)."""
    draw = np.random.default_rng(p.seed)
    partner = images[index[torch.from_numpy(draw.permutation(len(index)))]]
    kinds = (paste, swap, turn)
    made = [
        kinds[n % 3](X, other, draw)
        for n, (X, other) in enumerate(zip(images[index], partner, strict=True))
    ]
    return torch.stack(made)


# %% [markdown]
# ### Every setting from one model

# %%
OWN = {"AE-res": "res", "AE-con": "con"}  # the models with an error of their own


def combine(parts, held_out, part, n_neighbours, weight, scale="held out"):
    """Eqs. 4, 7, 8: weight · image part + (1 − weight) · latent part, each on one
    scale; float64 (n,)."""
    total = 0.0
    for name, share in ((part, weight), ("dist", 1 - weight)):
        column = parts[name][:, n_neighbours - 1]
        if scale == "test set":
            total = total + share * scoring.min_max(column)
        else:
            reference = held_out[name][:, n_neighbours - 1]
            total = total + share * scoring.standardise(column, reference)
    return total


def choose(pseudo, held_out, part):
    """K and alpha with the best AUROC of pseudo-anomalies against held-out normals."""
    y = np.repeat([0, 1], [len(held_out["dist"]), len(pseudo["dist"])])
    both = {name: np.concatenate([held_out[name], pseudo[name]]) for name in pseudo}

    def quality(setting):
        return metrics.auroc(y, combine(both, held_out, part, *setting))[0]

    return max(((k, a) for k in GRID_K for a in GRID_ALPHA), key=quality)


def settings(part, pseudo, held_out):
    """Which scores to record: name -> (K, alpha, scale, how it was chosen)."""
    grid = [(k, a, "held out", "grid") for k in GRID_K for a in GRID_ALPHA]
    if part == "con_code":
        return [row for row in grid if row[0] == K]
    chosen = (*choose(pseudo, held_out, part), "held out", "pseudo")
    fixed = (K, p.alpha, "held out", "fixed")
    return [*grid, *((K, a, "test set", "grid") for a in GRID_ALPHA), chosen, fixed]


def evaluate(name, k):
    """The parts of all scores of the test images of class k, and the results to
    record."""
    split, bank = splits[k], Bank(name, trained[name][k], splits[k].train)
    held_out = bank.parts(images[split.held_out])
    pseudo = bank.parts(pseudo_anomalies(split.held_out))
    parts = bank.parts(images[split.test])
    y = split.reveal()
    found = []

    def add(metric, scores, interval=False, note=""):
        value, low, high = metrics.auroc(y, scores)
        more = {"low": low, "high": high} if interval else {}
        found.append(Result(method=name, metric=metric, value=value, note=note, **more))

    for part in [part for part in parts if part.startswith("recon")]:
        add(f"auroc;score={part}", parts[part], interval=True)
    for n in GRID_K:
        add(f"auroc;score=raw;K={n}", parts["raw"][:, n - 1])
    for part in [x for x in ("nln", "res", "con", "con_code") if x in parts]:
        for n, a, scale, how in settings(part, pseudo, held_out):
            scores = combine(parts, held_out, part, n, a, scale)
            if how == "grid":
                add(f"auroc;score={part};K={n};alpha={a};scale={scale}", scores)
            else:
                note = f"K={n};alpha={a}"
                add(f"auroc;score={part};choice={how}", scores, True, note)
    for what, values in (("held_out", held_out), ("test", parts)):
        error = float(values["recon"].mean())
        found.append(Result(method=name, metric=f"error;{what}", value=error))
    return parts, held_out, pseudo, found


scored, found = {}, {k: [] for k in splits}
for k, name in tqdm([(k, m) for k in splits for m in wanted], "score", leave=False):
    *scored[k, name], results_ = evaluate(name, k)
    found[k] += results_

# %% [markdown]
# ### Plain nearest neighbours in pixel space


# %%
def pixel_neighbours(k):
    """Mean distance of each test image to its nearest training images, no network
    involved."""
    split = splits[k]
    distance, _ = neighbours.nearest(
        pixels(split.test), pixels(split.train), GRID_K[-1]
    )
    distance = mean_of_first(distance).double().numpy()
    y = split.reveal()
    return [
        Result(
            method="pixels",
            metric=f"auroc;score=dist;K={n}",
            value=metrics.auroc(y, distance[:, n - 1])[0],
        )
        for n in GRID_K
    ]


for k in splits if "AE" in wanted else ():
    found[k] += pixel_neighbours(k)

# %% [markdown]
# ### Loss and AUROC over the epochs

# %%
TRACED = ("recon", "nln")
trace = []
if "AE" in wanted and len(splits) == 1:
    last = epochs(splits[shown])
    if p.tier == "smoke" or (p.protocol == "simo" and shown == 0):
        for n_epochs in sorted({max(1, round(last * x)) for x in (0.02, 0.1, 0.3)}):
            earlier, history = fit("AE", n_epochs)
            parts = Bank("AE", earlier[shown], splits[shown].train).parts(
                images[splits[shown].test]
            )
            y = splits[shown].reveal()
            for score in TRACED:
                s = parts[score] if parts[score].ndim == 1 else parts[score][:, K - 1]
                trace.append(
                    Result(
                        method="AE",
                        metric=f"auroc;score={score};epoch={n_epochs}",
                        value=metrics.auroc(y, s)[0],
                    )
                )
    found[shown] += trace

# %% tags=["hide-input"]
for k in splits:
    summary = {
        name: vars(history[k])
        | {"terms": {term: v[-1] for term, v in history[k].terms.items()}}
        for name, history in histories.items()
    }
    cost = (watch.seconds() / len(splits), watch.peak_memory_mb())
    record = records.make("nln", p, ds, ds.classes[k], found[k], summary, *cost)
    print("recorded in", records.write(record, p.results))
shutil.rmtree(records.scratch("nln", p), ignore_errors=True)
