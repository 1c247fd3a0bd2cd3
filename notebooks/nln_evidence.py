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
# # NLN: the evidence
#
# This page trains nothing. It reads the recorded runs behind {doc}`the method <nln>` and asks what they carry. What the paper
# leaves open, and what we took, is {doc}`a page of choices <../book/choices-nln>`. {doc}`The ledger <../book/claims>` has a
# verdict on every printed number.
#
# **Length.** The tables are of the demo tier: about 1000 steps of 128 images, at ten times the printed rate. Short runs can
# confirm a number of the paper. They cannot refute one.
#
# **Values** are AUROC in percent, averaged over classes. A class is the mean of its seeds. Equations carry the numbers of the
# paper; ± and σ are explained under {ref}`statistics`.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch

from novelty_utils import data, records
from novelty_utils.errors import InputError
from novelty_utils.evaluation import plots, statistics
from novelty_utils.evaluation.statistics import per_class
from novelty_utils.ledger import published, readings, tables
from novelty_utils.records import where

results = records.BOOK  # or a folder of your own
if not results.is_dir():
    raise InputError(f"{results} has no records: open this notebook in a clone")
plots.set_style()
MODELS = ("AE", "VAE", "AAE", "AE-res", "AE-con")
OWN = {"AE-res": "res", "AE-con": "con"}  # the models with an error of their own

# %% tags=["hide-input"]
printed = published.read("nln")
recorded = records.read_with_reference("nln", results)
every = records.to_frame(recorded)
every = every[(every.tier != "smoke") & every.protocol.isin(["miso", "simo"])]
same = ["dataset", "protocol", "class_name", "tier", "seed", "L", "arch", "method"]
same += list(records.added_later("nln"))
every = every.drop_duplicates([*same, "metric", "note"])
# what a network scored on its way is for Fig. 7 alone
every = every[every.at_epoch.isna()]
# the tier with most models; what was run in the other one, too, has a table of its own
AS_SET = records.added_later("nln")  # batch, loss, weights and the critic's features
ours = where(every, arch="paper", tier="demo", **AS_SET)
SETS = [d for d in ("mnist", "fashion_mnist", "cifar10_jpeg") if d in set(ours.dataset)]
AS_PRINTED = {"cifar10_jpeg": "cifar10"}


def configuration(dataset, protocol):
    """The paper's best: a row of its Table 3 or 4, and its model, K, L and α."""
    table = {"miso": "Table 3", "simo": "Table 4"}[protocol]
    name = AS_PRINTED.get(dataset, dataset)
    paper = where(printed, table=table, dataset=name, method="NLN").iloc[0]
    at = published.settings(paper.setting)
    return paper, at["model"], int(at["K"]), int(at["L"]), float(at["alpha"])


def size_of(rows, method):
    """The L with most classes in rows of one data set and protocol; of several the paper's,
    if it is among them, else the smallest."""
    classes = where(rows, method=method).groupby("L").class_name.nunique()
    most = classes.index[classes == classes.max()].tolist()
    paper = configuration(rows.dataset.iloc[0], rows.protocol.iloc[0])[3]
    return paper if paper in most else min(most)


def at_setting(rows, score, n, weight):
    """One score at one K and α, from the grids of all runs or from runs that asked for
    just this."""
    rows = where(rows, at_score=score)
    grid = where(rows, at_K=n, at_alpha=weight)
    asked = where(rows, at_choice="fixed", note=f"K={n};alpha={weight}")
    return per_class(pd.concat([grid[grid.at_scale == "held out"], asked]))


def scores_of(rows, method):
    """AUROC per class of one model's scores, one column per way to score; and the
    oracle's K and α."""
    _, _, n, _, weight = configuration(rows.dataset.iloc[0], rows.protocol.iloc[0])
    mine, score = where(rows, method=method, kind="auroc"), OWN.get(method, "nln")
    grid = mine[(mine.at_score == score) & (mine.at_scale == "held out")]
    of_class = grid.groupby(["at_K", "at_alpha", "class_name"]).value.mean()
    best = of_class.groupby(["at_K", "at_alpha"]).mean().idxmax()
    pixel = where(rows, method="pixels", at_K=1)
    columns = {
        "reconstruction": per_class(where(mine, at_score="recon")),
        "own error": per_class(where(mine, at_score=f"recon_{OWN.get(method)}")),
        "NLN as in the paper": at_setting(mine, score, n, weight),
        "α = ½, K = 1": per_class(where(grid, at_K=1, at_alpha=0.5)),
        "chosen": per_class(where(mine, at_score=score, at_choice="pseudo")),
        "oracle": per_class(where(grid, at_K=best[0], at_alpha=best[1])),
        "codes alone": per_class(where(grid, at_K=1, at_alpha=0.0)),
        "training images": per_class(where(mine, at_score="raw", at_K=1)),
        "pixels": per_class(pixel),
    }
    table = pd.DataFrame(columns)
    return table[table.reconstruction.notna()], best


NAMES = {
    "reconstruction": "recon",
    "own error": "own",
    "NLN as in the paper": "NLN",
    "α = ½, K = 1": "½, 1",
    "codes alone": "codes",
    "training images": "images",
}


def score_table(protocol):
    """One row per data set and model, in percent."""
    rows_ = []
    for dataset in SETS:
        rows = where(ours, dataset=dataset, protocol=protocol)
        for method, size in sorted(set(zip(rows.method, rows.L, strict=True))):
            if method == "pixels":
                continue
            sized = rows[(size == rows.L) | (rows.method == "pixels")]
            for words, these in with_and_without(sized, method):
                table, best = scores_of(these, method)
                about = {
                    "data": tables.DATASETS[dataset],
                    "model": f"{method}, {size}{words}",
                }
                about["n"] = str(len(table))
                mean = (100 * table.mean(skipna=False)).rename(NAMES)
                rows_.append(
                    about | dict(mean) | {"oracle at": f"{best[0]:g}, {best[1]:g}"}
                )
    return pd.DataFrame(rows_)


def with_and_without(rows, method):
    """The rows of one model, and where trainings died, those of the others as well: pairs
    of what to write beside the model and the rows."""
    mine = rows[rows.method == method]
    dead = mine.collapsed.eq(True)
    if not dead.any():
        return [("", rows)]
    of, gone = (
        len(x.drop_duplicates(["dataset", "protocol", "class_name", "seed", "L"]))
        for x in (mine, mine[dead])
    )
    alive = rows.drop(mine.index[dead])
    return [(f", {of - gone} of {of} trained", rows), (", the trained alone", alive)]


# %% [markdown]
# ## Every model, every way to score
#
# * **model**: with its $L$, and **n**: how many classes are averaged;
# * **recon**: the reconstruction error of eq. 3, the baseline;
# * **own**: for AE-res and AE-con their feature error *without* neighbours, $|q(x) - q(\hat x)|$ or $|f(x) - f_{con}(\hat x)|$;
# * **NLN**: the model's own score, eq. 4, 7 or 8, at the $K$ and $\alpha$ of the paper's Tables 3 and 4 for this data set and protocol;
# * **codes**: $\alpha = 0$, $K = 1$, the nearest-neighbour distance in latent space;
# * **images**: $\alpha = 1$, $K = 1$, with the training images of the neighbours in place of their decodings;
# * **pixels**: the nearest-neighbour distance in pixel space. No network.
#
# VAE and AAE are recorded on few classes, and so is AE-res but for MNIST under SIMO. Read their rows for a sign of life, not for a
# ranking.


# %% tags=["hide-input"]
SCORES = ["data", "model", "n", "recon", "own", "NLN", "codes", "images", "pixels"]
CHOICES = ["data", "model", "n", "NLN", "½, 1", "chosen", "oracle", "oracle at"]
all_scores = {protocol: score_table(protocol) for protocol in ("miso", "simo")}


def show_scores(protocol, columns):
    told = f"{protocol.upper()}. {tables.runs(where(ours, protocol=protocol))}"
    table = all_scores[protocol].reindex(columns=columns)
    table["model"] += " (n = " + table.n + ")"
    return tables.show(table.drop(columns="n"), caption=told)


show_scores("miso", SCORES)

# %% tags=["hide-input"]
show_scores("simo", SCORES)

# %% [markdown]
# ## Is the gain there?
#
# **Yes, in most cases.** NLN at the paper's setting is ahead of the reconstruction error of the same network, in the mean everywhere
# and on most classes.

# %% tags=["hide-input"]
PAIRS = (
    ("NLN as in the paper", "reconstruction"),
    ("NLN as in the paper", "own error"),
    ("image part alone", "reconstruction"),
    ("codes alone", "reconstruction"),
    ("chosen", "reconstruction"),
    ("decodings", "training images"),
    ("NLN as in the paper", "pixels"),
    ("codes alone", "pixels"),
)


def gains(dataset, protocol, method):
    """The L, and by pair of scores the gains in points, one value per class."""
    rows = where(ours, dataset=dataset, protocol=protocol)
    mine = where(rows, method=method)
    if not len(mine):
        return None, {}
    size = size_of(rows, method)
    table, _ = scores_of(rows[(size == rows.L) | (rows.method == "pixels")], method)
    grid = where(rows, method=method, L=size, at_score=OWN.get(method, "nln"))
    grid = grid[(grid.at_scale == "held out") & (grid.at_K == 1)]
    table["image part alone"] = per_class(where(grid, at_alpha=1.0))
    if method in OWN:
        plain = where(rows, method=method, L=size, at_score="nln", at_K=1, at_alpha=1.0)
        plain = per_class(plain[plain.at_scale == "held out"])
    else:
        plain = table["image part alone"]
    table["decodings"] = plain
    by_pair = {
        f"{b} − {w}": statistics.paired(100 * (table[b] - table[w]).dropna())
        for b, w in PAIRS
    }
    return size, {pair: gain for pair, gain in by_pair.items() if gain.n >= 6}


PLACES = [(dataset, protocol) for protocol in ("miso", "simo") for dataset in SETS]
gained = {(m, *place): gains(*place, m) for m in ("AE", "AE-con") for place in PLACES}
tests = {
    (pair, *at): gain.p
    for at, (_, by_pair) in gained.items()
    for pair, gain in by_pair.items()
}


def by_holm(p_values):
    """Holm's adjusted p values, by name."""
    return dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))


of_row = {}
for question in {pair for pair, *_ in tests}:
    of_row |= by_holm({at: p for at, p in tests.items() if at[0] == question})


def gain_table(method):
    """One row per difference, one column per data set and protocol: "mean ±, star,
    (classes won)"."""
    columns = {}
    for dataset, protocol in PLACES:
        size, by_pair = gained[method, dataset, protocol]
        cells = {"L": str(size)}
        for pair, gain in by_pair.items():
            star = "*" if of_row[pair, method, dataset, protocol] < 0.05 else ""
            won = f"{gain.won}/{gain.n}"
            cells[pair] = f"{gain.mean:.1f} ± {gain.half:.1f}{star} ({won})"
        if by_pair:
            columns[f"{tables.DATASETS[dataset]}, {protocol.upper()}"] = cells
    return tables.show(pd.DataFrame(columns).rename_axis(method), caption=counted)


counted = ""
behind = ours[ours.method.isin(["AE", "AE-con"])].drop_duplicates(same)
if gone := int(behind.collapsed.eq(True).sum()):
    counted += (
        f"{len(behind) - gone} of {len(behind)} trained; the others are in the means. "
    )
if tests:
    below = [sum(v < 0.05 for v in x.values()) for x in (tests, of_row, by_holm(tests))]
    counted += f"{len(tests)} tests in both tables; p < 0.05: {below[0]} as they are, {below[1]} by Holm in each row, "
    counted += f"{below[2]} by Holm over all."
gain_table("AE")

# %% tags=["hide-input"]
gain_table("AE-con")

# %% [markdown]
# Each cell is a difference of two scores of the *same* trained model, in points: the mean over classes with its ±, and on how many
# classes the first score is ahead. "Image part alone", "codes alone" and "decodings − training images" are at $K = 1$.


# %% tags=["hide-input"]
first = f"{PAIRS[0][0]} − {PAIRS[0][1]}"
asked = [at for pair, *at in tests if pair == first]
stand = [at for at in asked if of_row[first, *at] < 0.05]
assert all(gained[tuple(at)][1][first].mean > 0 for at in asked)
names = [f"{m} on {tables.DATASETS[d]} under {q.upper()}" for m, d, q in stand]
tables.Text(
    f"Corrected for the number of tests, {len(stand)} of the {len(asked)} gains over the reconstruction error stand: "
    f"{'; '.join(names)}. The others point the same way."
)

# %% [markdown]
# There are exceptions under SIMO, in the table above. The VAE on three digits of MNIST is behind by a fifth of a point. AE-res is
# behind on nine of ten digits of MNIST and on the three recorded garments: its feature error ranks worse than its pixel error.
#
# On the three classes of CIFAR-10 under MISO the mean is near chance only because they cancel. Airplane and bird are ranked the wrong
# way round by all scores, automobile the right way.
#
# The clearest case is digit 1 under MISO. The reconstruction error ranks ones *below* nearly all other digits: a single stroke is
# easier to redraw than anything in the training set.
#
# **Many tests at once.** Each cell has a $p$-value by Wilcoxon's signed-rank test. Of twenty tests of nothing, one is expected below
# $0.05$. Holm's rule corrects for that {cite:p}`holm1979`. Of $m$ $p$-values it multiplies the smallest by $m$, the next by $m - 1$,
# and so on, and lets none fall below the one before. What is still below $0.05$ keeps the chance of *any* false find below $0.05$.
#
# **A star marks what is left** if the tests of one row, in both tables, are one family: one question, asked of every model and data set. Over
# all rows at once nothing could be left: the smallest possible $p$ of ten classes is $2/2^{10} = 1/512$. We took the row for the family *after*
# we had seen uncorrected stars.
#
# No correction repairs the other flaw. The test takes classes for independent draws, and those of one data set share their images.
# Read a star as "beyond what the choice of class explains", on this data set, and no further.
#
# ### Class by class

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-nln-classes", "caption": "AUROC per class of the plain autoencoder: reconstruction error (hollow), NLN at the paper's K and α (filled), and the nearest neighbour in pixel space (grey dash). Classes are the novel ones under MISO and the normal ones under SIMO."}, "image": {"alt": "Dot plots of AUROC per class for each data set and protocol, hollow for the reconstruction error, filled for NLN, dashes for pixel neighbours"}}
panels = [
    (d, protocol)
    for d in SETS
    for protocol in ("miso", "simo")
    if len(where(ours, dataset=d, protocol=protocol, method="AE"))
]

if panels:
    lines = -(-len(panels) // 2)
    looks = {"figsize": (9, 2.4 * lines), "squeeze": False}
    figure, axes = plt.subplots(lines, 2, **looks)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (dataset, protocol) in zip(axes.flat, panels, strict=False):
        rows = where(ours, dataset=dataset, protocol=protocol)
        size = size_of(rows, "AE")
        table, _ = scores_of(rows[(size == rows.L) | (rows.method == "pixels")], "AE")
        table = 100 * table
        x = np.arange(len(table))
        hollow = {"facecolors": "none", "edgecolors": "C0"}
        axis.scatter(x, table.reconstruction, **hollow, label="reconstruction")
        axis.scatter(x, table["NLN as in the paper"], color="C0", label="NLN")
        axis.scatter(x, table.pixels, marker="_", s=150, color="gray", label="pixels")
        title = f"{tables.DATASETS[dataset]}, {protocol.upper()}, L = {size}"
        axis.set(title=title, ylabel="AUROC in %")
        turned = 0 if max(map(len, table.index)) < 3 else 30
        axis.set_xticks(x, table.index, rotation=turned, fontsize=8)
    axes[0, 0].legend(fontsize=7)
    plt.show()
else:
    print(tables.NOTHING)

# %% [markdown]
# ## Neighbours, or another error?
#
# For AE-con, NLN differs from the baseline in *two* ways: it looks up neighbours, and it compares features instead of pixels. The
# paper always compares with the pixel error of eq. 3. The row "own error" takes the two apart:
#
# * under MISO the neighbours gain, clearly on MNIST and within the noise on Fashion-MNIST;
# * on Fashion-MNIST under SIMO they gain a point, about as much as the noise between classes;
# * on MNIST under SIMO they *lose* a point, on nine of ten digits. There the whole gain is the feature error's.
#
# Of the four, the gain on MNIST under MISO and this loss pass the correction.
#
# For AE-res it is the other way round. Its critic's features are worse than pixels when used alone, and the neighbours repair part of
# that. It does on each of the three digits under MISO, and under SIMO on nine of ten digits and on three garments.
#
# ### Table 6: which part helps?
#
# One model, AE-con under MISO with $L = 32$, $K = 2$ and $\alpha = 0.9$, and four scores: the reconstruction error, the image part of eq. 4,
# the first half of eq. 8, and all of it.


# %% tags=["hide-input"]
def scores_of_table6(rows):
    """The rows of the four scores of Table 6, and of that with the roles as in the code."""
    grid = where(rows, at_scale="held out", at_K=2)
    return {
        "recon": where(rows, at_score="recon"),
        "nln": where(grid, at_score="nln", at_alpha=1.0),
        "con": where(grid, at_score="con", at_alpha=1.0),
        "total": where(grid, at_score="con", at_alpha=0.9),
        "con, roles as in the code": where(grid, at_score="con_code", at_alpha=1.0),
    }


def table6():
    rows_ = []
    for dataset in SETS:
        mine = where(
            ours, dataset=dataset, protocol="miso", method="AE-con", kind="auroc", L=32
        )
        paper = where(
            printed, table="Table 6", dataset=AS_PRINTED.get(dataset, dataset)
        )
        for words, rows in with_and_without(mine, "AE-con") if len(mine) else ():
            for score, values in scores_of_table6(rows).items():
                said = paper[paper.setting.str.endswith(f"score={score}")].value
                row = {"data": f"{tables.DATASETS[dataset]}{words}", "score": score}
                row |= {"paper": 100 * said.iloc[0] if len(said) else None}
                row |= tables.summary(values, "ours")
                rows_.append(row)
    return pd.DataFrame(rows_)


tables.show(table6())

# %% [markdown]
# Our order of the four scores is the printed one on both data sets. Our level is lower.

# %% tags=["hide-input"]
for name, rows in table6().groupby("data"):
    four = rows.dropna(subset="paper")
    assert four.ours.is_monotonic_increasing == four.paper.is_monotonic_increasing, name
    assert (four.ours < four.paper).all(), name

# %% [markdown]
# ## Codes or decodings?
#
# **The codes gain more**, and the paper weighs them least: its settings for MNIST and Fashion-MNIST have $\alpha = 0.9$ or $1$.


# %% tags=["hide-input"]
def half_gains(dataset, protocol):
    """Points that either half of eq. 4 gains over the reconstruction error, plain autoencoder."""
    _, by_pair = gained["AE", dataset, protocol]
    halves = ("image part alone − reconstruction", "codes alone − reconstruction")
    return [by_pair[half].mean for half in halves]


told = []
for dataset in ("mnist", "fashion_mnist"):
    image, codes = half_gains(dataset, "miso")
    assert codes > image > 0
    told.append(
        f"on {tables.DATASETS[dataset]} the codes gain {codes:.0f} points and the image part {image:.0f}"
    )
tables.Text(f"For the plain autoencoder under MISO, {'; '.join(told)}.")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-nln-alphas", "caption": "Mean AUROC over the recorded classes against α, at the K of the runs: plain autoencoder with eq. 4 (blue), AE-con with eq. 8 (orange); parts scaled on held-out normals (solid) and over the test set (dashed). The dotted lines are the reconstruction error of the same model and, in grey, the nearest neighbour in pixel space."}, "image": {"alt": "Panels with AUROC against alpha for each data set and protocol, with horizontal lines for the reconstruction error and for nearest neighbours in pixel space"}}
if panels:
    figure, axes = plt.subplots(
        -(-len(panels) // 2),
        2,
        figsize=(8.5, 2.9 * -(-len(panels) // 2)),
        squeeze=False,
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (dataset, protocol) in zip(axes.flat, panels, strict=False):
        rows = where(ours, dataset=dataset, protocol=protocol, kind="auroc")
        for number, (method, score) in enumerate(
            {"AE": "nln", "AE-con": "con"}.items()
        ):
            if not len(where(rows, method=method)):
                continue
            size = size_of(rows, method)
            mine = where(rows, method=method, L=size)
            for scale, style in (("held out", "-"), ("test set", "--")):
                line = mine[(mine.at_score == score) & (mine.at_scale == scale)]
                line = line[line.at_K == line.K]
                line = line.groupby(["at_alpha", "class_name"]).value.mean()
                line = line.groupby("at_alpha").mean()
                words = f"{method}, L = {size}" if style == "-" else None
                axis.plot(100 * line, style, color=f"C{number}", label=words)
            level = 100 * per_class(where(mine, at_score="recon")).mean()
            axis.axhline(level, linestyle=":", color=f"C{number}")
        level = 100 * per_class(where(rows, method="pixels", at_K=1)).mean()
        axis.axhline(level, linestyle=":", color="gray")
        axis.set(
            title=f"{tables.DATASETS[dataset]}, {protocol.upper()}",
            xlabel="α",
            ylabel="AUROC in %",
        )
        axis.legend(fontsize=8)
    plt.show()
else:
    print(tables.NOTHING)

# %% [markdown]
# Under MISO, and for the plain autoencoder on MNIST under SIMO, the curves in {numref}`fig-nln-alphas` fall from left to right. The
# distance between codes alone is at or near the best. On Fashion-MNIST under SIMO the plain autoencoder is best in between, and on
# CIFAR-10 (JPEG) under SIMO at $\alpha = 1$.
#
# Scaling does not explain it: the dashed curves run beside the solid ones. A mirrored $\alpha$ could. A script of the public code puts
# $\alpha$ on the distance; read so, the paper's optimum on MNIST is close to ours. But its Table 6 lists the parts by name, and its image
# parts alone lie above ours. We cannot decide this from the paper.
#
# ### Does decoding help?
#
# **Hardly.** Take the *training images* of the same neighbours in place of their decodings. Under MISO that is better by one to two points
# (AE) and by four (AE-con). Under SIMO it makes no more than half a point. The row is "decodings − training images". What
# decoding does buy is memory: codes instead of pictures.

# %% tags=["hide-input"]
decoding = {
    at: g["decodings − training images"].mean for at, (_, g) in gained.items() if g
}
assert all(
    -2.1 < v < -1 for (m, _, q), v in decoding.items() if (m, q) == ("AE", "miso")
)
assert all(
    -4.5 < v < -3.5 for (m, _, q), v in decoding.items() if (m, q) == ("AE-con", "miso")
)
assert all(abs(v) < 0.6 for (_, _, q), v in decoding.items() if q == "simo")

# %% [markdown]
# ## Is the network needed?
#
# **"pixels" is a detector without parameters, training or choice.** On MNIST and Fashion-MNIST, under both protocols, its mean is above
# that of the plain autoencoder's NLN at the paper's setting. On MNIST it is ahead on every digit.
#
# The plain autoencoder's *codes* are ahead of it on MNIST under MISO, by some four points on eight of ten digits. Most of these come from the
# digits 1 and 7. Elsewhere codes and pixels are within about a point. None of these differences passes the correction.
#
# AE-con by the {ref}`cross entropy <nln-loss>` is ahead of pixels there, too, on nine digits of ten: its own score by six points, its codes by seven.
#
# The paper compares with nearest neighbours in the features of a ResNet-50, and not with this. On images that are centred, of one
# size and without background, pixel distances mean something.

# %% tags=["hide-input"]
behind_pixels = {
    at: g["NLN as in the paper − pixels"] for at, (_, g) in gained.items() if g
}
for dataset in ("mnist", "fashion_mnist"):
    assert all(behind_pixels["AE", dataset, q].mean < 0 for q in ("miso", "simo"))
assert all(behind_pixels["AE", "mnist", q].won == 0 for q in ("miso", "simo"))
assert not any(
    of_row["codes alone − pixels", *at] < 0.05 for at, (_, g) in gained.items() if g
)

# %% [markdown]
# ## What does choosing by test labels buy?
#
# **Little.** The settings chosen by pseudo-anomalies stay within some two points of the oracle for AE and AE-con. And no choice at all,
# $\alpha = \tfrac12$ and $K = 1$, is at least as good as the paper's setting in most rows.
#
# * **½, 1**: $\alpha = \tfrac12$ and $K = 1$;
# * **chosen**: for each class, by pseudo-anomalies made from held-out normals;
# * **oracle**: the $(K, \alpha)$ with the best mean test AUROC over the classes of the row, given as **oracle at**. The paper's numbers were
#   picked in such a way; nobody has it in practice.

# %% tags=["hide-input"]
both = pd.concat(all_scores.values())
both = both[~both.model.str.contains("trained")]
settled = both[both.model.str.match(r"AE(-con)?, ")]
assert (settled.oracle - settled.chosen).max() < 2.1
assert (both["½, 1"] >= both.NLN).mean() > 0.6
show_scores("miso", CHOICES)

# %% tags=["hide-input"]
show_scores("simo", CHOICES)

# %% [markdown]
# One choice we have not undone. The paper picked model and $L$ for each data set by test AUROC, too, and our runs take these from it.
#
# ### Tables 1 and 2: the increase
#
# The paper's headline is the increase of the best NLN configuration over the best reconstruction error. Its definition is not printed; the
# public code computes $1 - \overline{AUROC}_{recon} / \overline{AUROC}_{NLN}$. **Oracle** repeats that rule on our runs, with $K$ and $\alpha$ picked
# on the test set; **chosen** uses the settings that pseudo-anomalies chose. Where several $L$ were run on as many classes, NLN and the baseline
# each have their best. NLN has two knobs that the baseline lacks, so the oracle can only favour it.


# %% tags=["hide-input"]
def increases():
    rows_ = []
    for table, protocol in (("Table 1", "miso"), ("Table 2", "simo")):
        for dataset in SETS:
            rows = where(ours, dataset=dataset, protocol=protocol)
            for model in MODELS:
                classes = where(rows, method=model).groupby("L").class_name.nunique()
                sizes = sorted(classes.index[classes == classes.max()])
                if not sizes:
                    continue
                paper = where(
                    printed,
                    table=table,
                    dataset=AS_PRINTED.get(dataset, dataset),
                    method=model,
                )
                sized = rows[rows.L.isin(sizes) | (rows.method == "pixels")]
                for words, these in with_and_without(sized, model):
                    of_size = [
                        scores_of(
                            these[(at == these.L) | (these.method == "pixels")], model
                        )[0]
                        for at in sizes
                    ]
                    mean = pd.DataFrame([one.mean() for one in of_size]).max()
                    row = {
                        "": f"{table}, {tables.DATASETS[dataset]}",
                        "model": f"{model}, {' or '.join(map(str, sizes))}{words}",
                    }
                    row |= {
                        "n": str(max(map(len, of_size))),
                        "paper": 100 * paper.value.iloc[0],
                    }
                    for name in ("oracle", "chosen"):
                        row[name] = 100 * (1 - mean.reconstruction / mean[name])
                    rows_.append(row)
    return pd.DataFrame(rows_)


found = increases()
whole = found[(found.n == "10") & found[""].str.startswith("Table 2")]
assert ((whole.oracle - whole.paper).abs() < 2.2).all()
tables.show(found)

# %% [markdown]
# Under SIMO our increases are within about two points of the printed ones where ten classes are recorded. Under MISO they are of the printed
# size on Fashion-MNIST and larger on MNIST, where our baseline is weaker than the paper's.
#
# ## Is the printed level reached?
#
# **Not with our first choices.** The paper reports one configuration per data set. Here it is beside ours, where that model and $L$ were recorded.


# %% tags=["hide-input"]
def best_configurations():
    rows_ = []
    for protocol in ("miso", "simo"):
        for dataset in SETS:
            paper, model, n, size, weight = configuration(dataset, protocol)
            known = where(printed, table=paper.table, dataset=paper.dataset)
            row = {
                "": f"{paper.table}, {tables.DATASETS[dataset]}",
                "paper's choice": f"{model}, K={n}, L={size}, α={weight:g}",
                "paper": 100 * paper.value,
                "DKNN, paper": 100 * where(known, method="DKNN").value.iloc[0],
            }
            mine = where(ours, dataset=dataset, protocol=protocol, method=model)
            near = min(set(mine.L), key=lambda at: abs(at - size), default=size)
            for words, these in with_and_without(where(mine, L=near), model):
                values = at_setting(these, OWN.get(model, "nln"), n, weight)
                if len(values):
                    row = row | {"ours": 100 * values.mean()}
                    row |= {"n": f"{len(values)}{words}"}
                    row |= {"our L": f"{near}{' (nearest)' * (near != size)}"}
                rows_.append(row)
    return pd.DataFrame(rows_)


tables.show(best_configurations())

# %% [markdown]
# ### The printed rate and length
#
# **On MNIST, the recipe that ends with the smaller error has the worse reconstruction score and the better codes.**
#
# Which recipe that is depends on the protocol, because the paper does not print the size of a batch:
#
# | tables | printed (section 4.3) | steps, with our 128 | |
# |---|---|---|---|
# | 1, 3, 6: nine classes normal | 50 epochs at $10^{-4}$ | 19 000 | nineteen times our short training |
# | 2, 4, Figs. 5 and 7: one class normal | the same | 2000 | twice as many steps, at a tenth of the rate |
#
# The public code has batches of 128 until November 2021 and of 1024 after. The latter would be some 300 steps for one class.
#
# Each way of training stands beside our short one on the same classes and seed, or beside the same one in the layers of the
# paper. **held out** is the absolute error on held-out normal images in units of 0.001; **NLN** is at the paper's setting. For AE-res
# the weight of the adversarial term differs, too.


# %% tags=["hide-input"]
WAY = ["tier", "arch", *AS_SET]
SHORTLY = {"tier": "demo", "arch": "paper", **AS_SET}
LAYERS = {
    "code": "layers after the code, pooled three times",
    "public": "layers of the public code",
}


def trained_how():
    """One row per training: what it was, its steps and the errors that it ended with, the
    squared one on training images, the absolute one on held-out normal ones."""
    rows_ = []
    for record in recorded:
        about = {"class_name": record.class_name, **record.parameters}
        held_out = {
            r.method: r.value for r in record.results if r.metric == "error;held_out"
        }
        for method, history in record.training.items():
            row = {"method": method, "rec": history["terms"]["rec"]}
            row |= {"steps": history["images"] / record.parameters["batch"]}
            rows_.append(about | row | {"held_out": held_out.get(method)})
    rows_ = pd.DataFrame(rows_)
    rows_ = rows_[(rows_.tier != "smoke") & rows_.protocol.isin(["miso", "simo"])]
    return rows_.drop_duplicates(same)


def in_words(way):
    """A way of training: printed or short, and in what else it differs from the others."""
    words = ["printed" if way["tier"] == "paper" else "short"]
    words += [LAYERS[way["arch"]]] if way["arch"] in LAYERS else []
    words += [f"{x} {way[x]}" for x in AS_SET if way[x] != AS_SET[x]]
    return ", ".join(words)


def recipes(tier):
    """Every model that was trained in more than one way: each way of this tier, and beside it
    the short training, or what differs in the layers alone, on the classes that both have.
    And each way on all its classes, where it has more of them."""
    trainings, table = trained_how(), []
    of_model, runs_ = ["dataset", "protocol", "method", "L"], ["class_name", "seed"]

    def row(key, way, runs):
        these = dict(zip(of_model, key, strict=True)) | way
        rows = where(every, kind="auroc", **these).merge(runs)
        _, _, n, _, weight = configuration(key[0], key[1])
        score = OWN.get(key[2], "nln")
        codes = where(rows, at_score=score, at_K=1, at_alpha=0.0, at_scale="held out")
        values = {
            "reconstruction": per_class(where(rows, at_score="recon")),
            "codes alone": per_class(codes),
            "NLN": at_setting(rows, score, n, weight),
        }
        mine = where(trainings, **these).merge(runs)
        of_row = {"data": tables.DATASETS[key[0]], "protocol": key[1].upper()}
        of_row |= {"model": f"{key[2]}, {key[3]}", "recipe": in_words(way)}
        of_row |= {"n": str(len(runs)), "steps": f"{mine.steps.mean():,.0f}"}
        of_row |= {"held out": 1000 * mine.held_out.mean()}
        return of_row | {name: 100 * v.mean() for name, v in values.items()}

    for key, of_this in trainings.groupby(of_model):
        ways = where(of_this, tier=tier).groupby(WAY)
        for way in [dict(zip(WAY, w, strict=True)) for w, _ in ways]:
            mine = where(of_this, **way)[runs_]
            for beside in (way | {"arch": "paper"}, SHORTLY):
                both = where(of_this, **beside)[runs_].merge(mine)
                if way not in (beside, SHORTLY) and len(both):
                    table += [row(key, beside, both), row(key, way, both)]
                    if len(mine) > len(both):
                        table.append(row(key, way, mine))
                    break
    table = pd.DataFrame(table).drop_duplicates()
    place = table.pop("data") + ", " + table.pop("protocol") + ": " + table.pop("model")
    table.insert(0, "data and model", place.mask(place == place.shift(), ""))
    return table


tables.show(recipes("paper"))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "The same for other short trainings", "code_prompt_hide": "The same for other short trainings"}
tables.show(recipes("demo"))

# %% [markdown]
# * **Nine classes normal.** The printed recipe trains longer and redraws better. On every digit run in full, the reconstruction error of
#   the plain autoencoder is then the worse detector, and its codes are the better one.
# * **One class normal.** The printed recipe trains *less*: its held-out error is larger on every class run both ways. On MNIST the
#   reconstruction score is better for it, except on the digit 1, and the codes are worse.
# * **AE-res on MNIST.** The printed recipe follows Table 4 most closely. It ends far below the printed value. On the digit 0
#   one seed of two ends at chance. What fails is the critic as we built it: the same networks rank well by their pixel error, but $\alpha = 1$ asks
#   the critic's features alone. Which layer these are is our choice; {ref}`another one gains <nln-readings>`.
# * **The VAE on Fashion-MNIST** has all ten garments in the printed recipe, with two seeds: 89 and 89, where the paper prints 94.
# * **Layers after the public code**, pooled three times where it pools twice, redraw held-out digits worse than those of the paper. The VAE redraws
#   held-out garments better by the squared error, and worse by the cross entropy. These are four digits and two garments of one seed.
#
# It fits the argument of the method: beyond some point, training teaches a network to redraw what it has never seen. Within one training it
# is not so simple: the AUROC of the reconstruction first rises with the quality of the copy, as in the paper's Fig. 7.
#
# (nln-readings)=
# ### Under every reading
#
# Two headline numbers on MNIST, each under every value that we varied of what the paper leaves open, on two digits fixed beforehand. Large points are
# their mean, small ones the digits. The line is the printed mean over ten. Nothing is chosen here.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-nln-readings", "caption": "Table 3 on MNIST, nine digits normal: AE-con under every reading, on the novel digits 1 and 9."}, "image": {"alt": "Dot plot with one row for each reading of the paper, our AUROC as points and the printed value as a line"}}
claim = readings.claims()["nln-mnist"]
of_claim = readings.table(claim, recorded)
readings.figure(claim, of_claim)
plt.show()

# %% tags=["hide-input"]
tables.Text(readings.sentence(of_claim))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Every reading as a table, with its source", "code_prompt_hide": "Every reading as a table, with its source"}
tables.show(readings.shown(of_claim))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-nln-readings-simo", "caption": "Table 4 on MNIST, one digit normal: the discriminative AE under every reading, on the digits 8 and 2."}, "image": {"alt": "Dot plot with one row for each reading of the paper, our AUROC as points and the printed value as a line"}}
claim = readings.claims()["nln-mnist-simo"]
of_claim = readings.table(claim, recorded)
readings.figure(claim, of_claim)
plt.show()

# %% tags=["hide-input"]
tables.Text(readings.sentence(of_claim))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Every reading as a table, with its source", "code_prompt_hide": "Every reading as a table, with its source"}
tables.show(readings.shown(of_claim))

# %% [markdown]
# With one digit normal the answer hangs on a name. The paper's best model there is called "discriminative AE" and not explained. Read as
# AE-res, with $\alpha = 1$ and the features $q$ as we took them, it stays more than ten points below what is printed. Read as AE-con, it is within two.
# But the paper calls AE-con by its own name in the same section, so we keep AE-res. Its critic and $\alpha$ matter as much: with $\alpha$ on the codes
# the same networks are within three points, and by their pixels within five.


# %% tags=["hide-input"]
def with_the_last_map(rows):
    """What AE-res has with the last map of its critic, beside its dense layer."""
    row, default = rows[rows.reading == "its last map, of 2048"].iloc[0], rows.iloc[0]
    text = f"With the last map of its critic as q, AE-res has {100 * row.ours:.0f} on the digits 8 and 2, with its dense layer {100 * row.beside:.0f}."
    if row.every == row.every:
        text += f" Over all ten digits it has {100 * row.every:.0f} in place of {100 * default.every:.0f}, and {100 * row.line:.0f} is printed."
        assert default.every < row.every < row.line
    return tables.Text(text)


with_the_last_map(of_claim)

# %% [markdown]
# On Fashion-MNIST the paper's best model with one garment normal is the VAE. The two garments are those of {doc}`ICS's readings <ics_evidence>`.
# They were taken over when all ten had been seen at full length, so they were not fixed beforehand.

# %% tags=["hide-input"]
claim = readings.claims()["nln-fashion-simo"]
of_claim = readings.table(claim, recorded)
tables.Text(readings.sentence(of_claim))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Every reading as a table, with its source", "code_prompt_hide": "Every reading as a table, with its source"}
tables.show(readings.shown(of_claim))

# %% [markdown]
# (nln-loss)=
# ### The loss, and what α weighs
#
# Two of these choices matter most. Section 3.2 names two losses. The number beside Fig. 7 {ref}`may be a cross entropy <nln-0075>`, and the public code
# has that loss since November 2021. And $\alpha$ weighs the images in the equations, but the codes in a script of the public code. Here are all four
# pairs, at the paper's $K$ and $\alpha$, on all ten classes.


# %% tags=["hide-input"]
def pairs(dataset, protocol):
    """Mean AUROC in percent by loss and by what α weighs, seed 0; a row per pair that
    was run on all classes, beside the printed value."""
    paper, model, n, size, weight = configuration(dataset, protocol)
    at = {"dataset": dataset, "protocol": protocol, "method": model, "L": size}
    at |= {"arch": "paper", "tier": "demo", "seed": 0, **AS_SET}
    del at["loss"]
    rows, score = where(every, kind="auroc", **at), OWN.get(model, "nln")
    place = f"{paper.table}, {tables.DATASETS[dataset]}: {model}"
    for loss, words in (("squared", "squared error"), ("bce", "cross entropy")):
        for half, of in (("the images", weight), ("the codes", 1 - weight)):
            of_class = at_setting(where(rows, loss=loss), score, n, round(of, 2))
            if len(of_class) == 10:
                row = {"": place, "loss": words, "α weighs": half}
                yield row | {
                    "printed": 100 * paper.value,
                    "ours": 100 * of_class.mean(),
                }


of_pairs = pd.DataFrame([*pairs("mnist", "miso"), *pairs("fashion_mnist", "simo")])
tables.show(of_pairs, caption="Mean AUROC in percent, demo tier, seed 0.")

# %% [markdown]
# **What looked like a shortfall of the method may be choices of ours.** Trained by the cross entropy, AE-con comes within two points of Table 3,
# whatever $\alpha$ weighs. So it does by the squared error, if its critic has no dense layer, as section 4.3 can be read. The VAE comes within two points of Table 4 if $\alpha$ weighs the codes as well, and with one of the two alone it does not.
#
# A cross entropy is a larger number than a squared error. So the reconstruction also weighs more against the divergence of the VAE and against the
# adversarial term of AE-con. The paper prints none of these weights.


# %% tags=["hide-input"]
def one_at_a_time():
    """What AE-con gains on the digits 1 and 9 by several changes, one at a time."""
    words = {
        "cross entropy": "by the cross entropy",
        "its last map, of 2048": "with the critic's last map as its features",
        "32": "in steps of 32 images",
        "0.1": "with a tenth of the adversarial term",
        "0": "without the adversarial term",
    }
    rows = readings.table(readings.claims()["nln-mnist"], recorded)
    rows = rows[rows.reading.isin(words) & ~rows.default].dropna(subset="ours")
    assert (100 * (rows.ours - rows.beside) > 8).all()
    rows = rows.sort_values("ours", ascending=False)
    told = [f"{100 * row.ours:.0f} {words[row.reading]}" for row in rows.itertuples()]
    return tables.Text(
        f"The loss is not alone. On the digits 1 and 9 AE-con has {100 * rows.beside.iloc[0]:.0f} by our default, {', '.join(told)}."
    )


one_at_a_time()


# %% tags=["hide-input"]
def without_other_terms():
    """The plain autoencoder by either loss, with one digit normal: means over 8 and 2."""
    at = {"dataset": "mnist", "protocol": "simo", "method": "AE", "seed": 0, "L": 128}
    at |= {name: value for name, value in SHORTLY.items() if name != "loss"}
    rows = where(every, kind="auroc", **at)
    rows = rows[rows.class_name.isin(["8", "2"])]
    grid = where(rows, at_score="nln", at_K=3, at_scale="held out")
    parts = {
        "error": where(rows, at_score="recon"),
        "image part": where(grid, at_alpha=1.0),
        "codes": where(grid, at_alpha=0.0),
    }
    of = pd.DataFrame(
        {n: 100 * x.groupby("loss").value.mean() for n, x in parts.items()}
    )
    if set(of.index) != {"squared", "bce"}:
        return tables.Text(tables.NOTHING)
    lift = of.loc["bce"] - of.loc["squared"]
    assert lift[["error", "image part"]].abs().max() < 1 < 4 < lift.codes
    return tables.Text(
        "A plain autoencoder has no other term, so it tells the loss from the balance. With one digit normal, 8 or 2, the cross entropy leaves its "
        f"error and its image part within a point. It lifts the codes from {of.codes['squared']:.0f} to {of.codes['bce']:.0f}. For the codes it is the loss itself, as far as two digits with one seed tell."
    )


without_other_terms()

# %% [markdown]
# This is weaker than a prediction. We put the pairs together after we had seen them on the digits 1 and 9 and on two garments; the other eight
# classes of each were run after that. It is also one seed, and short. At full length, on the garments that have been run, the VAE by the cross entropy is
# *lower* than after the short training if $\alpha$ weighs the codes. And a tenth of the divergence does by the squared error, on two garments, what the cross
# entropy does:


# %% tags=["hide-input"]
def lengths_and_weights():
    """The VAE on Fashion-MNIST with α on the codes, in percent: pairs of trainings, each on
    the classes that both have."""
    at = {"dataset": "fashion_mnist", "protocol": "simo", "method": "VAE", "seed": 0}
    at |= {"arch": "paper", "batch": 128, "kind": "auroc", "at_score": "nln", "at_K": 3}
    at |= {"at_alpha": 0.1, "at_scale": "held out", "L": 32}
    ways = {
        "squared error": {"tier": "demo", "loss": "squared", "kl": 1.0},
        "… and a tenth of the divergence": {
            "tier": "demo",
            "loss": "squared",
            "kl": 0.1,
        },
        "cross entropy": {"tier": "demo", "loss": "bce", "kl": 1.0},
        "… and full length": {"tier": "paper", "loss": "bce", "kl": 1.0},
    }
    of = {w: 100 * per_class(where(every, **at, **how)) for w, how in ways.items()}
    pairs = [("squared error", "… and a tenth of the divergence")]
    pairs += [
        ("squared error", "cross entropy"),
        ("cross entropy", "… and full length"),
    ]
    rows_ = []
    for first, second in pairs:
        both = pd.DataFrame({"first": of[first], "second": of[second]}).dropna()
        row = {"from": first, "to": second, "garments": len(both)}
        rows_.append(
            row | {"AUROC before": both["first"].mean(), "after": both["second"].mean()}
        )
    return pd.DataFrame(rows_)


tables.show(lengths_and_weights())

# %% [markdown]
# Our default stays the squared error, because a default does not follow results. The ledger calls both numbers contested.
#
# ## Neighbours and dimensions
#
# The paper's Fig. 5 varies $K$ and $L$ for the plain autoencoder under SIMO at $\alpha = 0.8$. It finds the best at $L = 128$ with $K > 3$ for
# MNIST and Fashion-MNIST, and at $L = 256$ with $K = 1$ for CIFAR-10. **Ours go against it in $L$.**

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-nln-heat", "caption": "As the paper's Fig. 5: mean AUROC in percent of the plain autoencoder under SIMO at α = 0.8, over the classes that are recorded for every L of the panel."}, "image": {"alt": "Heat maps of AUROC with the number of neighbours on one axis and the latent dimension on the other, one per data set"}}
heat, by_class = {}, {}
for dataset in SETS:
    rows = where(ours, dataset=dataset, protocol="simo", method="AE", at_score="nln")
    rows = rows[(rows.at_scale == "held out") & (rows.at_alpha == 0.8)]
    table = rows.pivot_table(index="class_name", columns=["L", "at_K"], values="value")
    table = table.dropna()
    if len(table) and table.columns.get_level_values(0).nunique() > 1:
        names = f"{tables.DATASETS[dataset]}, {len(table)} classes"
        heat[names], by_class[dataset] = 100 * table.mean().unstack(), table
if heat:
    figure, axes = plt.subplots(1, len(heat), figsize=(4 * len(heat), 3), squeeze=False)
    for axis, (name, table) in zip(axes[0], heat.items(), strict=True):
        table.columns = table.columns.astype(int)
        sns.heatmap(table, annot=True, fmt=".1f", cbar=False, cmap="viridis", ax=axis)
        axis.set(title=name, xlabel="K", ylabel="L")
    plt.show()
else:
    print("needs recorded runs with several L")

# %% [markdown]
# On three garments more neighbours help, as the paper finds. $L = 128$ is the worst of our three sizes, by tenths of a point.


# %% tags=["hide-input"]
def smaller_code(table):
    """MNIST, AUROC by class in columns of (L, K): what L = 32 is against 128."""
    small, large = (100 * table[size] for size in (32, 128))
    mean = pd.DataFrame({32: small.mean(), 128: large.mean()})
    won = (small > large).sum()
    assert (mean[32] > mean[128]).all()
    spread = (mean.max() - mean.min()).max()
    best = mean.max()
    digits = f"{won.min()}" if won.min() == won.max() else f"{won.min()} to {won.max()}"
    return (
        f"On MNIST the number of neighbours hardly matters: it moves a mean by {spread:.1f} points at most. $L = 32$ is ahead of $L = 128$ at every $K$, "
        f"on {digits} of {len(small)} digits. The best means are {best[32]:.1f} and {best[128]:.1f}."
    )


tables.Text(smaller_code(by_class["mnist"])) if "mnist" in by_class else None

# %% [markdown]
# (nln-0075)=
# ## An error of 0.075
#
# Beside its Fig. 7 the paper says that the MSE converges to 0.075, on all digits but the zero. **It is hardly a squared error. A cross entropy is one
# reading of it, a root mean square another.** Two landmarks tell. A network that always draws the *mean image* has the variance of the pixels as its squared error. And
# the cross entropy $-x \log \hat x - (1 - x) \log(1 - \hat x)$, to which the public code changed in November 2021, does not fall to zero: for
# grey pixels even a *perfect copy* pays their entropy.


# %% tags=["hide-input"]
def landmarks(X):
    """Squared error of the mean image, cross entropy of a perfect copy: two numbers
    for X, float (n, pixels) in [0, 1]."""
    of_mean = (X - X.mean(0)).square().mean()
    of_copy = -(torch.xlogy(X, X) + torch.xlogy(1 - X, 1 - X)).mean()
    return float(of_mean), float(of_copy)


half = torch.tensor([[0.5], [0.5]])  # no variance, and one bit
assert np.allclose(landmarks(half), (0, np.log(2)))
sample = data.load("mnist_sample")
X = sample.images[sample.labels != 0].flatten(1).float() / 255
of_mean, of_copy = landmarks(X)
assert of_copy < 0.075 and of_mean < 0.075
tables.Text(
    f"On the sample of MNIST that comes with the book, without its zeros, they are {of_mean:.3f} and {of_copy:.3f}. "
    "As a squared error 0.075 would be worse than the mean image. As a cross entropy it lies above the floor, where a good autoencoder ends. "
    "Whoever stops when the squared error falls to 0.075 stops at a network that draws nothing."
)


# %% tags=["hide-input"]
def other_units():
    """Root mean square and mean absolute error of the plain autoencoder at full length."""
    long = trained_how()
    long = where(long, tier="paper", dataset="mnist", method="AE", arch="paper")
    long = where(long, seed=0, **AS_SET)
    zero = where(long, protocol="simo", class_name="0")
    nine = long[long.protocol == "miso"]
    if not len(zero) or not len(nine):
        return tables.Text(tables.NOTHING)
    root = np.sqrt(nine.rec)
    assert root.min() < 0.075 < np.sqrt(zero.rec.iloc[0])
    largest = max(nine.held_out.max(), zero.held_out.iloc[0])
    return tables.Text(
        f"A root mean square fits as well. That of our plain autoencoder at full length, in training, is {root.min():.3f} to {root.max():.3f} with nine digits normal and "
        f"{np.sqrt(zero.rec.iloc[0]):.3f} on the zero alone. Its mean absolute error on held-out images is {largest:.3f} at most, so read as that 0.075 "
        "would be a weaker network. We cannot decide it from the paper."
    )


other_units()

# %% [markdown]
# ### Loss and AUROC over the epochs
#
# The paper's Fig. 7 follows one autoencoder on the digit 0: the loss falls, the AUROC rises. Batches depend only on the seed and the step, so a row is
# a shorter training. Most of the rise comes first.

# %% tags=["hide-input"]
zero = records.to_frame(recorded)
zero = where(zero, tier="paper", dataset="mnist", class_name="0", method="AE")
zero = zero[zero.protocol == "simo"]
traced = zero.dropna(subset="at_epoch").astype({"at_epoch": int})
traced = traced.rename(columns={"at_epoch": "epoch", "at_score": "score"})
traced = 100 * traced.groupby(["epoch", "score"]).value.mean().unstack("score")
assert (traced.diff().dropna() > 0).all(axis=None)
traced.columns = ["image part, α = 1", "reconstruction"]
told = f"AUROC in percent, one digit normal (0), {tables.runs(zero)}."
tables.show(traced[["reconstruction", "image part, α = 1"]], caption=told)

# %% [markdown]
# ## What we have not shown
#
# * **Length.** The tables, but for "The printed rate and length", test orderings on short runs.
# * **AE-con and AE-res** depend on the balance of their games, of which the paper gives no number. Ours may not be the authors'.
# * **VAE and AAE** are recorded on few classes, and so is AE-res but for MNIST under SIMO.
# * **The public code's layers** (`arch="public"`) have only the runs among the readings above. Those that stand as `arch="code"` pool once more.
# * **CIFAR-10** numbers come from a JPEG-compressed copy and are marked so.
# * **The other methods** of the paper's Tables 3 and 4 were not run. DKNN is printed beside for scale.
