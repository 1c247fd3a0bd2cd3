"""The price of peeking: what choosing something with test labels adds to a number, from the records, paper by paper."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from novelty_utils import records
from novelty_utils.evaluation import plots
from novelty_utils.files import write_atomically
from novelty_utils.ledger import verdicts
from novelty_utils.ledger.evidence import TIERS, Evidence, Sample
from novelty_utils.ledger.tables import verbatim
from novelty_utils.records.schema import parts_of

COLOURS = {"ICS": "#0072b2", "NLN": "#009e73", "CRBND": "#d55e00", "ADe-GAN": "#cc79a7"}
ICS = {"protocol": "one_class", "rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"}
ICS |= {"bn": "torch", "ssim": "gaussian"}
CRBND = {"protocol": "outlier_share", "arch": "paper", "lam": 0.5, "x_d": "rec", "x_prime": "clean", "side": 32}
CRBND |= {"blur": 7, "noise": 0.25}
AUTOENCODERS = {"arch": "paper"} | records.added_later("nln")
ADE = {"protocol": "miso", "n_c": 10, "alpha": 1.0, "beta": 1.0, "gamma": 10.0, "recon_norm": "l2", "width": 16}
ADE |= {"batch": 32, "variant": "default"}


Means = dict[str, float]  # by class


class Result(NamedTuple):
    """Where a number of a record is found; the metric may be a pattern with stars."""

    method: str
    metric: str


class Peek(NamedTuple):
    """One choice that a paper makes, or may have made, on test labels, and the number without it."""

    paper: str
    notebook: str
    what: str
    choices: tuple[Result, ...]  # of several the one with the highest mean over classes
    honest: Result
    datasets: tuple[str, ...]
    parameters: dict[str, Any]
    unit: str = "AUROC"


def _nln(name: str, model: str, score: str, datasets: tuple[str, ...], **at: Any) -> Peek:
    grid = f"auroc;score={score};K=*;alpha=*;scale=held out"
    fixed = f"auroc;score={score};K=2;alpha=0.9;scale=held out"
    what = f"K and α, {model}, {name}"
    return Peek("NLN", "nln", what, (Result(model, grid),), Result(model, fixed), datasets, AUTOENCODERS | at)


SHARES = (10, 50)  # the fewest and the most outliers of the paper
PEEKS = [
    Peek(
        "ICS", "ics", "threshold of balanced accuracy", (Result("ICS", "bacc_tuned_on_test"),),
        Result("ICS", "bacc_held_out"), ("mnist", "fashion_mnist"), ICS, "balanced accuracy",
    ),
    *(
        Peek(
            "CRBND", "crbnd", f"threshold of F1, {share} % outliers, {depth} poolings",
            (Result("CRBND", f"f1;rule=best;share={share}"),), Result("CRBND", f"f1;rule=held_out;share={share}"),
            ("mnist", "fashion_mnist"), CRBND | {"depth": depth}, "F1",
        )
        for depth in (4, 2)
        for share in SHARES
    ),
    _nln("nine classes normal", "AE-con", "con", ("mnist", "fashion_mnist"), protocol="miso", L=32),
    _nln("nine classes normal", "AE", "nln", ("mnist", "fashion_mnist", "cifar10_jpeg"), protocol="miso", L=32),
    _nln("one class normal", "AE", "nln", ("mnist",), protocol="simo", L=128),
    _nln("one class normal", "AE", "nln", ("fashion_mnist",), protocol="simo", L=32),
    Peek(
        "ADe-GAN", "ade_gan", "reading of the score",
        tuple(Result(name, "auroc") for name in ("R1", "R1, empirical", "R2", "R3", "error")), Result("R1", "auroc"),
        ("mnist",), ADE | {"d": 30},
    ),
]  # fmt: skip


class Price(NamedTuple):
    """What one peek adds on one data set, in fractions: the mean over classes with Student's interval."""

    peek: Peek
    dataset: str
    honest: float
    added: float
    low: float
    high: float
    classes: int
    tier: str
    chosen: Result


def prices(results: str | Path, peeks: Sequence[Peek] = PEEKS) -> list[Price]:
    """The price of every peek on every data set that enough classes are recorded of."""
    evidence = {name: Evidence(name, results) for name in {peek.notebook for peek in peeks}}
    found = (_price(peek, dataset, evidence[peek.notebook]) for peek in peeks for dataset in peek.datasets)
    return [price for price in found if price]


def _price(peek: Peek, dataset: str, source: Evidence) -> Price | None:
    honest = _by_class(source, peek, peek.honest, dataset)
    every = {}
    for choice in peek.choices:
        every |= _by_class(source, peek, choice, dataset)
    for tier in TIERS:
        plain = next((values for (_, _, t), values in honest.items() if t == tier), {})
        if len(plain) < verdicts.margins().ordering["fewest"]:
            continue
        whole = {at: values for at, values in every.items() if at[2] == tier and set(values) >= set(plain)}
        if not whole:
            continue
        best = max(whole, key=lambda at: statistics.fmean(whole[at][name] for name in plain))
        differences = [whole[best][name] - plain[name] for name in plain]
        added = verdicts.mean_of_blocks(differences, verdicts.margins().confidence)
        return Price(peek, dataset, statistics.fmean(plain.values()), *added, len(plain), tier, Result(*best[:2]))
    return None


def _by_class(source: Evidence, peek: Peek, result: Result, dataset: str) -> dict[tuple[str, str, str], Means]:
    """By method, metric and tier the mean over seeds of each class, dead trainings aside."""
    found: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in source.select(result.method, result.metric, peek.parameters, datasets=[dataset]):
        if not sample.dead:
            found.setdefault((result.method, sample.metric, sample.tier), []).append(sample)
    return {at: _means(like) for at, like in found.items()}


def _means(samples: Sequence[Sample]) -> Means:
    return {
        of_class[0].class_name: statistics.fmean(s.value for s in of_class) for of_class in verdicts.by_class(samples)
    }


# --- the page ------------------------------------------------------------------------------------------------------


def write_parts(folder: Path, results: str | Path) -> None:
    """Into `folder`: peeking_answer.md, peeking_table.md and peeking.png, for book/peeking.md."""
    found = prices(results)
    for name, text in (("answer", answer(found)), ("table", table(found))):
        write_atomically(folder / f"peeking_{name}.md", lambda file, text=text: file.write(text.encode()))
    drawing = figure(found)
    write_atomically(folder / "peeking.png", lambda file: drawing.savefig(file, format="png", dpi=130))
    plt.close(drawing)


def answer(found: Sequence[Price]) -> str:
    """What the table says, in three sentences."""
    if not found:
        return "No choice has been recorded on enough classes yet.\n"
    low, high = (100 * pick(price.added for price in found) for pick in (min, max))
    sure = [price for price in found if price.low > 0]
    said = f"**A choice on test labels adds {low:.1f} to {high:.1f} points in the mean over classes.** "
    said += f"Of {len(found)} such choices, {len(sure)} have an interval above zero."
    if not sure:
        return f"{said}\n"
    most = max(sure, key=lambda price: price.added)
    said += f" The dearest of these is {most.peek.paper}'s {most.peek.what}, on {_words(most.dataset)}: "
    return f"{said}{100 * most.honest:.1f} without the choice, {100 * (most.honest + most.added):.1f} with it.\n"


def table(found: Sequence[Price]) -> str:
    """One row per choice and data set, in points, in Markdown."""
    head = ["paper", "what is chosen", "data", "number", "without the choice", "it adds", "chosen", "classes, tier"]
    lines = [head, ["---"] * 4 + ["--:"] * 2 + ["---"] * 2]
    for price in found:
        added = f"{100 * price.added:+.1f} [{100 * price.low:+.1f}, {100 * price.high:+.1f}]"
        lines.append([
            price.peek.paper.replace("-", "\N{NON-BREAKING HYPHEN}"), price.peek.what, verbatim(_words(price.dataset)),
            price.peek.unit, f"{100 * price.honest:.1f}", added, verbatim(_chosen(price)),
            f"{price.classes}, {price.tier}",
        ])  # fmt: skip
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _chosen(price: Price) -> str:
    """The setting that came out best, where one was chosen for all classes; a threshold is one per class."""
    if len(price.peek.choices) > 1:
        return price.chosen.method
    _, at = parts_of(price.chosen.metric)
    return f"K = {at['K']:g}, α = {at['alpha']}" if "K" in at else "one per class"


def _words(dataset: str) -> str:
    return {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10_jpeg": "CIFAR (as JPEG)"}.get(dataset, dataset)


def figure(found: Sequence[Price]) -> plt.Figure:
    """One row per choice and data set: what it adds, in points, with its interval."""
    plots.set_style()
    drawing, axis = plt.subplots(figsize=(8, 1 + 0.36 * max(1, len(found))))
    for y, price in enumerate(found):
        colour, mark = COLOURS[price.peek.paper], "o" if price.low > 0 else "s"
        axis.plot([100 * price.low, 100 * price.high], [y, y], color=colour, linewidth=2)
        axis.scatter(100 * price.added, y, s=50, color=colour, marker=mark, zorder=3)
    axis.axvline(0, color="black", linewidth=1)
    labels = [f"{price.peek.paper}: {price.peek.what}, {_words(price.dataset)}" for price in found]
    axis.set(yticks=range(len(found)), yticklabels=labels, xlabel="points that the choice adds")
    axis.tick_params(axis="y", labelsize=8)
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    return drawing
