"""The headline claim of each paper in one row: printed, ours, and the best simple rival on the same classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from novelty_utils.ledger import claims, matching, orderings, published, second_looks, verdicts
from novelty_utils.ledger.evidence import Evidence
from novelty_utils.ledger.verdicts import Estimate
from novelty_utils.params import CLASSES
from novelty_utils.records import store

# The leaderboard's names of the protocols that the papers' own differ from in the test part or in name only.
BOARD = {"one_class_4000": "one_class", "outlier_share": "simo"}
MISSING = Estimate(math.nan, math.nan, math.nan, 0, False)


class Headline(NamedTuple):
    """One claim, AUROCs as fractions; NaN where nothing is printed or recorded, `tier` empty without a record."""

    row: int  # its place in the ledger
    paper: str
    claim: str  # in words where it is the headline, empty where it only stands in the picture beside it
    where: str
    dataset: str
    protocol: str  # as the leaderboard calls it
    printed: float
    ours: float
    low: float
    high: float
    rival: str
    rival_auroc: float
    verdict: str
    tier: str
    seeds: int
    classes: int  # how many of the data set's were run


def headlines(table: pd.DataFrame, results: str | Path) -> list[Headline]:
    """The headline of each paper, and what it printed for the same method elsewhere, as far as that was attempted.

    table: the ledger. results: the folder of its records. A headline is the first row of a second look that is
    one in published/second_looks.toml; the rest are the printed mean AUROCs of a method under its own name.
    """
    said = {_row(look, table): look for look in second_looks.looks() if look.headline}
    own = pd.Series({paper: published.rules(paper).own[0] for paper in claims.PAPERS})
    means = table[(table.class_name == "mean") & (table.metric == "auroc") & table.ours.notna()]
    means = means[(means.same_as == "") & (means.method == means.paper.map(own))]
    rows = sorted({*said, *means.index})
    return [_headline(table.loc[row], said[row].about.claim if row in said else "", results) for row in rows]


def _row(look: second_looks.Look, table: pd.DataFrame) -> int:
    """The place of the headline's own row: of a number the mean over classes."""
    rows = table[(table.paper == look.about.paper) & table.class_name.isin(["mean", "all"])]
    rows = rows[rows.same_as.fillna("") == ""]
    return store.where(rows, **{"dataset": look.about.dataset} | look.rows[0]).index[0]


def _headline(line: pd.Series, claim: str, results: str | Path) -> Headline:
    about, protocol = line.fillna({"tier": "", "seeds": 0}), BOARD.get(line.protocol, line.protocol)
    if line.kind == "number":
        printed, classes = line.printed, set(CLASSES[line.dataset])
        ours = Estimate(line.ours, line.low, line.high, about.seeds, False)
        where = line["where"]
    else:
        # The row is about a difference: the level itself is that of the same records.
        printed, where = math.nan, claim and _look(claim).about.where
        ours, classes = _level(line, results) if about.tier else (MISSING, set())
    rival, value = best_rival(line.dataset, protocol, classes, results)
    return Headline(
        line.name, line.paper, claim, where, line.dataset, protocol, printed, ours.value, ours.low, ours.high,
        rival, value, line.verdict, about.tier, int(about.seeds), len(classes) * bool(about.tier),
    )  # fmt: skip


def _look(claim: str) -> second_looks.Look:
    return next(look for look in second_looks.looks() if look.about.claim == claim)


def _level(line: pd.Series, results: str | Path) -> tuple[Estimate, set[str]]:
    """The mean of the method that an order says is ahead, and the classes it was run on."""
    orders = published.rules(line.paper).orders
    (order, each), *_ = (
        (order, each)
        for order in orders
        for each in orderings.combinations(order.each)
        if order.claim.format(**each) == line.claim
    )
    source, limits = Evidence(order.notebook or line.paper, results), verdicts.margins()
    samples = orderings.side(order, order.more, each, [line.dataset], source)
    samples = [sample for sample in samples if sample.tier == line.tier]
    assumed = matching.deviation_of(source, line.method, order.metric, limits.seed_deviation["auroc"])[0]
    estimate = verdicts.estimate(samples, samples, assumed, limits.confidence)
    return estimate, {sample.class_name for sample in samples}


def best_rival(dataset: str, protocol: str, classes: set[str], results: str | Path) -> tuple[str, float]:
    """The leaderboard's baseline with the highest mean AUROC over these classes, all of which it was run on.

    Picked with the results in view, so it is the best of several. ("", NaN) where there is none.
    """
    rows = store.to_frame(store.read("leaderboard", results))
    if rows.empty or not classes:
        return "", math.nan
    rows = rows[(rows.dataset == dataset) & (rows.protocol == protocol) & (rows.metric == "auroc")]
    means = rows[rows.tier != "smoke"].pivot_table(index="method", columns="class_name", values="value")
    means = means.reindex(columns=sorted(classes)).mean(axis="columns", skipna=False).dropna()
    return (means.idxmax(), means.max()) if len(means) else ("", math.nan)
