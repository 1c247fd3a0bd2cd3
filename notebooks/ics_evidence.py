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
# # ICS: the evidence
#
# This page trains nothing. It reads the records of finished runs, committed under `results/`, and asks what they carry. The method
# is derived and built on {doc}`its own page <ics>`. What the paper leaves open stands under {doc}`choices <../book/choices-ics>`,
# and {doc}`the ledger <../book/claims>` has a verdict on every printed number.
#
# Most runs are short: 6 + 6 epochs instead of 100 + 100. They can confirm a number of the paper. They cannot refute one.
#
# Values are AUROC in percent unless a table says otherwise. A run that was made again on another processor counts as the mean of
# both. ± and σ are explained under {ref}`statistics`.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from scipy.spatial.distance import pdist
from sklearn.svm import OneClassSVM

from novelty_utils import detectors, records
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics, plots, statistics
from novelty_utils.ledger import published, readings, tables
from novelty_utils.records import replications

results = records.BOOK  # or a folder of your own
if not results.is_dir():
    raise InputError(f"{results} has no records: open this notebook in a clone")
ics = detectors.load("ics")
plots.set_style()

printed = published.read("ics")
DEFAULTS = {"rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
DEFAULTS |= {"bn": "torch", "ssim": "gaussian"}
TRAINED = ["ICS", "CLS", "CAE", "Control", "Random", "Double"]
UNTRAINED = ["Original", "PCA", "HOG", "ImageNet"]
BY = ["dataset", "method"]

counted = replications.counted("ics", results)
every = records.where(records.to_frame(counted), protocol="one_class")  # the paper's
every = every.dropna(subset="value")
as_set = records.where(every, **DEFAULTS)  # in either tier
at_defaults = records.one_tier(as_set, "dataset")
at_defaults = tables.ordered(
    at_defaults, dataset=tables.DATASETS, method=TRAINED + UNTRAINED
)
ours = every.merge(at_defaults[["dataset", "tier"]].drop_duplicates())
sets = list(dict.fromkeys(at_defaults.dataset))


def rows_of(dataset, metric):
    return records.where(at_defaults, dataset=dataset, metric=metric)


def mean_of(dataset, method, metric="auroc"):
    """Over the recorded classes, in percent."""
    return 100 * statistics.per_class(rows_of(dataset, metric), method=method).mean()


def gain(better, worse, rows):
    """The difference of two methods over classes, in points."""
    more, less = (records.where(rows, method=method) for method in (better, worse))
    return statistics.paired(100 * statistics.differences(more, less))


# %% [markdown]
# ## Class by class


# %% tags=["remove-input"]
def in_a_sentence(dataset):
    ahead = gain("ICS", "CLS", rows_of(dataset, "auroc"))
    paper = 100 * published.cells("ics", "Table 4").loc[dataset].mean()
    return (
        f"On {tables.DATASETS[dataset]} ICS is ahead of CLS on {ahead.won} of {ahead.n} classes. "
        f"Its mean is {mean_of(dataset, 'ICS'):.1f}; the paper prints {paper.ICS:.1f}."
    )


tables.Text(" ".join(in_a_sentence(name) for name in sets))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-classes", "caption": "AUROC per class: the paper (hollow) and our recorded runs (filled), for the three trained methods. CAE is the first stage alone; in short runs it has six epochs where CLS and ICS have twelve."}, "image": {"alt": "Dot plots of AUROC per class for CAE, CLS and ICS, one panel per data set, paper values hollow and our values filled"}}
colours = {"CAE": plots.NORMAL, "CLS": plots.ATYPICAL, "ICS": plots.NOVEL}
figure, axes = plt.subplots(len(sets), 1, figsize=(7.5, 2.8 * len(sets)), squeeze=False)
for axis, name in zip(axes[:, 0], sets, strict=True):
    paper = records.where(printed, table="Table 4", dataset=name)
    mine = rows_of(name, "auroc")
    table = tables.beside(mine, list(colours), paper)
    table = table[table.index.isin(mine.class_name)]
    x = np.arange(len(table))
    for shift, (method, colour) in zip((-0.2, 0, 0.2), colours.items(), strict=True):
        hollow = {"facecolors": "none", "edgecolors": colour}
        axis.scatter(x + shift, table[method, "paper"], **hollow)
        axis.scatter(x + shift, table[method, "ours"], color=colour, label=method)
    axis.set(title=tables.DATASETS[name], ylabel="AUROC in %", ylim=(None, 101))
    axis.set_xticks(x, table.index.str.replace("_", " "), rotation=30)
axes[0, 0].scatter([], [], facecolors="none", edgecolors="black", label="paper")
figure.legend(
    *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4
)
plt.show()


# %% tags=["hide-input"]
def show_beside(dataset, table, metric, methods):
    """Printed and measured values of one data set, per class."""
    mine = rows_of(dataset, metric)
    mine = mine[mine.method.isin(methods)]
    paper = records.where(printed, table=table, dataset=dataset)
    both = tables.beside(mine, methods, paper).rename_axis(index="normal class")
    both = both[[name for name in both if (name[0], "ours") in both]]
    both = both.rename(index=lambda name: name.replace("_", " "))
    caption = f"{table}, {tables.runs(mine)}."
    display(tables.show(both, caption=caption))


for name in sets:
    for methods in (TRAINED[:4], UNTRAINED):
        show_beside(name, "Table 4", "auroc", methods)

# %% [markdown]
# Read no finding from the column CAE. It is the first stage alone and has had half the epochs of the others.
#
# ## Where the lead over CLS comes from
#
# Most of it comes with the number of images per step: in our reading of the paper ICS sees 128 and CLS 64. The dispersion loss has no
# part in it. The lead itself is ours: in AUROC the paper prints CLS ahead on MNIST, and our CLS falls short of that.
#
# ICS differs from CLS in four ways. It has a dispersion loss. It knows which images were reconstructed badly. It asks closeness of
# nine tenths of the images and shows the last tenth many times as often. And in our reading it sees twice the images per step:
# the paper has a minibatch of 64 "for all experiments" and does not say whether a batch of ICS is 64 of each part or 64 in all. The paper
# credits the first. Three controls of ours take them away one at a time.
# They leave two parts: how many images a step sees, and the knowledge which images were redrawn badly. One seed of ten digits cannot rank the two.
#
# | method | images per step | loss |
# |---|---|---|
# | **ICS** | 64 typical + 64 atypical | all four terms |
# | **Control** | 64 typical + 64 atypical | without dispersion |
# | **Random** | 64 + 64 of a split by lot, of the same sizes | as Control |
# | **Double** | 64 + 64 of all | as CLS |
# | **CLS** | 64 of all | reconstruction and closeness |
#
# So the lead of ICS falls into four parts:
#
# ```{math}
# \begin{aligned}
# \text{ICS} - \text{CLS} \;=\;& \underbrace{\text{ICS} - \text{Control}}_{\text{the loss}} \;+\; \underbrace{\text{Control} - \text{Random}}_{\text{which images}} \\
# &+\; \underbrace{\text{Random} - \text{Double}}_{\text{how they are mixed}} \;+\; \underbrace{\text{Double} - \text{CLS}}_{\text{how many}}
# \end{aligned}
# ```
#
# An epoch is one pass over the first set. That is all images for CLS and Double, and the typical ones for the others, so Double and CLS take a tenth more steps.

# %% tags=["hide-input"]
PARTS = {
    ("Double", "CLS"): "how many images a step sees",
    ("Random", "Double"): "how they are mixed",
    ("Control", "Random"): "which images are shown more often",
    ("ICS", "Control"): "the dispersion loss",
    ("ICS", "CLS"): "all four",
}
runs = ["dataset", "class_name", "seed"]
alike = at_defaults.merge(
    at_defaults[at_defaults.method == "Double"][runs].drop_duplicates()
)
found, SCORES = {}, {"SVM": "auroc", "distance": "auroc_distance"}
for score, metric in SCORES.items():
    of_score = records.where(alike, metric=metric, dataset="mnist")
    found |= {(score, *pair): gain(*pair, of_score) for pair in PARTS}
rows_ = []
for pair, words in PARTS.items():
    row = {"part": " − ".join(pair), "what it measures": words}
    for score in SCORES:
        one = found[score, *pair]
        row |= {score: one.mean, f"{score}, ±": one.half}
        row |= {f"{score}, ahead": f"{one.won} of {one.n}"}
    rows_.append(row)
about = tables.runs(records.where(alike, dataset="mnist"))
caption = f"Points of AUROC under the SVM and under the plain distance to the mean code. {about}."
tables.show(pd.DataFrame(rows_), precision=2, caption=caption)

# %% tags=["remove-input"]
lead = {score: found[score, "ICS", "CLS"].mean for score in SCORES}
share = {(s, *pair): found[s, *pair].mean / lead[s] for s in SCORES for pair in PARTS}
tables.Text(
    f"Under the SVM the lead is {lead['SVM']:.1f} points. Seeing as many images per step makes {share['SVM', 'Double', 'CLS']:.0%} of it, "
    f"knowing which ones {share['SVM', 'Control', 'Random']:.0%}, and the dispersion loss {share['SVM', 'ICS', 'Control']:.0%}. "
    f"Under the plain distance these are {share['distance', 'Double', 'CLS']:.0%}, {share['distance', 'Control', 'Random']:.0%} "
    f"and {share['distance', 'ICS', 'Control']:.0%} of {lead['distance']:.1f} points.".replace(
        "-", "−"
    )
)

# %% [markdown]
# Why should more images per step help? Perhaps because six epochs end before anything has settled, and more images make a
# steadier step. Then the lead should melt at full length. The paper's own Table 4 has CLS ahead on MNIST in the mean, through the
# digits 5 and 7. We have not run it.
#
# **The lesson does not wait for that.** A baseline has to see as many images as the method that is compared with it. "64 images
# per step" for both does not say so when one of them draws its 64 twice. This is a fault of our reading. Whether it is one of the
# paper's design depends on what a batch of ICS was; 32 + 32 is not run.
#
# The same on any data set:
#
# ```bash
# novelty run ics -p dataset=mnist -p class_name=all -p tier=demo -p methods=CLS,ICS,Control,Random,Double -p results=mine
# ```
#
# ### All recorded differences


# %% tags=["hide-input"]
def compare(better, worse, dataset, score):
    """The difference of two methods over the classes of a data set, in points."""
    one = gain(better, worse, rows_of(dataset, SCORES[score]))
    if one.n < 6:
        return []
    cells = 100 * published.cells("ics", "Table 4").loc[dataset]
    known = score == "SVM" and {better, worse} <= set(cells.columns)
    row = {"data": tables.DATASETS[dataset], "difference": f"{better} − {worse}"}
    row |= {"score": score}
    row |= {"paper": (cells[better] - cells[worse]).mean() if known else None}
    row |= {"ours": one.mean, "±": one.half, "ahead": f"{one.won} of {one.n}"}
    return [row | {"p": one.p}]


pairs = [("ICS", "CLS"), ("ICS", "Double"), ("ICS", "Control"), ("Control", "CLS")]
kinds = [(d, score) for d in sets for score in SCORES]
steps = [row for kind in kinds for pair in pairs for row in compare(*pair, *kind)]
caption = "Points of AUROC, seeds of a class averaged first; p by Wilcoxon's signed-rank test over classes."
tables.show(pd.DataFrame(steps), {"p": "{:.3f}"}, precision=2, caption=caption)

# %% [markdown]
# Classes differ much, so a mean over few of them says little. CLS − CAE is left out, because CAE is trained half as long.
#
# ## Is it the dispersion loss?
#
# No run of ours shows it. ICS − Control isolates the loss, in the table above. The paper reads its Table 5 as insensitivity to
# $\beta$: $10^{-7}$ is nearly as good as $10^{-5}$ on Fashion-MNIST and CIFAR-10. A loss that plays no part would look the same. On MNIST its column disagrees: $10^{-7}$ loses a point of balanced
# accuracy against $10^{-5}$ and lies below CLS. Those are single runs, with a threshold tuned on test images.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-sweeps", "caption": "The paper's Tables 5 and 6: balanced accuracy, threshold tuned on test images, against the weight of the dispersion losses (left) and the share of atypical images (right), means over ten classes (dashed). Where a whole sweep of ours has been recorded, it is solid, over the classes in the legend; our beta of 0 stands at 1e-8."}, "image": {"alt": "Two line plots of balanced accuracy, against beta on the left and rho on the right; three nearly level dashed lines each, one per data set; two of those over beta fall at its largest value"}}
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
recorded = {}
for axis, name, table in ((axes[0], "beta", "Table 5"), (axes[1], "rho", "Table 6")):
    for number, d in enumerate(("mnist", "fashion_mnist", "cifar10")):
        colour, words = f"C{number}", tables.DATASETS[d]
        line, (mine, classes) = printed_line(d, table), our_line(d, name)
        axis.plot(line, "--", color=colour, alpha=0.7, label=f"{words}, paper")
        recorded[name, d] = len(mine) >= 3
        if recorded[name, d]:
            mine.index = mine.index.where(mine.index > 0, 1e-8)  # for the logarithm
            axis.plot(mine, "o-", color=colour, label=f"{words}: {classes}")
    axis.set(xlabel={"beta": "β", "rho": "ρ in %"}[name])
    axis.set(xscale={"beta": "log", "rho": "linear"}[name])
axes[0].set_ylabel("balanced accuracy in %")
axes[0].legend(fontsize=8, loc="center left")
plt.show()

# %% tags=["remove-input"]
whole = [
    f"{name} on {tables.DATASETS[d]}" for (name, d), yes in recorded.items() if yes
]
tables.Text(f"Whole sweeps of ours: {', '.join(whole) or 'none so far'}.")

# %% [markdown]
# Both are parameters, so a sweep is a loop: `novelty sweep sweeps/ics_table5.yml` and `sweeps/ics_table6.yml`.
#
# ## Thresholds
#
# ### Balanced accuracy by the paper's rule
#
# Table 1 of the paper sets the threshold on labelled test images.

# %% tags=["hide-input"]
for name in sets:
    show_beside(name, "Table 1", "bacc_tuned_on_test", TRAINED[:4])

# %% [markdown]
# ### Without labels
#
# The same detectors with a threshold that one could have in practice: the 90 % quantile of held-out normals, or the SVM's own
# boundary. **rejected** is the share of held-out normals beyond that boundary, which $\nu$ promises to be about 10 %. Take the quantile: the boundary of
# some runs rejects everything, for a reason given under "Digits" below.

# %% tags=["hide-input"]
RULES = {
    "bacc_tuned_on_test": "tuned on test",
    "bacc_held_out": "quantile",
    "bacc_zero": "own boundary",
    "held_out_rejected": "rejected",
}


def by_metric(names):
    """What picks the rows of each column of a table."""
    return {name: {"metric": metric} for metric, name in names.items()}


def by_rule(rows, rules, caption):
    """In percent, one column per metric; of the shares the range over all runs as well."""
    table = tables.overview(rows, BY, by_metric(rules)).drop(columns="n")
    table = table.set_index(["data", "method"])
    rows = rows.assign(data=rows.dataset.map(tables.DATASETS))
    for rule, name in rules.items():
        if rule.startswith("held"):
            runs = records.where(rows, metric=rule).groupby(["data", "method"]).value
            ends = runs.agg(lambda v: f" ({100 * v.min():.0f} to {100 * v.max():.0f})")
            table[name] = table[name].map("{:.1f}".format) + ends
    return tables.show(table, caption=caption)


caption = "Balanced accuracy by three thresholds, mean over classes; of the rejected share also the lowest and highest of any run."
by_rule(at_defaults, RULES, caption)

# %% [markdown]
# ### Thresholds that know the answer
#
# A threshold tuned on labelled test images cannot fall much below one half, however bad the ranking. In the printed tables this
# hides detectors that rank novelties *below* normals.

# %% tags=["hide-input"]
cells, auroc = (published.cells("ics", f"Table {n}") for n in (1, 4))
hidden = (auroc < 0.5) & (cells[auroc.columns] > 0.5)
by_set = hidden.groupby("dataset").sum().astype(int)
by_set = by_set.rename(index=tables.DATASETS).rename_axis("data")
caption = f"{hidden.sum().sum()} printed cells have an AUROC below and a balanced accuracy above one half."
tables.show(by_set, caption=caption)

# %% [markdown]
# ## The SVM
#
# ### Digits
#
# The solver keeps the kernel in single precision, which has seven digits. Closeness spends them all, since every entry is 1 minus
# something tiny. This table makes up codes of a smaller and smaller spread. It counts the values that the kernel takes, the steps
# of the solver, and the share of held-out codes beyond the boundary, where $\nu$ promises 10 %.

# %% tags=["hide-input"]
draw = np.random.default_rng(0)
rows_ = []
for size in (1e-1, 1e-2, 1e-3, 2e-4, 6e-5):
    codes = 0.5 + size * draw.normal(size=(2, 1000, ics.L))
    train, held_out = codes
    entries = np.exp(-pdist(train[:300], "sqeuclidean") / ics.L).astype(np.float32)
    row = {"spread": size, "values": len(np.unique(entries))}
    for tol in (1e-3, 1e-6):
        svm = OneClassSVM(nu=0.1, gamma="auto", tol=tol).fit(train)
        row[f"steps, {tol:g}"] = int(svm.n_iter_)
        row[f"rejected, {tol:g}"] = (svm.decision_function(held_out) < 0).mean()
    row["rejected, shifted"] = (ics.shifted_scores(train, held_out)[0] > 0).mean()
    rows_.append(row)
digits = pd.DataFrame(rows_)
assert digits["steps, 0.001"].iloc[-1] == digits["steps, 1e-06"].iloc[-1] == 0
assert digits["rejected, 1e-06"].iloc[-1] == 1
assert digits["rejected, shifted"].between(0.06, 0.15).all()
shares = dict.fromkeys(digits.filter(like="rejected").columns, "{:.0%}")
caption = "Made-up codes, no data. Columns name the tolerance of the solver; 'shifted' has the kernel minus 1."
tables.show(digits, {"spread": "{:g}"} | shares, caption=caption)

# %% [markdown]
# In the last row all entries are the same number, 1. Any weights are as good as any others, so the solver returns those that it
# begins with: all weight on the first tenth of the training images. The distance to the mean of that tenth still ranks. But the offset is the sum of the weights, which no image reaches, so the
# boundary rejects everything.
#
# The repair is one subtraction. The sum of the weights is fixed, so a constant added to the kernel changes no solution. With
# $k - 1$ in place of $k$ all seven digits belong to the distances, and the boundary rejects what $\nu$ promises. The headline stays the library's
# SVM, at a tolerance of $10^{-6}$, because the authors most likely used a library too. Newer records hold all three:

# %% tags=["hide-input"]
SOLVED = {"": "1e-6", "_default_tol": "1e-3", "_shifted": "shifted"}
thrice = {f"auroc{end}": f"AUROC, {name}" for end, name in SOLVED.items()}
thrice |= {f"held_out_rejected{end}": f"rejected, {n}" for end, n in SOLVED.items()}
run_key = ["dataset", "class_name", "seed", "tier", "method"]
newer = at_defaults[at_defaults.metric == "auroc_shifted"][run_key]
newer = at_defaults.merge(newer)
by_rule(newer, thrice, f"The same codes, solved three times. {tables.runs(newer)}.")

# %% [markdown]
# ### The same codes under three scores

# %% tags=["hide-input"]
SEES = {
    "auroc": "SVM",
    "auroc_distance": "distance",
    "auroc_standardised": "SVM, standardised",
    "code_spread": "spread",
}
seen = at_defaults[at_defaults.method.isin(TRAINED)]
seen = tables.overview(seen, BY, by_metric(SEES), scale=1)
caption = "AUROC as a fraction under the SVM, the distance to the mean code, and the SVM on coordinates divided by their deviation; the spread of a coordinate on training images."
tables.show(seen.set_index(["data", "method"]), precision=4, caption=caption)

# %% tags=["remove-input"]
tables.Text(
    " ".join(
        f"On {tables.DATASETS[name]} ICS has {mean_of(name, 'ICS'):.1f} under the SVM and {mean_of(name, 'ICS', 'auroc_distance'):.1f} under the plain distance."
        for name in sets
    )
)

# %% [markdown]
# For CAE the SVM falls below the distance on all ten digits of MNIST, although its codes have *not* shrunk. Nor need they. With
# $\gamma = 1/L$ and codes in $(0,1)^L$ the exponent $\gamma\lVert z-z'\rVert^2$ never exceeds 1. So the SVM is close to a distance there, too, to the centre of the widest tenth.
#
# ### Where the centre lies
#
# With $\nu = 0.1$ the SVM hands its weight to the most widely spread tenth of the training images, as {doc}`the method page <ics>` derives. With $\rho = 10$ the split has
# made such a tenth. Where the centre lands depends on how wide that tenth is. If its codes lie in all directions, they take the weight and the centre lies at
# or near them. If they are a tight group, the greatest variance comes from half of the weight on either side, and the centre lies *between*
# typical and atypical codes, where no image is. Either way a novel image near the centre gets the lowest score of all. The figure makes
# up the second case.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-centre", "caption": "Made-up codes, not data: nine tenths of the training codes around the origin, one tenth at a distance D, novel codes half-way between. As D grows beyond the spread of the cloud, the centre that the SVM measures distances from (dotted) moves to the middle, and its AUROC falls to zero; the plain distance to the mean of all codes does not suffer."}, "image": {"alt": "Line plot over the distance D: the AUROC of the SVM falls to zero, that of the plain distance rises, and the position of the SVM's centre approaches one half"}}
draw = np.random.default_rng(0)
cloud = 2e-4  # a coordinate's spread; the recorded runs show this order of magnitude


def around(n, place):
    codes = draw.normal(scale=cloud, size=(n, ics.L))
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
    row = {"D": D, "SVM": metrics.auroc(labels, -svm.decision_function(both))[0]}
    row["distance"] = metrics.auroc(labels, ics.distance_scores(train, both)[0])[0]
    row["centre"] = (a @ svm.support_vectors_)[0] / a.sum() / (D * cloud)
    rows_.append(row)
toy = pd.DataFrame(rows_).set_index("D")
assert toy["SVM"].iloc[-1] < 0.05 < 0.85 < toy["distance"].iloc[-1]
assert 0.4 < toy["centre"].iloc[-1] < 0.6
figure, axis = plt.subplots(figsize=(6.5, 3.2))
axis.plot(toy.index, toy["SVM"], "o-", label="AUROC of the SVM")
axis.plot(toy.index, toy["distance"], "s-", label="AUROC of the distance")
axis.plot(toy.index, toy["centre"], ":", color="black", label="centre of the SVM / D")
axis.set(xscale="log", xlabel="D in units of the cloud's spread")
axis.set_xticks(list(toy.index), [str(D) for D in toy.index])
axis.minorticks_off()
axis.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# If this is what happened, the split and the detector behind it work against each other where the atypical codes lie far out. We infer it
# from the distances of the log and from the gap between SVM and distance. The records do not hold the position of the centre.
#
# ## Fashion-MNIST: runs that came apart
#
# In four of the first trainings the SVM fails: ICS and Control, on the pullover and the T-shirt, one seed on one processor. After 6 + 6
# epochs the typical codes were close, and the atypical ones were not. Closeness has no term on the atypical ones, so this is no unfinished closeness: in
# Control on the pullover the typical codes are nearly as close as in the run that did not fail. Control ended in the same state, so it is no effect of
# the dispersion loss.
#
# Two numbers of each run need no label:
#
# * **atypical / typical**: the distance of an atypical code from a typical one over that of two typical ones, in the last epoch.
#   Where it is several times 1, the class is coming apart.
# * **spread / √ε**: the spread of all training codes over the bound that {doc}`the method page <ics>` derives. Below 1 the decoder begins to see
#   them shrink. It does not tell where the wide codes are.

# %% tags=["hide-input"]
LIMIT = {"torch": 1e-5**0.5, "keras": 1e-3**0.5}  # √ε
single_runs = records.read_with_reference("ics", results)
single_runs += records.read("ics", records.BOOK / replications.FOLDER)
ORDERED = {"ICS": "0", "Control": "1", "CLS": "2"}
EACH = ["class", "method", "tier", "seed", "on", "atypical / typical", "spread / √ε"]
EACH += ["SVM", "distance"]


def run_by_run(class_names, bn="torch"):
    """One row per run and network with closeness, at the defaults; and the processors."""
    rows, processors = [], {}
    at = DEFAULTS | {"protocol": "one_class", "bn": bn}
    for r in single_runs:
        if r.class_name not in class_names or r.tier == "smoke":
            continue
        if any(r.parameters[name] != value for name, value in at.items()):
            continue
        on = processors.setdefault(
            r.machine["gpu"] or r.machine["cpu"], chr(ord("A") + len(processors))
        )
        value = {(one.method, one.metric): one.value for one in r.results}
        for method in [m for m in ORDERED if (m, "auroc") in value]:
            terms = r.training[method]["terms"]
            row = {"class": r.class_name, "method": method, "tier": r.tier}
            row |= {"seed": r.seed, "on": on}
            row["atypical / typical"] = -terms.get("disp2", np.nan) / terms["cls"]
            row["spread / √ε"] = value[method, "code_spread"] / LIMIT[bn]
            row["SVM"] = 100 * value[method, "auroc"]
            row["distance"] = 100 * value[method, "auroc_distance"]
            rows.append(row)
    rows = pd.DataFrame(rows, columns=EACH).sort_values(
        EACH[:4], key=lambda c: c.map(lambda v: ORDERED.get(v, v))
    )
    return rows, {letter: name for name, letter in processors.items()}


each, processors = run_by_run(("pullover", "t-shirt"))
names = ", ".join(f"{letter} = {name}" for letter, name in processors.items())
caption = f"Every run of the two classes at the defaults, repeats on another processor included. Processors: {names}."
tables.show(each, {"spread / √ε": "{:.2f}"}, caption=caption)

# %% tags=["hide-input"]
closer = each["spread / √ε"] < 1


def ranges(rows):
    """Lowest to highest AUROC under the SVM, by class, method and tier."""
    by = rows.groupby(["class", "method", "tier"])["SVM"]
    ends = by.agg(lambda v: " to ".join(sorted({f"{v.min():.1f}", f"{v.max():.1f}"})))
    return ends + by.size().map(" ({})".format)


both = {"all runs": ranges(each), "spread below √ε": ranges(each[closer])}
both = pd.DataFrame(both).reset_index()
garments = published.cells("ics", "Table 4").loc["fashion_mnist"].stack()
paper = 100 * garments.reindex(pd.MultiIndex.from_frame(both[["class", "method"]]))
both.insert(3, "printed", paper.to_numpy())
caption = "AUROC under the SVM, lowest to highest, and in brackets the number of runs."
tables.show(both, caption=caption)

# %% [markdown]
# With the same seed on the other processor the pullover did not fail, neither in the short run nor at full length, where ICS reaches 89.4
# and the paper prints 89.9. So the failed run is no evidence against the paper.
#
# Among the first records of Fashion-MNIST both numbers single out ICS and Control on these two classes and nothing else. Under
# SIMO the bound marks ICS on the pullover and CLS on the coat. We throw no such run away: it stands in every mean.
#
# Milder losses they do not see. In these runs the spread is below √ε, and the SVM still lies 4 points or more below the distance:

# %% tags=["hide-input"]
garments = tuple(published.cells("ics", "Table 4").loc["fashion_mnist"].index)
whole = run_by_run(garments)[0].drop(columns="on").drop_duplicates()
lost = whole["distance"] - whole["SVM"]
mild = whole[(whole["spread / √ε"] < 1) & (lost >= 4)]
caption = "Short runs on Fashion-MNIST. CLS has no split and so no ratio."
texts = {"atypical / typical": lambda v: "" if pd.isna(v) else f"{v:.1f}"}
tables.show(mild, {"spread / √ε": "{:.2f}"} | texts, caption=caption)

# %% tags=["remove-input"]
with_split = whole[whole["method"] != "CLS"]
by_rank = {
    name: with_split[name].corr(lost[with_split.index], method="spearman")
    for name in ("atypical / typical", "spread / √ε")
}
told = ", ".join(f"{value:.1f} for {name}" for name, value in by_rank.items())
tables.Text(
    f"Over all {len(with_split)} runs of ICS and Control the rank correlation with the points lost is {told}."
)

# %% [markdown]
# ### On which images is the machine fitted?
#
# The paper does not say. Ours sees all normal training images, atypical ones among them. Its section on the split fears that atypical samples mislead a
# one-class classifier, which also fits a machine that never sees them. Newer runs record both.


# %% tags=["hide-input"]
def two_machines():
    """AUROC of the machine fitted on all images and on the typical ones alone: one row per
    run and method, with the parameter that the run changes."""
    rows = []
    for r in single_runs:
        typical = [x for x in r.results if x.metric == "auroc_typical"]
        if r.tier == "smoke" or r.parameters["protocol"] != "one_class" or not typical:
            continue
        changed = [
            f"{k}={r.parameters[k]}"
            for k, v in DEFAULTS.items()
            if r.parameters[k] != v
        ]
        about = {
            "data": tables.DATASETS[r.dataset],
            "class": r.class_name,
            "seed": r.seed,
            "changed": ", ".join(changed) or "–",
        }
        value = {
            (x.method, x.metric): x.value for x in r.results if x.value is not None
        }
        for x in typical:
            if (x.method, "auroc") in value and x.method in ("ICS", "Control"):
                printed_ = paper.get((about["data"], r.class_name, x.method))
                rows.append(
                    about
                    | {
                        "method": x.method,
                        "all images": 100 * value[x.method, "auroc"],
                        "typical alone": 100 * x.value,
                        "printed": 100 * printed_ if printed_ else None,
                    }
                )
    return pd.DataFrame(rows)


paper = published.cells("ics", "Table 4").rename(index=tables.DATASETS).stack()
machines = two_machines()
tables.show(machines, caption="AUROC in percent, one run per row and method.")

# %% tags=["hide-input"]
ahead = machines["typical alone"] - machines["all images"]
apart = machines[ahead > 5]
others = ahead.drop(apart.index)
told = [
    f"{row['class']}, seed {row.seed}{', ' + row.changed if row.changed != '–' else ''}: {row['all images']:.0f} on all, {row['typical alone']:.0f} on the typical ones"
    for _, row in apart.iterrows()
]
tables.Text(
    f"In {len(apart)} of {len(machines)} of these trainings the two differ by more than five points, and the machine that never sees atypical images is ahead: "
    f"{'; '.join(told)}. In the others they differ by {others.abs().max():.1f} at most."
)

# %% [markdown]
# The pullover and the t-shirt had failed before this choice was made.
#
# ### What length does
#
# Whether length cures a failed run is untested: none was trained longer on its own machine. Where seed and machine are the same, length
# changed nothing for ICS.

# %% tags=["hide-input"]
LENGTHS = {"demo": "6 + 6 epochs", "paper": "100 + 100"}
one = ["data", "class", "method", "seed"]


def by_length():
    """AUROC by length, of what was also trained at full length: a row per seed and processor."""
    at, rows = DEFAULTS | {"protocol": "one_class"}, []
    for r in single_runs:
        if r.tier == "smoke" or any(r.parameters[name] != v for name, v in at.items()):
            continue
        about = {"data": tables.DATASETS[r.dataset], "class": r.class_name}
        about |= {"seed": r.seed, "processor": r.machine["gpu"] or r.machine["cpu"]}
        about["length"] = LENGTHS[r.tier]
        rows += [
            about | {"method": found.method, "AUROC": 100 * found.value}
            for found in r.results
            if (found.metric, found.value is None) == ("auroc", False)
        ]
    rows = pd.DataFrame(rows)
    full = rows[rows["length"] == LENGTHS["paper"]][one].drop_duplicates()
    wide = rows.merge(full).pivot_table(
        index=[*one, "processor"], columns="length", values="AUROC"
    )
    return wide.reindex(columns=list(LENGTHS.values()))


length = by_length()
length["printed"] = [100 * paper.get(key[:3]) for key in length.index]
caption = "What was also trained at full length, beside the short runs with the same seed, each on its own processor."
formats = dict.fromkeys(length, lambda v: "" if pd.isna(v) else f"{v:.1f}")
tables.show(length, formats, caption=caption)

# %% tags=["remove-input"]
alike = length.xs("ICS", level="method").dropna()
told = [
    f"{key[1]}, seed {key[2]}, on {key[3]}: {row[LENGTHS['demo']]:.1f} after 6 + 6 epochs, {row[LENGTHS['paper']]:.1f} after 100 + 100"
    for key, row in alike.iterrows()
]
assert (alike[LENGTHS["demo"]] - alike[LENGTHS["paper"]]).abs().max() < 0.5
tables.Text(f"ICS on one machine with one seed: {'; '.join(told)}.")

# %% [markdown]
# The codes of the full run are so close that the solver never left its start. Its spread is below $10^{-4}$, and its boundary rejects
# every held-out normal image.
#
# The two short runs of the pullover with seed 0 differ in their processor and in the code (commits 9e04b41 and 3a6e516). One failed and
# one did not. Which of the two made the difference, we cannot tell.
#
# ## Under other readings of the paper
#
# The paper leaves choices open. Each row changes one of them and keeps the rest. The two garments were not fixed beforehand: they are
# those that failed in the first records, and entered when that was known. Nothing is chosen by the table: the defaults stay what they
# were.


# %% tags=["hide-input"]
claims = readings.claims()
found = readings.table(claims["ics-fashion"], counted)
tables.Text(readings.sentence(found))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ics-readings", "caption": "ICS on Fashion-MNIST under one changed choice at a time: large points are means over the two garments that failed in the first records, small ones the classes, open squares all ten classes where they were run. The line is what the paper prints; green reaches it, within the margin of the ledger."}, "image": {"alt": "Dot plot with one row per choice that the paper leaves open and its values; our means as large points, a vertical line at the printed value"}}
readings.figure(claims["ics-fashion"], found)
plt.show()

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Every reading as a table, with its source", "code_prompt_hide": "Every reading as a table, with its source"}
tables.show(readings.shown(found))

# %% [markdown]
# On MNIST the digit is the 8, fixed beforehand.

# %% tags=["hide-input"]
on_mnist = readings.table(claims["ics-mnist"], counted)
tables.Text(readings.sentence(on_mnist))

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Every reading as a table, with its source", "code_prompt_hide": "Every reading as a table, with its source"}
tables.show(readings.shown(on_mnist))

# %% [markdown]
# ## The paper's numbers among themselves
#
# These checks need no run. They recompute the paper's statements from its own cells.
#
# ### Classes won

# %% tags=["hide-input"]
rivals = cells.drop(columns="ICS")
said = {"all": 25, "CLS": 27, "ImageNet": 30, "CAE": 30, "Original": 30}
rows_ = []
for rival, stated in said.items():
    best = rivals.max(axis=1) if rival == "all" else cells[rival]
    row = {"ICS against": rival, "classes won, as stated": stated}
    row |= {"won, by the cells": (cells.ICS - best > 1e-9).sum()}
    rows_.append(row | {"tied": np.isclose(cells.ICS, best).sum()})
tables.show(pd.DataFrame(rows_), caption="Balanced accuracy, Table 1, thirty classes.")

# %% [markdown]
# Twenty-four wins and a tie were counted as 25, which is fair enough. But CLS is beaten on 25 classes rather than 27, and "all 30"
# fails for one class each against ImageNet and CAE.
#
# ### The Trouser cell
#
# Table 5 prints four values of $\beta$ and a column "Mean ± Std". The mean is not that of the four printed values. Taken over *five*,
# the fifth being $\beta = 0$ without a split, that is CLS, it can be solved for the fifth value and compared with Table 1.

# %% tags=["hide-input"]
table5 = printed[printed.table == "Table 5"]
four = table5[~table5.setting.str.contains("mean") & (table5.class_name != "mean")]
four = four.groupby(["dataset", "class_name"]).value.sum()
means = table5[
    table5.setting.str.contains("mean_over_row")
    & (table5.metric == "balanced_accuracy")
]
implied = 5 * means.set_index(["dataset", "class_name"]).value - four
check = 100 * pd.DataFrame({"implied": implied, "Table 1": cells.CLS})
check["difference"] = check["implied"] - check["Table 1"]
tolerance = 0.5  # five values and a mean, each rounded to 0.1 points
agree = check["difference"].abs() <= tolerance
check = check.rename(index=tables.DATASETS).rename_axis(["data", "class"])
caption = f"CLS, balanced accuracy. {agree.sum()} of {len(check)} classes agree within rounding; this one does not."
tables.show(check[~agree.to_numpy()], caption=caption)

# %% [markdown]
# Its cell in Table 1 is most likely a slip. With the implied value CLS would beat ICS there, and ICS would be best on 24 classes
# instead of 25. It also removes part of the gain over CLS on Fashion-MNIST.
#
# ### A baseline that was too weak

# %% tags=["remove-input"]
hog = tables.beside(
    rows_of("mnist", "auroc"),
    ["HOG"],
    records.where(printed, table="Table 4", dataset="mnist"),
)["HOG"].drop(index=["±", "σ"], errors="ignore")
more = (hog.ours - hog.paper).drop("mean")
tables.Text(
    f"HOG, with no training at all, reaches {hog.ours['mean']:.1f} on MNIST in our runs; the paper prints {hog.paper['mean']:.1f}. "
    f"Ours is more than 4 points higher on {(more > 4).sum()} of {len(more)} digits. "
    f"On {(hog.paper.drop('mean') < 52).sum()} digits the printed value is near that of a coin, below 52."
)

# %% [markdown]
# Ours has the same length and the same SVM. PCA and Original, which go through the same code, come close to the paper. The paper
# does not describe its HOG beyond the length of the vector. Blocks may be normalised in more ways than one: ours is today's default of
# scikit-image, and the one of 2018 was another. That could explain part of the distance; it is not run. But a claim to beat "all baselines"
# is only as strong as its strongest baseline.
#
# ## What was not shown
#
# * **Tier and seeds.** Most recorded runs train for 6 + 6 epochs. Random and Double have one seed, on MNIST.
# * **Insensitivity.** The paper claims that results hardly depend on $\rho$, and on $\beta$ only when it is large. Our runs have
#   $\rho = 10$ and $\beta = 10^{-5}$, or no dispersion at all.
# * **CAE** on MNIST is far below its printed level after six epochs. On the digit 1 it has
#   97.4 at full length, on another processor, so the length is the likeliest reason.
# * **CIFAR-10** has no record. Numbers from a JPEG-compressed copy would be marked `cifar10_jpeg`.
# * **ImageNet features** need weights that were not at hand for the recorded runs.
# * **Chosen in view.** The paper's defaults $\rho = 10$ and $\beta = 10^{-5}$ are the best columns of its Tables 6 and 5 on the mean of
#   every data set. They were presumably chosen with test results in view. We keep them and add nothing of that kind.
