"""One figure style, and the figures that several papers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import roc_curve
from torch import Tensor

NORMAL, NOVEL, TYPICAL, ATYPICAL = "#0072b2", "#d55e00", "#009e73", "#e69f00"  # told apart by colour-blind readers


def set_style() -> None:
    """White background, readable sizes, one palette: figures look alike on every page and in dark mode."""
    sns.set_theme(style="whitegrid", context="notebook", palette="colorblind")
    plt.rcParams.update({"figure.dpi": 110, "savefig.facecolor": "white", "figure.constrained_layout.use": True})


def gallery(rows: Mapping[str, Tensor], colours: Sequence[str] | None = None) -> Figure:
    """One labelled row of pictures per entry: tensors (m, c, h, w), uint8 or float in [0, 1], at most 10 shown."""
    figure, axes = plt.subplots(len(rows), 1, figsize=(8, len(rows)), squeeze=False, layout="constrained")
    for number, (axis, (name, pictures)) in enumerate(zip(axes[:, 0], rows.items(), strict=True)):
        white = 255 if pictures.dtype == torch.uint8 else 1.0
        blank = torch.full((10, *pictures.shape[1:]), white, dtype=pictures.dtype)
        blank[: len(pictures[:10])] = pictures[:10]
        strip = torch.cat([*F.pad(blank.expand(-1, 3, -1, -1), (1, 1, 1, 1), value=white)], 2)
        axis.imshow(F.pad(strip, (1, 1, 1, 1), value=white).permute(1, 2, 0).numpy())
        axis.set_axis_off()
        axis.set_title(name, loc="left", fontsize=9, color=colours[number] if colours else "black")
    return figure


def network(axis: Axes, blocks: Mapping[str, tuple[int, int]], arches: Mapping[tuple[str, str], str]) -> None:
    """A chain of blocks from left to right, each a box as high as its side and as wide as its channels, both in logs.

    blocks: by name what each returns, (channels, side); the first is what goes in. arches: from one to a later one,
    round those between, with what happens on the way.
    """
    at, apart = {}, 1.4
    for number, (name, (channels, side)) in enumerate(blocks.items()):
        x, width, height = apart * number, 0.12 + 0.07 * np.log2(channels), 0.3 + 0.34 * np.log2(side)
        corner = (x - width / 2, -height / 2)
        axis.add_patch(Rectangle(corner, width, height, facecolor=NORMAL, alpha=0.35, edgecolor=NORMAL))
        axis.text(x, -1.15, f"{name}\n{channels}×{side}×{side}", ha="center", va="top", fontsize=9)
        at[name] = (x, width / 2, height / 2)
    for (left, before, _), (right, behind, _) in pairwise(at.values()):
        axis.annotate("", (right - behind, 0), (left + before, 0), arrowprops={"arrowstyle": "->", "color": "black"})
    for level, ((source, target), words) in enumerate(reversed([*arches.items()])):
        (start, _, low), (x, _, top), y = at[source], at[target], 1.25 + 0.35 * level
        end = x + 0.12 * (level - (len(arches) - 1) / 2)
        axis.plot([start, start, end], [low, y, y], color=NOVEL, linewidth=1.2)
        axis.annotate("", (end, top), (end, y), arrowprops={"arrowstyle": "->", "color": NOVEL, "shrinkA": 0})
        axis.text(start + 0.05, y + 0.02, words, fontsize=9, color=NOVEL, va="bottom")
    axis.set(xlim=(-0.6, apart * len(at) - 0.8), ylim=(-1.9, 1.4 + 0.35 * len(arches)), aspect="equal")
    axis.set_axis_off()


def failures(
    y: np.ndarray, scores: np.ndarray, look: Callable[[Tensor], Mapping[str, Tensor]], count: int = 5
) -> Figure:
    """The worst false alarms (normal, highest scores) and, after them, the worst misses (novel, lowest), with scores.

    y: 0 or 1, (m,); scores: float (m,). look: gets their positions in the test part, int64, and gives the rows of
    pictures as `gallery` takes them: the images first, then reconstructions, say. Count 5 at most.
    """
    order = np.argsort(scores, kind="stable")
    alarms, misses = order[::-1][y[order[::-1]] == 0][:count], order[y[order] == 1][:count]
    worst = np.concatenate([alarms, misses])
    rows = look(torch.from_numpy(worst))
    figure, width = gallery(rows), next(iter(rows.values())).shape[-1]
    axis, told = figure.axes[0], f"{len(alarms)} worst false alarms, then {len(misses)} worst misses, with their scores"
    axis.set_title(told, loc="left", fontsize=9, pad=15)
    for place, score in enumerate(scores[worst]):
        axis.text(2 + (width + 2) * place + width / 2, -1, f"{score:.3g}", ha="center", va="bottom", fontsize=7)
    return figure


def curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Loss terms over epochs: one panel per method."""
    figure, axes = plt.subplots(1, len(histories), figsize=(3.4 * len(histories), 3), squeeze=False)
    for axis, (name, terms) in zip(axes[0], histories.items(), strict=True):
        for term, values in terms.items():
            axis.plot(np.arange(1, len(values) + 1), np.abs(values), label=term)
        axis.set(title=name, xlabel="epoch", yscale="log")
        axis.legend(fontsize=8)
    axes[0][0].set_ylabel("size of the term")
    return figure


def score_histograms(y: np.ndarray, scores: Mapping[str, np.ndarray]) -> Figure:
    """Scores of normal and novel test images, one panel per method, unit areas; the outermost 1 % stand at the edge."""
    figure, axes = plt.subplots(1, len(scores), figsize=(3.2 * len(scores), 2.8), squeeze=False)
    for axis, (name, s) in zip(axes[0], scores.items(), strict=True):
        s = np.clip(s, *np.quantile(s, [0.01, 0.99]))  # a few extreme scores would squeeze the rest into one bar
        bins = np.histogram_bin_edges(s, bins=40)
        axis.hist(s[y == 0], bins=bins, density=True, alpha=0.65, color=NORMAL, label="normal")
        axis.hist(s[y == 1], bins=bins, density=True, alpha=0.65, color=NOVEL, label="novel")
        axis.set(title=name, xlabel="score", yticks=[])
    axes[0][0].legend(fontsize=8)
    return figure


def roc(y: np.ndarray, scores: Mapping[str, np.ndarray]) -> Figure:
    """ROC curves of several methods on the same test images."""
    figure, axis = plt.subplots(figsize=(5.8, 3.8))
    for name, s in scores.items():
        false_positive, true_positive, _ = roc_curve(y, s)
        axis.plot(false_positive, true_positive, label=name)
    axis.plot([0, 1], [0, 1], ":", color="gray", label="chance")
    axis.set(xlabel="normal images called novel", ylabel="novel images called novel", aspect="equal")
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5))  # a curve may lie in any corner
    return figure
