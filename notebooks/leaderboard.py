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
# # Leaderboard: four papers beside five baselines
#
# *Which of these should I use?* Four papers answer with four tables that cannot be laid side by side: each has its own protocol, and chose its own rivals. Here they meet on the same images, with the same held-out parts and seeds, as far as they have been run. Five baselines that need no network run beside them.
#
# **In short**, from short training and for centred grey pictures such as those of MNIST and Fashion-MNIST:
#
# * **Use nearest neighbours on the pixels; on MNIST, LOF is better still.** (That these two of five baselines are the ones to name, we know from the board.)
# * That a network of the four papers is ahead of these two is not shown, under any protocol. Two come near: NLN's *codes* on MNIST with nine normal digits, and CRBND with four poolings on MNIST with one.
# * The nearest neighbours among an autoencoder's *codes* come closest to being a reason to train something. Where one class is normal they are level with those among the pixels. On MNIST, where nine are, they are ahead.
# * Which of the papers' leads over their own rivals are kept so far is {ref}`told below <board-leads>`.
# * Natural photographs are another matter. All five baselines are little better than chance on them, and hardly a network has been run.
#
# {numref}`fig-board-classes` shows it class by class. The first part of the page runs the baselines and leaves records. The second reads the records of *all* papers.
#
# **Before you start** you should know the {doc}`four protocols <../book/protocols>` and what an AUROC measures. The methods have pages of their own: {doc}`ICS <ics>`, {doc}`NLN <nln>`, {doc}`CRBND <crbnd>`, {doc}`ADe-GAN <ade_gan>`. Reading takes about 15 minutes, the run below seconds.

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

# %% [markdown]
# ## Parameters
#
# `papermill` or `novelty run leaderboard -p KEY=VALUE` replaces them from outside.

# %% tags=["parameters", "hide-input"]
dataset = "digits"  # mnist, fashion_mnist, cifar10, cifar10_jpeg, folder:PATH
class_name = "3"  # the normal class, under miso the novel one: name, number, or all
tier = "smoke"  # the baselines are the same in every tier; the board shows demo
seed = 0  # of the held-out images, the random parts and the forest
device = "auto"  # of no effect here: scikit-learn works on the CPU
results = "results"  # folder that the record of this run is written to
protocol = "simo"  # simo (outlier_share is the same), miso or one_class

# %% tags=["schema", "hide-input"]
from pydantic import Field

from novelty_utils.params import Protocol, RunParameters


class Parameters(RunParameters):
    """The parameters of a run of the baselines."""

    protocol: Protocol = Field(description="which images are normal in training")


p = Parameters.check(globals())

# %% tags=["hide-input"]
import time
from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd

from novelty_utils import data, records
from novelty_utils.data import protocols
from novelty_utils.evaluation import metrics, mixtures, plots, statistics
from novelty_utils.ledger import tables
from novelty_utils.progress import tqdm
from novelty_utils.records import Result, replications, store, where

plots.set_style()
pd.set_option("display.max_columns", 40, "display.width", 160)

# %% [markdown]
# ## Five ways to be far from normal
#
# Each baseline learns from normal images, as rows of pixels, and scores others. Higher means more anomalous. No parameter was tuned: each is the library's default, or what one of our pages prints for the same tool.
#
# | baseline | its idea of "far" | fixed beforehand |
# |---|---|---|
# | **PCA** | squared distance to the subspace of the largest principal components | 64 components, as on the page of {doc}`ICS <ics>` |
# | **OCSVM** {cite:p}`scholkopf2001` | outside a boundary that leaves out a share $\nu$ of the training images | Gaussian kernel, $\nu = 0.1$, $\gamma = 1/d$, as on the page of {doc}`ICS <ics>` |
# | **isolation forest** {cite:p}`liu2008` | cut off from the rest after few random cuts | 100 trees of 256 images each, the library's default |
# | **LOF** {cite:p}`breunig2000` | in a sparser place than one's own neighbours | 20 neighbours, the library's default |
# | **k-NN** {cite:p}`ramaswamy2000` | far from the fifth nearest training image | 5 neighbours, the default of PyOD |
#
# All five are in scikit-learn. PyOD's LOF and k-NN give the same scores, which the tests check. Its PCA is another score, so we take the reconstruction error, which is what an autoencoder generalises.
#
# **Too many images.** The times of the SVM and of LOF grow with the square of the number of training images. Where there are more than 6000, these two get a random 6000 of them. Under MISO that is one image in eight; under the other protocols it is all but a few.


# %% tags=["define", "hide-input"]
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from sklearn import decomposition, ensemble, neighbors, svm

from novelty_utils.detectors import Detector
from novelty_utils.errors import InputError

MOST = 6000  # training images of the SVM and of LOF


def pixels(images):
    """uint8 (n, c, h, w) -> rows of pixels, float32 (n, c h w) in [0, 1]."""
    return images.flatten(1).numpy().astype(np.float32) / 255


class Baseline(Detector):
    """No network: it keeps its training images, and is fitted to them again when opened."""

    notebook = "leaderboard"
    thinned: ClassVar[bool] = False  # to MOST training images

    def chosen(self, train):
        """Those of the training indices int64 (n,) that it is fitted to."""
        if not self.thinned or len(train) <= MOST:
            return train
        draw = np.random.default_rng(self.seed).choice(len(train), MOST, replace=False)
        return train[torch.from_numpy(draw)]

    @abstractmethod
    def fit_rows(self, X):
        """Fit to normal images, X float (n, d)."""

    @abstractmethod
    def score_rows(self, x):
        """Scores float (m,) of the rows x, float (m, d): higher = more anomalous."""

    def learn(self, images, train, held_out, **_):
        self.fitted = {"images": images[self.chosen(train)]}

    def prepare(self):
        self.fit_rows(pixels(self.fitted["images"]))

    def score(self, images, index):
        return self.score_rows(pixels(images[index])).astype(np.float64)


# %% tags=["define", "hide-input"]
@dataclass(kw_only=True, eq=False)
class PCA(Baseline):
    """The squared distance to the subspace of the largest components."""

    components: Annotated[int, Field(ge=1)] = 64

    def build(self, shape):
        if self.components >= math.prod(shape):
            told = f"redraws images of {math.prod(shape)} pixels without any error"
            raise InputError(f"components={self.components} {told}: give fewer")
        return super().build(shape)

    def fit_rows(self, X):
        k = min(self.components, *X.shape)
        self.plane = decomposition.PCA(k, random_state=self.seed).fit(X)

    def score_rows(self, x):
        return np.square(x - self.redrawn(x)).sum(1)

    def redrawn(self, x):
        return self.plane.inverse_transform(self.plane.transform(x))

    def redraw(self, images, index):
        x_hat = self.redrawn(pixels(images[index])).reshape(-1, *images.shape[1:])
        return torch.from_numpy(x_hat.astype(np.float32))


@dataclass(kw_only=True, eq=False)
class OCSVM(Baseline):
    """The distance to the boundary, outside positive."""

    nu: Annotated[float, Field(gt=0, le=1)] = 0.1
    thinned = True

    def fit_rows(self, X):
        self.boundary = svm.OneClassSVM(nu=self.nu, gamma="auto")
        self.boundary.random_state = self.seed  # otherwise it draws a global number
        self.boundary.fit(X)

    def score_rows(self, x):
        return -self.boundary.decision_function(x)


class IsolationForest(Baseline):
    """How few random cuts it takes to isolate an image."""

    def fit_rows(self, X):
        self.trees = ensemble.IsolationForest(random_state=self.seed).fit(X)

    def score_rows(self, x):
        return -self.trees.score_samples(x)


@dataclass(kw_only=True, eq=False)
class LOF(Baseline):
    """How much sparser its place is than those of its neighbours."""

    neighbours: Annotated[int, Field(ge=1)] = 20
    thinned = True

    def fit_rows(self, X):
        k = min(self.neighbours, len(X) - 1)
        self.factor = neighbors.LocalOutlierFactor(n_neighbors=k, novelty=True).fit(X)

    def score_rows(self, x):
        return -self.factor.score_samples(x)


@dataclass(kw_only=True, eq=False)
class KNN(Baseline):
    """The distance to the k-th nearest training image."""

    neighbours: Annotated[int, Field(ge=1)] = 5

    def fit_rows(self, X):
        k = min(self.neighbours, len(X))
        self.near = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X)

    def score_rows(self, x):
        return self.near.kneighbors(x)[0][:, -1]


BASELINES = {
    "PCA": PCA,
    "OCSVM": OCSVM,
    "isolation forest": IsolationForest,
    "LOF": LOF,
    "k-NN": KNN,
}

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Computed, not drawn: the five baselines fitted to the same normal points (white), a tight group and a loose one. The darker a place, the higher it ranks among all places of the panel. PCA, with one component here, knows only a line; LOF asks for more of a place beside the tight group than beside the loose one; the forest cuts along the axes.", "name": "fig-board-idea"}, "image": {"alt": "Five maps of the plane with two groups of normal points, one per baseline: a straight band, one rounded blob, boxy bands, and twice two islands, of different tightness"}}
draw = np.random.default_rng(0)
tight, loose = draw.normal(-1.2, 0.15, (60, 2)), draw.normal(0.9, 0.55, (60, 2))
points = np.concatenate([tight, loose])
grid = np.stack(np.meshgrid(np.linspace(-3, 3, 70), np.linspace(-3, 3, 70)), -1)
figure, axes = plt.subplots(1, 5, figsize=(10, 2.3))
for axis, (name, kind) in zip(axes, BASELINES.items(), strict=True):
    model = kind(components=1) if kind is PCA else kind()
    model.fit_rows(points)
    rank = pd.Series(model.score_rows(grid.reshape(-1, 2))).rank().to_numpy()
    shade = rank.reshape(grid.shape[:2])
    axis.pcolormesh(grid[..., 0], grid[..., 1], shade, cmap="gray_r")
    axis.scatter(*points.T, s=4, color="white", edgecolors=plots.NORMAL, lw=0.4)
    axis.set(title=name, xticks=[], yticks=[], aspect="equal")
    axis.grid(visible=False)
plt.show()

# %% [markdown]
# ## Data and protocol
#
# The images are taken as they are, as pixels in $[0, 1]$, under the same splits as the four papers' pages.

# %% tags=["hide-input"]
watch = records.RunMeter()
ds = data.load(p.dataset, side=32)
splits = {k: protocols.split(p.protocol, ds, k, p.seed) for k in p.labels()}
shown = next(iter(splits))  # the card and the table below show this class
single = "novel" if p.protocol == "miso" else "normal"  # what class_name is
print(f"{ds.name}, checksum {ds.checksum}")
print(f"{p.protocol}, {single} class {ds.classes[shown]!r}")
splits[shown].card()


# %% [markdown]
# ## Run
#
# A baseline sees the training images. Held-out images only set the threshold of F1, at which 5 % of them are rejected. The labels of the test are read for the metrics alone.


# %% tags=["hide-input"]
def run(name, k):
    """One baseline on one class: its results, and what it cost."""
    split, model = splits[k], BASELINES[name](seed=p.seed)
    parts = (model.chosen(split.train), split.held_out, split.test)
    X, x_held_out, x = (pixels(ds.images[part]) for part in parts)
    started = time.perf_counter()
    model.fit_rows(X)
    fitted = time.perf_counter()
    s = model.score_rows(x)
    scored = time.perf_counter()
    cost = {
        "seconds": round(fitted - started, 4),
        "fitted_images": len(X),
        "scoring_seconds": round(scored - fitted, 4),
        "scored_images": len(x),
    }
    value, low, high = metrics.auroc(split.reveal(), s)
    found = [Result(method=name, metric="auroc", value=value, low=low, high=high)]
    return found + mixtures.of_score(
        name, split, s, model.score_rows(x_held_out), p.seed
    ), cost


found, costs = {k: [] for k in splits}, {k: {} for k in splits}
for k, name in tqdm([(k, b) for k in splits for b in BASELINES], "run", leave=False):
    results_, costs[k][name] = run(name, k)
    found[k] += results_

# %% tags=["hide-input", "remove-output"]
records.write_run(
    "leaderboard",
    p,
    ds,
    watch,
    results={ds.classes[k]: found[k] for k in splits},
    training={ds.classes[k]: costs[k] for k in splits},
)

# %% [markdown]
# This run, for the class shown: AUROC with its interval over test images, seconds to fit, and milliseconds per image. (The small digits that the book runs on have 64 pixels, which 64 components redraw without error: there PCA's row is what rounding leaves.)

# %% tags=["hide-input"]
this_run = [
    {"baseline": r.method, "AUROC": r.value}
    | {"95 % interval": f"{r.low:.3f} to {r.high:.3f}"}
    | {"fit, s": cost["seconds"]}
    | {"ms per image": 1000 * cost["scoring_seconds"] / cost["scored_images"]}
    for r in found[shown]
    for cost in [costs[shown][r.method]]
    if r.metric == "auroc"
]
tables.show(pd.DataFrame(this_run), precision=3)

# %% [markdown]
# ## Who takes part
#
# From here on everything is read from the records of this page and of all others. Each method runs with its default parameters, the same under all protocols and on all data sets. (One is not: $\beta$ of ADe-GAN is 10 on CIFAR-10, as in its paper.)
# *We* tuned nothing to a column of the board. Their authors did in part: $K$, $L$ and $\alpha$ of NLN were chosen on the test images of these data sets, as {doc}`the protocols <../book/protocols>` tell. The narrow code of CRBND is our answer to a failure of the network with two poolings, which was ours as well.
#
# * **ICS**: the autoencoder alone (CAE), with closeness (CLS), with the split (ICS), each followed by the one-class SVM.
# * **NLN**: the reconstruction error; the nearest-latent-neighbours score; the total score of AE-con; all with $L = 32$, $K = 2$, $\alpha = 0.9$. The distance between codes alone, $\alpha = 0$, joined after {doc}`the page of NLN <nln>` had shown that it carries the gain.
# * **CRBND**: three autoencoders. One pools four times, as the U-Net that its paper cites; it is here where all ten classes have been run. One pools twice, our choice until 2026-11-29. One has a narrow code of 64 numbers between two poolings (dense64).
# * **ADe-GAN**: R1 with the printed norm (l2) and with that per pixel (rms), and the error alone of the former.
# * **The rivals** of the four, {doc}`built on a page of their own <rivals>`: each joins where all ten classes have been run with its latest settings.
# * **ImageNet features**: neighbours among {doc}`features that were learnt from other images <pretrained>`, and not with the papers' VGG19. It is a reference, not a fair rival, and joins in the same way.
#
# **Dead trainings are left out.** A network that makes nearly the same of every image says nothing about its method. By one rule for the whole book it counts neither for nor against it. It enters no mean, rank or pair here. The full tables say "9 of 10 trained", and {numref}`fig-board-classes` has a cross where it stood.
#
# `outlier_share` trains as `simo` does and differs in its test only. So the two are one column here, and the shares have a table of their own.


# %% tags=["hide-input"]
from novelty_utils.records import provenance


class Contestant(NamedTuple):
    """A score that the board compares, and where records keep it."""

    name: str
    paper: str
    method: str
    where: dict  # parameters of its runs
    trained: tuple  # entries of a record's `training` whose seconds it needs
    timed: str = ""  # the entry with its latency; a part of a score has none of its own
    metric: str = "auroc"
    at: dict = {}  # noqa: RUF012  # more parameters, on which its rows at a share depend


ICS_SET = {"rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
ICS_SET |= {"bn": "torch", "ssim": "gaussian"}
NLN_SET = {"L": 32, "arch": "paper"} | records.added_later("nln")
CRBND_SET = {"lam": 0.5, "x_d": "rec", "x_prime": "clean", "blur": 7, "noise": 0.25}
CRBND_SET |= {"side": 32}
U_NET = CRBND_SET | {"arch": "paper"}
ADE_SET = {"n_c": 10, "alpha": 1.0, "gamma": 10.0, "variant": "default"}
ADE_SET |= {"width": 16, "batch": 32}
L2, RMS = ADE_SET | {"recon_norm": "l2"}, ADE_SET | {"recon_norm": "rms"}
AT = {"K": 2, "alpha": 0.9}
AT_2 = "K=2;alpha=0.9;scale=held out"
PAIR, GAN = ("A", "CRBND"), ("stage 1",)
CONTESTANTS = [
    *(Contestant(name, "leaderboard", name, {}, (name,), name) for name in BASELINES),
    Contestant("ICS: CAE", "ics", "CAE", ICS_SET, ("CAE",), "CAE"),
    Contestant("ICS: CLS", "ics", "CLS", ICS_SET, ("CAE", "CLS"), "CLS"),
    Contestant("ICS", "ics", "ICS", ICS_SET, ("CAE", "ICS"), "ICS"),
    Contestant(
        "NLN: AE, error", "nln", "AE", NLN_SET, ("AE",), metric="auroc;score=recon"
    ),
    Contestant(
        "NLN: AE", "nln", "AE", NLN_SET, ("AE",), "AE", f"auroc;score=nln;{AT_2}", AT
    ),
    Contestant(
        *("NLN: AE, codes", "nln", "AE", NLN_SET, ("AE",)),
        metric="auroc;score=nln;K=2;alpha=0.0;scale=held out",
    ),
    Contestant(
        *("NLN: AE-con", "nln", "AE-con", NLN_SET, ("AE-con",), "AE-con"),
        *(f"auroc;score=con;{AT_2}", AT),
    ),
    Contestant("CRBND", "crbnd", "CRBND", U_NET | {"depth": 4}, PAIR, "CRBND"),
    Contestant("CRBND: depth 2", "crbnd", "CRBND", U_NET | {"depth": 2}, PAIR, "CRBND"),
    Contestant(
        *("CRBND: dense64", "crbnd", "CRBND"),
        *(CRBND_SET | {"arch": "dense64", "depth": 2}, PAIR, "CRBND"),
    ),
    Contestant("ADe-GAN: R1, l2", "ade_gan", "R1", L2, GAN, "stage 1"),
    Contestant("ADe-GAN: R1, rms", "ade_gan", "R1", RMS, GAN, "stage 1"),
    Contestant("ADe-GAN: error, l2", "ade_gan", "error", L2, GAN),
]
RIVALS = ("AE", "VAE", "MemAE", "AnoGAN", "EGBAD", "IGMM-GAN", "GPND", "OCGAN")
RIVALS += ("GANomaly", "Skip-GANomaly", "Deep SVDD", "soft Deep SVDD")
RIVALS += ("Mahalanobis of codes", "OCSVM of codes")
RIVALS += ("Mahalanobis", "REAPER", "Outlier Pursuit")
CONTESTANTS += [Contestant(name, "rivals", name, {}, (name,), name) for name in RIVALS]
FEATURES = ("pretrained", "EffNetKNN", {}, ("EffNetKNN",), "EffNetKNN")
CONTESTANTS.append(Contestant("ImageNet features", *FEATURES))
# their runs are being made: each joins with all ten classes
COMING = {"CRBND", "ImageNet features", *RIVALS}
SAME = {"outlier_share": "simo"}  # the same training, another test


def has(record, wanted):
    return all(record.parameters.get(key) == value for key, value in wanted.items())


def runs_of(record, one):
    """What a record says about a contestant: a list of one row, or of none."""
    wanted = dict(one.where)
    if one.paper == "ade_gan":
        wanted["beta"] = 10.0 if "cifar" in record.dataset else 1.0
        wanted["d"] = {"mnist": 30, "fashion_mnist": 40}.get(record.dataset, 64)
    values = {r.metric: r.value for r in record.results if r.method == one.method}
    fits = record.paper == one.paper and has(record, wanted)
    if not fits or values.get(one.metric) is None:
        return []
    row = {"name": one.name, "dataset": record.dataset, "class_name": record.class_name}
    row |= {"seed": record.seed, "auroc": values[one.metric]}
    row["dead"] = (
        store.collapsed(record, one.method) is True
    )  # None: no network, or unknown
    row["protocol"] = SAME.get(
        record.parameters["protocol"], record.parameters["protocol"]
    )
    of_it = [record.training[entry] for entry in one.trained]
    row["revision"] = max(how.get("revision", 1) for how in of_it)  # of its settings
    row["train"] = sum(how["seconds"] for how in of_it)
    timed = record.training.get(one.timed, {})
    if "scoring_seconds" in timed:
        row["ms"] = 1000 * timed["scoring_seconds"] / timed["scored_images"]
    # a name of a processor may stand for several, with and without bf16
    used = {how.get("precision") for how in of_it} - {None}
    row["hardware"] = ", ".join([provenance.hardware(record.machine), *sorted(used)])
    if one.timed and has(record, one.at):
        row |= {metric: v for metric, v in values.items() if "share=" in metric}
    return [row]


KEY = ["name", "dataset", "protocol", "class_name", "seed"]
PROTOCOLS = {
    "one_class": "one class of 4000",
    "simo": "single inlier, multiple outliers",
    "miso": "multiple inliers, single outlier",
}
SHORT = {d: tables.DATASETS[d] for d in ("mnist", "fashion_mnist", "cifar10_jpeg")}


def collected(every):
    """One row per contestant and run, from records of whatever paper: of the demo tier,
    the one in which all have been run, of the latest settings, and never twice. Dead
    trainings are among them: see `living`."""
    rows = [
        row
        for record in every
        if record.tier == "demo" and record.dataset in SHORT
        for one in CONTESTANTS
        for row in runs_of(record, one)
    ]
    share = [f"auroc;share={s}" for s in (10, 20, 30, 40, 50)]
    columns = [*KEY, "auroc", "dead", "revision", "train", "ms", "hardware", *share]
    columns += [
        f"f1;rule={r};share={s}" for r in ("best", "held_out") for s in (10, 50)
    ]
    table = pd.DataFrame(rows).reindex(columns=columns)
    table = table[table.protocol.isin(PROTOCOLS)]
    table = table[table.revision == table.groupby("name").revision.transform("max")]
    classes = table.groupby(["name", "dataset", "protocol"]).class_name
    ready = classes.transform("nunique").eq(10) | ~table.name.isin(COMING)
    table = table[ready]
    order = [
        *KEY,
        "dead",
        "ms",
    ]  # of the same run the living first, then the timed ones
    return table.sort_values(order).drop_duplicates(KEY)


def living(rows):
    """The rows whose networks did not die in training: all that may enter a mean."""
    return rows[rows.dead.ne(True)]


def how_many(rows):
    """How many classes have a living run, and of how many: "10", or "9 of 10 trained"."""
    all_, alive = rows.class_name.nunique(), living(rows).class_name.nunique()
    return str(all_) if alive == all_ else f"{alive} of {all_} trained"


PAPERS = ("leaderboard", "ics", "nln", "crbnd", "ade_gan", "rivals", "pretrained")
every = {paper: replications.counted(paper, p.results) for paper in PAPERS}
runs = collected([record for read in every.values() for record in read])
there = {*runs.name} | {one.name for one in CONTESTANTS if one.name not in RIVALS}
NAMES = [one.name for one in CONTESTANTS if one.name in there]
gone = [
    f"{r.name} ({SHORT[r.dataset]}, {PROTOCOLS[r.protocol]}, {r.class_name})"
    for r in runs[runs.dead.eq(True)].itertuples()
]
told = f"There are {len(runs)} results of {runs.name.nunique()} contestants. Dead and in no mean: "
tables.Text(told + ("; ".join(gone) or "none") + ".")

# %% [markdown]
# **What has been run, and what is missing.** The folded table counts the runs of each contestant: classes times seeds. Ten are one seed of every class. `novelty sweep sweeps/leaderboard.yml` makes what is missing of the baselines and the four papers, and `sweeps/rivals.yml` that of the rivals. `novelty run pretrained -p dataset=mnist -p class_name=all -p protocol=miso -p tier=demo` makes one column of ImageNet's features.


# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the number of runs"}
def coverage(rows):
    """How many runs there are of each contestant, zero included."""
    counts = rows.groupby(["name", "protocol", "dataset"]).size()
    columns = pd.MultiIndex.from_product([PROTOCOLS, SHORT])
    table = counts.unstack(["protocol", "dataset"]).reindex(NAMES, columns=columns)
    return table.fillna(0).astype(int).rename(columns=SHORT | PROTOCOLS)


tables.show(coverage(runs).rename_axis("contestant"))

# %% [markdown]
# ## How to compare many methods
#
# A mean of AUROCs over classes is easily ruled by one hard class. Ranks are not. A **block** is a class of a data set under one protocol. On each, the contestants are ranked, 1 for the highest AUROC (averaged over seeds). Then the ranks are averaged over blocks.
#
# With $k$ contestants and $n$ blocks, write $\bar R_j$ for the mean rank of contestant $j$. If all were alike, every order would be equally probable and every $\bar R_j$ near $(k+1)/2$. A single rank is then uniform on $1, \dots, k$, with variance $(k^2-1)/12$. {cite:t}`demsar2006` recommends two steps for what follows from it.
#
# **Are they alike?** Friedman's test compares the spread of the mean ranks with that variance,
#
# ```{math}
# :label: eq-board-friedman
# \chi^2_F = \frac{12\, n}{k (k+1)} \sum_{j=1}^{k} \Bigl( \bar R_j - \frac{k+1}{2} \Bigr)^2 ,
# ```
#
# which has about a $\chi^2$ distribution with $k - 1$ degrees of freedom.
#
# **Which ones differ?** Two ranks in the same block exclude each other, so they have the covariance $-(k+1)/12$, and the difference of two *mean* ranks has the variance
#
# $$ \frac{1}{n} \Bigl( 2\, \frac{k^2 - 1}{12} + 2\, \frac{k+1}{12} \Bigr) = \frac{k (k+1)}{6\, n} . $$
#
# The largest difference of all pairs is what chance would show us first. The range of $k$ independent normal values, in units of the deviation of a *single* one, has the distribution of the *studentised range*. A difference of two has a deviation $\sqrt 2$ times as large. So with the upper 5 % point divided by $\sqrt 2$, called $q$, Nemenyi's **critical difference** is
#
# ```{math}
# :label: eq-board-cd
# CD = q \sqrt{ \frac{k (k+1)}{6\, n} } .
# ```
#
# Two contestants whose mean ranks differ by more are told apart, with one error in twenty for *all* pairs together. A gap is not a loss, nor is a dead training: contestants with half of the blocks of a data set or fewer are not ranked, and of the others only common blocks count.
#
# **Two at a time.** Whether mean ranks tell two contestants apart depends on who else takes part: every variant of a method that we add makes $k$ and the critical difference larger {cite:p}`benavoli2016`. On twenty blocks $CD$ is less than half a rank for two contestants, and more than three ranks for eleven.
# So we read ranks as a picture, and judge pairs by their own blocks: the paired differences, class by class, with Wilcoxon's signed-rank test.
# Holm's rule {cite:p}`holm1979` then allows for the number of pairs. Sort the $m$ values of $p$. The smallest is multiplied by $m$, the next by $m - 1$, and so on; none may fall below the one before it. An adjusted $p$ below 0.05 leaves one chance in twenty of *any* false alarm in the table.


# %% tags=["hide-input"]
def block_values(rows):
    """AUROC by block and contestant, mean over seeds: a frame with NaN for what was not
    run or died, index (data set, class), one column per contestant with a living run."""
    return living(rows).pivot_table(
        index=["dataset", "class_name"], columns="name", values="auroc"
    )


def common_blocks(values):
    """Contestants with more than half of the blocks of each data set, on the blocks that
    all of these have."""
    shares = values.notna().groupby(level="dataset").mean()
    return values.loc[:, (shares > 0.5).all()].dropna()


# %% tags=["hide-input"]
# by hand: the four ranks below are those of three blocks, one with a tie
three = pd.DataFrame({"a": [0.9, 0.8, 0.7], "b": [0.8, 0.8, 0.6], "c": [0.1, 0.2, 0.9]})
ranks = statistics.mean_ranks(three).round(3).to_dict()
assert ranks == {"a": 1.5, "b": 2.167, "c": 2.333}
# three p values times 3, 2 and 1; the last may not fall below the one before it
assert np.allclose(statistics.holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
# a textbook's q for four contestants is 2.569
assert abs(statistics.critical_difference(4, 10) - 2.569 * np.sqrt(4 * 5 / 60)) < 1e-3

# %% [markdown]
# ## The leaderboard
#
# One table per protocol. **rank** is the mean rank on the common blocks of one data set, the best on MNIST first. **AUROC** is in percent, the mean over the ten classes, or over as many as the brackets say. **{ref}`± <statistics>`** says how far it depends on the classes. A dash is a contestant that was not run there, or not on enough classes for a rank.
#
# Below each is folded, per data set: how far one run depends on its seed ({ref}`σ <statistics>`), the numbers of classes and of runs, the *p* value of {eq}`eq-board-friedman`, and the times. **train** in seconds and **ms** per image are medians on the hardware that most of the runs had. Compare them within one kind of hardware only, and roughly: other work ran beside some. A dash under ms is a run older than the measurement, or a score that is a part of another.


# %% tags=["hide-input"]
# a letter for each kind of hardware, the same in all tables, so that it fits into them
LETTER = {word: chr(65 + i) for i, word in enumerate(sorted(set(runs.hardware)))}
COLUMNS = ["contestant", "rank", "AUROC", "±", "σ", "classes", "runs"]
COLUMNS += ["train, s", "ms", "on"]


def standings(rows):
    """One row per contestant, with or without runs: rows of one data set and protocol.
    The ranked ones come first: a mean over few classes cannot be set beside the others."""
    values = block_values(rows)
    common = common_blocks(values)
    ranks, table = statistics.mean_ranks(common), []
    for name in NAMES:
        began = where(rows, name=name)
        mine = living(began)
        if not len(mine):
            some = {"classes": how_many(began)} if len(began) else {}
            table.append({"contestant": name} | some)
            continue
        classes = 100 * values[name].dropna()
        seeds = statistics.seed_deviation(mine.rename(columns={"auroc": "value"}))
        row = {"contestant": name, "rank": ranks.get(name), "AUROC": classes.mean()}
        row |= {"±": statistics.half_width(classes), "σ": 100 * seeds}
        row |= {"classes": how_many(began), "runs": str(len(mine))}
        timed = where(mine, hardware=mine.hardware.mode()[0])  # never over machines
        row |= {"train, s": timed.train.median(), "ms": timed.ms.median()}
        table.append(row | {"on": LETTER[timed.hardware.iloc[0]]})
    table = pd.DataFrame(table, columns=COLUMNS)
    order = {"by": ["rank", "AUROC"], "ascending": [True, False], "kind": "stable"}
    return table.sort_values(**order), common


FORMATS = {"train, s": "{:.3g}", "ms": "{:.2g}"}


def caption(dataset, common, rows, missing):
    """What a table rests on."""
    n, k = common.shape
    words = [
        f"{SHORT[dataset]}: {k} contestants ranked on {n} common blocks, demo tier"
    ]
    p_value = statistics.friedman(common)
    if p_value == p_value:  # not where there is too little to test
        words.append(f"Friedman's p = {p_value:.2g}")
    words += [f"{LETTER[word]} = {word}" for word in sorted(set(rows.hardware))]
    if len(missing):
        words.append(f"not run yet: {', '.join(missing)}")
    return "; ".join(words) + "."


def side_by_side(rows):
    """Rank, AUROC and ± of every contestant on all data sets, from rows of one protocol:
    a frame with columns (data set, what), AUROC in words with the number of classes where
    it is not ten."""
    found = {}
    for dataset in SHORT:
        if not len(here := where(rows, dataset=dataset)):
            continue
        table = standings(here)[0].set_index("contestant")
        few = (
            "" if n == "10" else f" ({n.split()[0]})"
            for n in table.classes.fillna("10")
        )
        words = [f"{v:.1f}{n}" for v, n in zip(table.AUROC, few, strict=True)]
        words = pd.Series(words, table.index).where(table.AUROC.notna(), "–")
        parts = {"rank": table["rank"], "AUROC": words, "±": table["±"]}
        found |= {(SHORT[dataset], what): column for what, column in parts.items()}
    if not found:
        return pd.DataFrame()
    table = pd.DataFrame(found).reindex([n for n in NAMES if n in {*rows.name}])
    return table.sort_values([*table.columns[:1]], kind="stable")


def show_boards(protocol):
    """The tables of one protocol in full, one per data set."""
    for dataset in SHORT:
        rows = where(runs, protocol=protocol, dataset=dataset)
        if not len(rows):
            print(f"{SHORT[dataset]}, {protocol}: nothing run yet with our settings")
            continue
        table, common = standings(rows)
        missing = table.contestant[table.classes.isna()]
        there = table[table.classes.notna()]
        below = caption(dataset, common, rows, missing)
        display(tables.show(there, FORMATS, caption=below))  # noqa: F821


# %% [markdown]
# ### One class of 4000

# %% tags=["remove-input"]
tables.show(side_by_side(where(runs, protocol="one_class")).rename_axis("contestant"))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show σ, runs, p value and times"}
show_boards("one_class")

# %% [markdown]
# This is the protocol of ICS. It has the best mean rank of all networks on MNIST; on Fashion-MNIST NLN has it. What the pages of the others found at home holds here as well, on both data sets. NLN is ahead of the error of its autoencoder. CRBND with two poolings is near the bottom. And R1 of ADe-GAN, whose second half is the paper's idea, ranks below its own first half.

# %% [markdown]
# ### Single inlier, multiple outliers (SIMO)

# %% tags=["remove-input"]
tables.show(side_by_side(where(runs, protocol="simo")).rename_axis("contestant"))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show σ, runs, p value and times"}
show_boards("simo")

# %% [markdown]
# NLN's second protocol, and in its training that of CRBND. The order is nearly that of one class of 4000, with half as many images more and the same number of steps. CRBND with four poolings is level with LOF, and first of the networks by its mean. That is one seed on one data set, MNIST. CRBND with the narrow code is far above CRBND with two poolings alone, on the nine digits that trained. On the 5 its training died.
#
# Three rivals that train nothing are here as well. Mahalanobis and REAPER, on raw pixels and fitted in seconds, are level with the best networks. Over both data sets their mean ranks differ from that of NLN's codes by a quarter of a rank, far less than the critical difference. By mean AUROC the codes are ahead of both on either data set. Outlier Pursuit, the third subspace, is near the one-class SVM. All three measure a distance to a subspace, as PCA does. They differ from it mainly in the number of dimensions: 32 for the first two, 64 for the board's PCA.

# %% [markdown]
# ### Multiple inliers, single outlier (MISO)

# %% tags=["remove-input"]
tables.show(side_by_side(where(runs, protocol="miso")).rename_axis("contestant"))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show σ, runs, p value and times"}
show_boards("miso")

# %% [markdown]
# **Everything is harder here.** A network that redraws nine normal classes redraws the tenth as well. Errors of reconstruction fall by twenty points or more against SIMO, neighbours by ten to twenty. On MNIST the distance between codes stands apart from all others; on Fashion-MNIST it is level with the pixels' neighbours.
#
# With 4000 images of one normal digit ICS has the highest mean AUROC of all networks. Here it is behind NLN on both data sets, and behind k-NN and LOF on eight digits and seven garments of ten. Its lead over its own CLS is some two points on each, within the noise between classes.
#
# Features of ImageNet, of digits enlarged to 64 pixels, see other things than pixels. A novel 1, 4, 7 or 9 stands out more among them, and each of the other six digits less; the mean is 11 points lower.
#
# CRBND with two poolings is little better than a coin toss in the mean, on both. It finds the 1 and the sneaker well. Half of the classes of either it ranks as more normal than the normal ones, the 2, the 3 and the 5 clearly so. Its classifier tells spoiled images from sound ones all but perfectly, and a sound image of a class that it never saw is sound.

# %% [markdown]
# ### A given share of outliers
#
# The same runs as under SIMO, tested on mixtures with 10, 30 or 50 % of outliers. AUROC in percent should not depend on the share but for chance; the F1 of the normal class must. **best** is F1 at the best threshold, an oracle. **5 %** is F1 at the threshold that rejects 5 % of held-out normals. Calling everything normal gives the last row.


# %% tags=["hide-input"]
def share_table(rows):
    """One row per contestant that has rows at a share, mean over classes and seeds."""
    columns = {f"auroc;share={s}": f"AUROC, {s}" for s in (10, 30, 50)}
    for s in (10, 50):
        columns[f"f1;rule=best;share={s}"] = f"best, {s}"
        columns[f"f1;rule=held_out;share={s}"] = f"5 %, {s}"
    began = rows.dropna(subset=["auroc;share=50"])
    rows = living(began)
    if not len(rows):
        return None
    classes = rows.groupby(["name", "class_name"])[list(columns)].mean()
    table = 100 * classes.groupby("name").mean().rename(columns=columns)
    count = rows.groupby("name").class_name.nunique()
    table["few"] = count < count.max()
    table["classes"] = pd.Series(
        {name: how_many(r) for name, r in began.groupby("name")}
    )
    order = {"by": ["few", "AUROC, 50"], "ascending": [True, False]}
    table = table.sort_values(**order).drop(columns="few").reset_index(names="")
    floor = {f"best, {s}": 100 * metrics.trivial_f1(s / 100) for s in (10, 50)}
    return pd.concat([table, pd.DataFrame([{"": "all normal"} | floor])])


def show_shares(dataset):
    """The table of one data set."""
    table = share_table(where(runs, protocol="simo", dataset=dataset))
    if table is None:
        return print(f"{SHORT[dataset]}: nothing run yet")
    return display(tables.show(table, caption=SHORT[dataset]))  # noqa: F821


show_shares("mnist")

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show Fashion-MNIST and CIFAR-10"}
for dataset_ in ("fashion_mnist", "cifar10_jpeg"):
    show_shares(dataset_)

# %% [markdown]
# **An F1 that is printed without its share says nothing, and one at a small share says little.** A row's AUROC stays where it is, within a point. F1 does not. At one in ten the worst row stands less than a point above calling everything normal, and the best less than four. LOF and CRBND with two poolings, far apart by AUROC on MNIST, are within three points there, and nineteen apart at one in two.
#
# Choosing the threshold blindly, on held-out normal images, gives away one to three points of F1 against the oracle.

# %% [markdown]
# ### Class by class
#
# A mean hides which class it comes from. {numref}`fig-board-classes` shows every class.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "AUROC of every class (points) and their mean (bar), by contestant, one panel per data set and protocol; best mean on top. Left of the dotted line novel images are ranked as more normal than normal ones. A cross is a training that died: it is in no mean. A contestant with a few points only has not been run on the other classes.", "name": "fig-board-classes"}, "image": {"alt": "Six panels with contestants as rows and AUROC across: each contestant is a row of up to ten points with a bar at their mean; most rows have one or two points far to the left of the others"}}


def class_panel(axis, values, title, dead=()):
    """Points by class and a bar at the mean of each contestant, in percent; a cross for
    each row of the frame `dead`."""
    values = 100 * values.dropna(axis="columns", how="all")
    values = values[values.mean().sort_values().index]
    for y, name in enumerate(values):
        axis.plot(values[name], [y] * len(values), "o", ms=3, color="0.55", alpha=0.7)
        axis.plot(values[name].mean(), y, "|", ms=10, mew=2.5, color="C1")
        if len(dead):
            low = 100 * where(dead, name=name).auroc
            axis.plot(low, [y] * len(low), "x", ms=5, color=plots.NOVEL)
    axis.axvline(50, color=plots.NORMAL, ls=":", lw=0.8)
    axis.set_yticks(range(values.shape[1]), values.columns, fontsize=8)
    axis.set_title(title, fontsize=9)
    axis.tick_params(axis="x", labelsize=8)


POOLED = ("mnist", "fashion_mnist")  # CIFAR has been run by few contestants so far
pooled = runs[runs.dataset.isin(POOLED)]
blocks = {k: block_values(where(pooled, protocol=k)) for k in PROTOCOLS}
blocks = {k: values for k, values in blocks.items() if len(values)}
cells = [(k, d) for k in blocks for d in POOLED if d in blocks[k].index]
if cells:
    rows_ = (len(cells) + 1) // 2
    # as high as the panel with the most names asks for, so that none lie on each other
    names = [
        blocks[k].loc[d].dropna(axis="columns", how="all").shape[1] for k, d in cells
    ]
    heights = [0.6 + 0.135 * max(names[i : i + 2]) for i in range(0, len(names), 2)]
    looks = {"figsize": (8.5, sum(heights)), "height_ratios": heights}
    looks |= {"squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(rows_, 2, **looks)
    for axis, (protocol_, d) in zip(axes.flat, cells, strict=False):
        title = f"{SHORT[d]}: {PROTOCOLS[protocol_]}"
        dead = where(runs[runs.dead.eq(True)], protocol=protocol_, dataset=d)
        class_panel(axis, blocks[protocol_].loc[d], title, dead)
    for axis in axes.flat[len(cells) :]:
        axis.remove()
    plt.show()
else:
    print("nothing to show yet")

# %% [markdown]
# ### Ranks
#
# Per protocol, MNIST and Fashion-MNIST together: each class of each of the two is a block. Contestants that were run on one of them only are left out.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Mean ranks over the common blocks of MNIST and Fashion-MNIST (points), one panel per protocol; left is better. Each bar is one critical difference wide, half to either side: two contestants whose bars do not overlap are told apart, with one error in twenty for all pairs of the panel together.", "name": "fig-board-cd"}, "image": {"alt": "One panel per protocol with contestants from best to worst mean rank, each a point with a horizontal bar as wide as the critical difference"}}


def rank_panel(axis, common, title):
    """Mean ranks with bars of one critical difference; best on top."""
    n, k = common.shape
    ranks = statistics.mean_ranks(common)[::-1]
    half = statistics.critical_difference(k, n) / 2
    looks = {"fmt": "o", "color": plots.NORMAL, "capsize": 3}
    axis.errorbar(ranks, range(k), xerr=half, markersize=4, **looks)
    axis.set_yticks(range(k), ranks.index, fontsize=9)
    axis.set_title(f"{title}: {n} blocks", fontsize=10)
    axis.set(xlabel="mean rank", ylim=(-0.6, k - 0.4))


panels = {k: common_blocks(values) for k, values in blocks.items()}
panels = {name: common for name, common in panels.items() if min(common.shape) > 1}
for protocol_ in PROTOCOLS:
    if protocol_ not in panels:
        print(f"{protocol_}: no two contestants with two common blocks yet")
if panels:
    heights = [0.8 + 0.165 * common.shape[1] for common in panels.values()]
    looks = {"figsize": (7.5, sum(heights)), "height_ratios": heights}
    looks |= {"squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(panels), 1, **looks)
    for axis, (name, common) in zip(axes[:, 0], panels.items(), strict=True):
        rank_panel(axis, common, PROTOCOLS[name])
    plt.show()

# %% [markdown]
# **The picture separates little.** Where one class is normal, the bar of the best overlaps with those of most others. Only four or five at the bottom are told apart from it: CRBND with two poolings and ICS's autoencoder by far, then the one-class SVM, R1 of ADe-GAN and, where it was run, Outlier Pursuit. All pairs share one error in twenty, and ranks forget by how much. The pairs below are told apart more often.


# %% [markdown]
# ### Does a network earn its training?
#
# **Beside k-NN or LOF, that is not shown.** {numref}`fig-board-cost` has the cheapest training on top. If training paid, the points would move to the right from row to row.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Mean AUROC of ten digits of MNIST by contestant, one digit normal (SIMO, full) and nine normal (MISO, open); cheapest training on top, with its median seconds under SIMO in brackets. Contestants of which a digit is missing or died are left out. Other work ran beside some.", "name": "fig-board-cost"}, "image": {"alt": "A row per contestant from the cheapest training to the dearest, with a full and an open point for its mean AUROC; the points do not move to the right from top to bottom"}}


def by_cost(dataset):
    """Mean AUROC in percent under SIMO and MISO, and median seconds of training under
    SIMO, of contestants with ten classes that trained: the cheapest last."""
    table = {}
    for protocol in ("simo", "miso"):
        rows = where(runs, dataset=dataset, protocol=protocol)
        values = block_values(rows)
        table[protocol] = 100 * values.mean()[values.count() == 10]
    usual = where(living(runs), dataset=dataset, protocol="simo")
    table["seconds"] = usual.groupby("name").train.median()
    table = pd.DataFrame(table).dropna(subset=["simo", "seconds"])
    return table.sort_values("seconds", ascending=False)


if len(table := by_cost("mnist")):
    figure, axis = plt.subplots(figsize=(6.5, 0.8 + 0.21 * len(table)))
    axis.plot(table.simo, range(len(table)), "o", color="C1", label="one digit normal")
    axis.plot(
        table.miso, range(len(table)), "o", mfc="none", mec="C1", label="nine normal"
    )
    cost = table.seconds.map("{:.2g}".format).astype(float)  # 260, not 2.6e+02
    names = [f"{name} ({seconds:g} s)" for name, seconds in cost.items()]
    axis.set_yticks(range(len(table)), names, fontsize=9)
    axis.set_xlabel("mean AUROC in %")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    plt.show()

# %% [markdown]
# Each method of the four papers is set against each baseline, on the classes of MNIST and Fashion-MNIST that both have. The number is the mean difference of their AUROCs in points, method minus baseline; in brackets, on how many classes the method is ahead. A star marks $p < 0.05$ in Wilcoxon's signed-rank test over these classes, by Holm's rule for all pairs of one protocol.
#
# In view are the two baselines that are hard to beat. The folded tables have all five, and those of the rivals. The rivals stand apart, so Holm's rule counts the pairs of one question only: are the papers' methods ahead of simple ones? On ten classes alone nothing earns a star among so many pairs, not even ten of ten. That is the case of CRBND with four poolings, and of all rivals with nine normal classes.


# %% tags=["hide-input"]
FOUR = ("ics", "nln", "crbnd", "ade_gan")
FAMILIES = {  # Holm's rule counts the pairs of one family
    "the four papers": [one.name for one in CONTESTANTS if one.paper in FOUR],
    "rivals and ImageNet features": [*RIVALS, "ImageNet features"],
}


def duels(values, family="the four papers"):
    """Every method of the family against every baseline on the blocks of both: a frame
    with the mean difference in points, the blocks won, all blocks, p and Holm's p."""
    rows = []
    for name in (name for name in FAMILIES[family] if name in values):
        for plain in (plain for plain in BASELINES if plain in values):
            gain = 100 * (values[name] - values[plain]).dropna()
            if len(gain) < 5:
                continue
            found = statistics.paired(gain)
            row = {"method": name, "baseline": plain, "gain": found.mean}
            rows.append(row | {"won": found.won, "n": found.n, "raw": found.p})
    columns = ["method", "baseline", "gain", "won", "n", "raw"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p=statistics.holm(table.raw))


def duel_table(values, family="the four papers"):
    """The duels of one protocol, a row per method and a column per baseline."""
    found = duels(values, family)
    words = [
        f"{row.gain:+.1f}{'*' if row.p < 0.05 else ''} ({row.won}/{row.n})"
        for row in found.itertuples()
    ]
    table = found.assign(words=words).set_index(["method", "baseline"]).words
    there = [name for name in NAMES if name in set(found.method)]
    table = table.unstack().reindex(there, columns=[*BASELINES])
    return table.rename_axis(index="method", columns=None)


HARD = ("k-NN", "LOF")
UPPER = {"one_class": "one class of 4000", "simo": "SIMO", "miso": "MISO"}
found = {UPPER[k]: duel_table(values).filter(HARD) for k, values in blocks.items()}
found = {name: table for name, table in found.items() if len(table)}
if found:
    table = pd.concat(found, axis=1)
    table = table.reindex([name for name in NAMES if name in table.index])
    display(tables.show(table.rename_axis("method")))  # noqa: F821

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show all five baselines, and the rivals"}
for family in FAMILIES:
    for protocol_, values in blocks.items():
        if len(table := duel_table(values, family)):
            words = f"{PROTOCOLS[protocol_].capitalize()}: {family}, {table.size} pairs"
            display(tables.show(table, caption=words))  # noqa: F821

# %% [markdown]
# The next sentences are made from these tables, for the two baselines that are hard to beat.


# %% tags=["hide-input"]


def told_apart(blocks):
    """The duels of the papers' methods with k-NN and LOF that have a star."""
    found = [duels(v).assign(protocol=k) for k, v in blocks.items() if len(v)]
    found = pd.concat([duels(pd.DataFrame()).assign(protocol=""), *found])
    return found[found.baseline.isin(HARD) & (found.p < 0.05)]


def near(blocks):
    """Where a method of the papers is ahead of k-NN or LOF on one data set, with p < 0.05
    that is not corrected for the number of pairs; and how many pairs were looked at."""
    kept, looked = [], 0
    for protocol, values in blocks.items():
        for d, here in values.groupby(level="dataset"):
            found = duels(here)
            found = found[found.baseline.isin(HARD)]
            looked += len(found)
            found = found[(found.gain > 0) & (found.raw < 0.05)]
            kept += [
                f"{row.method} against {row.baseline} on {SHORT[d]}, {PROTOCOLS[protocol]}: {row.won} of {row.n} (p = {row.raw:.2g})"
                for row in found.sort_values("raw").itertuples()
            ]
    return kept, looked


def of_rivals(blocks):
    """What the tables of pairs say of the rivals beside k-NN and LOF: a sentence."""
    family = "rivals and ImageNet features"
    found = [duels(v, family).assign(on=PROTOCOLS[k]) for k, v in blocks.items()]
    found = pd.concat(found) if found else pd.DataFrame(columns=["baseline"])
    found = found[found.baseline.isin(HARD)]
    if not len(found):
        return ""
    ahead = found[found.gain > 0].method.nunique()
    best = found.sort_values("gain").iloc[-1]
    who = f"{ahead} are ahead of one of the two" if ahead else "none is ahead of either"
    say = f"Of {found.method.nunique()} rivals, ImageNet's features among them, {who} in the mean."
    return f"{say} Nearest comes {best.method}: {best.gain:+.1f} points beside {best.baseline} ({best.on})."


def verdict(blocks):
    """What the tables of pairs say of the papers' methods beside k-NN and LOF."""
    starred = told_apart(blocks)
    ahead, behind = starred[starred.gain > 0], starred[starred.gain < 0]
    who = [
        f"{r.method} of {r.baseline} ({PROTOCOLS[r.protocol]})"
        for r in ahead.itertuples()
    ]
    say = (
        f"With a star are ahead: {'; '.join(who)}."
        if who
        else "That a method of the four papers is ahead of k-NN or LOF is not shown, under any protocol: no such difference has a star."
    )
    say += f" With a star {behind.method.nunique()} of the methods are behind one of the two."
    kept, looked = near(blocks)
    if kept:
        say += f" On one data set alone, and without any correction for the {looked} pairs looked at, are ahead:"
        say = "\n* ".join([say + "\n", *kept])
    return say


tables.Text(verdict(blocks) + "\n\n" + of_rivals(blocks))

# %% [markdown]
# *Not shown* is not *refuted*. A single data set has ten classes, too few for a star among so many pairs. Two come nearest, each mostly with one seed and on MNIST alone. NLN's codes are ahead of k-NN on all ten digits where nine are normal; on Fashion-MNIST they are level. CRBND with four poolings is ahead of k-NN on eight digits where one is normal; on Fashion-MNIST it has not been run.
#
# With nine normal classes NLN's scores are ahead of the other three baselines in the mean, nearly all of them beyond chance. The plain distance between its codes is, too: by the widest gaps, and beyond chance in all three.
#
# **Codes or pixels?** *Nearest neighbours among the codes* against *nearest neighbours among the pixels* is the comparison that the idea of NLN calls for, and its paper does not have it. The table above is not quite that: the board's k-NN takes the distance to the *fifth* neighbour, NLN the mean distance to the nearest *two*. NLN's records hold the pixels' neighbours by NLN's own rule, so here are both by one rule:


# %% tags=["hide-input"]
def codes_minus_pixels(record):
    """AUROC of the mean distance to the nearest K among codes minus that among pixels, in
    points, for three K; NaN where a record has not both."""
    value = {(r.method, r.metric): r.value for r in record.results}
    row = {"protocol": PROTOCOLS.get(record.parameters["protocol"])}
    row |= {"data set": SHORT.get(record.dataset), "class": record.class_name}
    for K in (1, 2, 5):
        codes = value.get(("AE", f"auroc;score=nln;K={K};alpha=0.0;scale=held out"))
        plain = value.get(("pixels", f"auroc;score=dist;K={K}"))
        row[f"K = {K}"] = np.nan if None in (codes, plain) else 100 * (codes - plain)
    return row


def by_one_rule(every):
    """The mean over classes, seeds averaged first, and the classes on which codes are
    ahead, per protocol and data set: nothing where nothing is recorded."""
    short = [r for r in every if r.tier == "demo" and has(r, NLN_SET)]
    rows = [codes_minus_pixels(r) for r in short if r.dataset in POOLED]
    if not rows:
        return pd.DataFrame()
    gains = pd.DataFrame(rows).dropna()
    gains = gains.groupby(["protocol", "data set", "class"]).mean()
    gains = gains.groupby(level=["protocol", "data set"])
    return gains.agg(lambda g: f"{g.mean():+.1f} ({(g > 0).sum()}/{len(g)})")


words = "Nearest neighbours among codes minus among pixels, same K and same mean: "
words += "points of AUROC, and on how many classes the codes are ahead"
tables.show(by_one_rule(every["nln"]), caption=words)

# %% [markdown]
# With one normal class the two are level. With nine, the codes are ahead by some four points on MNIST, and not on Fashion-MNIST. So nearly half of what the row on the board shows is the rule, and the rest is one data set. Decoding the neighbours, which NLN does next, loses more than these points.
#
# Nearest neighbours and LOF in pixel space are strong on centred, aligned pictures of one object. They keep training images (all of them, or 6000) and search them for every new one, and they cannot say *where* a picture is wrong. And the networks had a few epochs. But a paper on novelty detection that shows these data sets owes its readers the pixel neighbours, and none of the four has them.

# %% [markdown]
# (board-leads)=
# ### Which leads of the papers are kept?
#
# Each paper prints its method ahead of rivals. Here are these leads once more, with rival and method on the same images, splits and seeds, in short training. A lead counts as *kept* if the mean difference over the classes that both have has its sign. A star is $p < 0.05$, by Holm's rule for all rows.
#
# ICS is looked at under its protocol, beside CLS and the SVM on raw pixels. (Its CAE trained half as long, which would not be equal.) NLN and ADe-GAN have theirs, nine normal classes. CRBND prints its leads on Caltech-256, which is not at hand: MNIST with one normal digit stands for it, and that is another question.

# %% tags=["hide-input"]
from novelty_utils.ledger import published

LEADS = {  # the paper, its table, the protocol here, and what rivals are called there
    "ICS": ("ics", "Table 4", "one_class", {"CLS": "ICS: CLS", "Original": "OCSVM"}),
    "NLN: AE-con": (
        *("nln", "Table 3", "miso"),
        {"Skip-GAN": "Skip-GANomaly", "OC-GAN": "OCGAN"},
    ),
    "CRBND": ("crbnd", "Table 1", "simo", {"OutlierPursuit": "Outlier Pursuit"}),
    "ADe-GAN: R1, l2": (
        *("ade_gan", "Table 1", "miso"),
        {"Ganomaly": "GANomaly", "MAE": "MemAE", "IGMM": "IGMM-GAN"},
    ),
}
STANDS_FOR = {"caltech256": "mnist"}


def printed_leads(paper, table, called):
    """The printed leads of the paper's method over rivals that can be contestants here:
    a list of (data set here, rival here, points)."""
    rows = where(published.read(paper), table=table, metric="auroc")
    rows = rows[rows.class_name.isin(["mean", "all"])]
    if paper == "crbnd":
        rows = where(rows, setting="n_inlier=1")
    rows = rows.assign(dataset=rows.dataset.replace(STANDS_FOR))
    values = rows.set_index(["dataset", "method"]).value
    found, own = [], published.rules(paper).own[0]
    for d, method in values.index:
        rival, lead = called.get(method, method), values[d, own] - values[d, method]
        if d in POOLED and rival in {*RIVALS, *called.values()} and lead > 0:
            found.append((d, rival, 100 * lead))
    return found


def leads(blocks):
    """Each printed lead beside ours, in points: a frame, NaN where not both were run."""
    rows = []
    for own, (paper, table, protocol, called) in LEADS.items():
        for d, rival, lead in printed_leads(paper, table, called):
            values = blocks.get(protocol, pd.DataFrame())
            here = len(values) and d in values.index and {own, rival} <= {*values}
            gain = (values[own] - values[rival]).loc[d].dropna() if here else []
            found = statistics.paired(100 * pd.Series(gain, dtype=float))
            row = {
                "method": own,
                "rival": rival,
                "data": SHORT[d],
                "printed": lead,
            }
            rows.append(
                row
                | {"here": found.mean, "won": found.won, "n": found.n, "raw": found.p}
            )
    table = pd.DataFrame(rows)
    run = table.n >= 5
    return table.assign(p=pd.Series(statistics.holm(table.raw[run]), table.index[run]))


def on_leads(found):
    """How many printed leads are kept, and which are not: sentences."""
    run = found[found.n >= 5]
    kept, lost = run[run.here > 0], run[run.here <= 0]
    say = (
        f"The four papers print {len(found)} leads over rivals that this book builds. "
    )
    say += f"{len(run)} of them can be looked at so far: {len(kept)} are kept in the mean, {(kept.p < 0.05).sum()} with a star."
    for paper, rows in run.groupby("method", sort=False):
        say += f" {paper} keeps {(rows.here > 0).sum()} of {len(rows)}."
    if len(lost):
        who = [
            f"{r.method} is behind {r.rival} on {r.data} ({r.here:+.1f} points; printed {r.printed:+.1f})"
            for r in lost.itertuples()
        ]
        say += f" Turned round: {'; '.join(who)}."
    return say


found = leads(blocks)
table = found[found.n >= 5]
stars = np.where(table.p < 0.05, "*", "")
words = zip(table.here, stars, table.won, table.n, strict=True)
words = [f"{gain:+.1f}{star} ({won}/{n})" for gain, star, won, n in words]
table = table[["method", "rival", "data", "printed"]].assign(here=words)
display(tables.show(table, {"printed": "{:+.1f}"}))  # noqa: F821
waiting = found[found.n < 5].groupby(["method", "data"], sort=False).rival
waiting = [f"{own} on {d}, over {', '.join(names)}" for (own, d), names in waiting]
waiting = f"\n\nNot run yet: {'; '.join(waiting)}." if waiting else ""
tables.Text(on_leads(found) + waiting)

# %% [markdown]
# The rest of the printed leads are over methods that this book does not build, or were quoted from elsewhere. And to be ahead of a rival is not to be ahead of k-NN or LOF: see above.

# %% [markdown]
# ## What it does not show
#
# * **The paper tier.** Every number here is of the demo tier, a few hundred to a few thousand steps. A method that needs long training is at a disadvantage. Under a protocol that is not its own it gets as many steps as at home, to the nearest whole epoch and at least one: on the nine classes of MISO that can be up to twice as many.
# * **Tuned methods.** Everyone runs with default parameters. That is unfair to a method whose defaults were set for one data set.
# * **Independent blocks.** The ten classes of a data set share images: what is normal in one block is novel in nine others. The tests treat blocks as independent, so their *p* values are too small. Seeds do not enter the tests at all, and most contestants have one.
# * **Unlike sets of classes.** A pair is compared where both have been run. For some that is MNIST alone: the number of classes beside each difference tells.
# * **Equal work.** The SVM and LOF see at most 6000 images, the SVM behind ICS as well. Under MISO a part of their distance to the others may be due to that.
# * **Comparable times** across hardware, and across pages: NLN's latency includes all its scores for several $K$ at once. Nor are differences of a point or two between networks safe across hardware: {doc}`the page of claims <../book/claims>` has a network that moved by more with the processor alone.
# * **CIFAR-10 proper.** Its numbers come from a JPEG copy.
#
# ```{admonition} Take away
# * Before you train a network on centred grey pictures, measure the nearest neighbours among their pixels.
# * Compare two methods on the classes that both have, pair by pair. A rank depends on who else takes part.
# * Never quote an F1 without the share of outliers.
# ```
#
# ## Exercises
#
# To talk about. Marked assignments, and hints for them, are part of {doc}`the course <../book/course>`.
#
# 1. *(on paper)* Show that the ranks of one block have the covariance $-(k+1)/12$ if all orders are equally probable. (Their sum is a constant.)
# 2. *(a little code)* Drop the weakest contestant and compute the ranks anew. Can two of the others change places? Why is that a weakness of ranks? Does the table of pairs have it?
# 3. *(a run)* `novelty run leaderboard -p dataset=mnist -p class_name=all -p tier=demo -p protocol=miso -p results=mine`. Which digit is the hardest novelty for k-NN, and which for PCA? What do they have in common?
# 4. *(a run)* Under MISO the SVM and LOF see one training image in eight. Set `MOST` to 60000 in the notebook, and run one digit. How much does LOF gain, and what does it cost? (Leave the SVM out: its time grows with the square.)
#
# ## References
#
# The full list is on the page {doc}`Bibliography <../book/bibliography>`.
