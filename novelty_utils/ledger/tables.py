"""The tables of the pages, made of records: printed beside ours, class by class, with the runs that they rest on.

`rows` are those of `records.to_frame`, fractions; tables are in percent. For ± and σ see evaluation/statistics.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from novelty_utils.evaluation.statistics import half_width, per_class, seed_deviation
from novelty_utils.records.schema import Result

NOTHING = "no recorded run yet"
DATASETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "cifar10": "CIFAR-10",
    "digits": "digits",
    "synthetic_defects": "drawn defects",
    "mvtec_ad": "MVTec-AD",
}


def verbatim(text: object) -> str:
    """Text from folders or records as a line or a cell, of Markdown or HTML: it may hold anything, and stays text."""
    return re.sub(r"[|`*\[\]{}$\\]", lambda mark: f"&#{ord(mark[0])};", html.escape(" ".join(str(text).split())))


class Text(str):
    """A sentence that a page computes: the last value of a cell, set as text and not as output. No formulas or HTML."""

    def _repr_markdown_(self) -> str:
        return html.escape(self, quote=False)


def show(
    table: pd.DataFrame, formats: Mapping[str, str] | None = None, precision: int = 1, caption: str = ""
) -> Styler | None:
    """A table as the book shows it: a dash for what is missing or has no bound, and an index that has a name as its
    first column, or columns.

    formats: by column, where `precision` decimals do not fit. An empty table is a line in print, and None.
    """
    if not len(table):
        return print(NOTHING)
    if any(table.index.names):
        table = table.reset_index()
    style = table.replace([np.inf, -np.inf], np.nan).style.format(
        formats, precision=precision, na_rep="–", escape="html"
    )
    style = style.format_index(escape="html", axis=1)
    if caption:
        style = style.set_caption(html.escape(caption, quote=False))
    return style.hide(axis="index")


def runs(rows: pd.DataFrame) -> str:
    """Which runs these rows are of, by data set: tier, classes, seeds, seconds, machines and precision."""
    if not len(rows):
        return NOTHING
    order = sorted(set(rows.dataset), key=[*DATASETS, *rows.dataset].index)
    return "; ".join(f"{DATASETS.get(name, name)}: {_runs(rows[rows.dataset == name])}" for name in order)


def _runs(rows: pd.DataFrame) -> str:
    tiers = " and ".join(sorted(set(rows.tier)))
    seeds = ", ".join(map(str, sorted(set(rows.seed))))
    of_class = rows.groupby("class_name").seed.nunique()
    least, most = int(of_class.min()), int(of_class.max())
    classes = "1 class" if len(of_class) == 1 else f"{len(of_class)} classes"
    uneven = f" ({least} to {most} per class)" * (least < most)
    cost = rows.drop_duplicates(["class_name", "seed", "seconds"]).seconds.median()
    machines = ", ".join([*sorted(set(rows.hardware)), *sorted(set(rows.precision) - {""})])
    several = "s" * (rows.seed.nunique() > 1)
    return f"{tiers} tier, {classes}, seed{several} {seeds}{uneven}, {cost:.0f} s per class on {machines}"


def beside(rows: pd.DataFrame, methods: Sequence[str], printed: pd.DataFrame | None = None) -> pd.DataFrame:
    """Per class what is printed and what we measured, in percent: columns (method, "paper" or "ours").

    rows: one data set and metric; printed: of `published.read`, the same. The classes are ours; those printed where we
    have none. Below them, if there are several: their mean, its ±, and σ where a class has several seeds.
    """
    columns, sigma = {}, {}
    for method in methods:
        if printed is not None:
            cells = printed[(printed.method == method) & (printed.class_name != "mean")]
            columns[method, "paper"] = cells.groupby("class_name").value.mean()
        columns[method, "ours"] = per_class(rows, method=method)
        sigma[method, "ours"] = 100 * seed_deviation(rows, method=method)
    columns = {name: values for name, values in columns.items() if len(values)}
    if not columns:
        return pd.DataFrame()
    table = 100 * pd.DataFrame(columns)
    if len(rows):
        table = table[table.index.isin(rows.class_name)]
    below = pd.DataFrame({"mean": table.mean(), "±": table.apply(lambda column: half_width(column.dropna()))}).T
    if table.columns.isin([name for name, value in sigma.items() if value == value]).any():
        below.loc["σ"] = pd.Series(sigma)
    if len(table) > 1:
        table = pd.concat([table, below])
    return table.rename_axis(index="class", columns=["", ""])


def means(rows: pd.DataFrame, columns: Mapping[str, Mapping[str, Any]], scale: float = 100) -> dict[str, float]:
    """A row of a table: the mean over classes of each column, NaN where there is none.

    columns: by name what picks its rows, such as {"method": "ICS", "metric": "auroc"}.
    """
    return {name: scale * per_class(rows, **at).mean() for name, at in columns.items()}


def summary(rows: pd.DataFrame, name: str = "AUROC") -> dict[str, Any]:
    """A row of a table, of one score: classes and seeds, the mean over classes, its ±, and σ; empty without rows."""
    if not len(rows):
        return {}
    values, of_class = 100 * per_class(rows), rows.groupby("class_name").seed.nunique()
    seeds = "–".join(str(count) for count in sorted({of_class.min(), of_class.max()}))
    about: dict[str, Any] = {"n": str(len(values)), "seeds": seeds, name: values.mean(), "±": half_width(values)}
    return about | {"σ": 100 * seed_deviation(rows)}


def ordered(rows: pd.DataFrame, **orders: Sequence[str]) -> pd.DataFrame:
    """The rows sorted by these columns, each in the order of its list; what is not in it comes last."""
    places = {column: {value: n for n, value in enumerate(values)} for column, values in orders.items()}
    return rows.sort_values(list(orders), key=lambda column: column.map(places[column.name]), kind="stable")


def overview(
    rows: pd.DataFrame, by: Sequence[str], columns: Mapping[str, Mapping[str, Any]], scale: float = 100
) -> pd.DataFrame:
    """A row of `means` for each combination of the columns `by`, in the order of the rows, with n, its classes."""
    found = []
    for key, mine in rows.groupby(list(by), sort=False):
        about = dict(zip(by, key, strict=True)) | {"n": mine.class_name.nunique()}
        found.append(about | means(mine, columns, scale))
    table = pd.DataFrame(found, columns=[*by, "n", *columns])
    if "dataset" in by:
        table["dataset"] = table.dataset.map(lambda name: DATASETS.get(name, name))
    return table.rename(columns={"dataset": "data", "class_name": "class"})


def this_run(results: Sequence[Result], columns: Mapping[str, str]) -> pd.DataFrame:
    """What one run found on one class, as it is: a row per method, and of the metrics in `columns` those it has."""
    value = {(result.method, columns[result.metric]): result.value for result in results if result.metric in columns}
    table = pd.Series(value, dtype=float).unstack()
    methods = dict.fromkeys(result.method for result in results)
    table = table.reindex([name for name in methods if name in table.index])
    return table[[name for name in columns.values() if name in table]].rename_axis("method")


def trained(rows: pd.DataFrame) -> str:
    """How many of these runs, a row each, rest on networks that did not die: "9 of 10"."""
    alive, unknown = int((rows.collapsed == False).sum()), int(rows.collapsed.isna().sum())  # noqa: E712  or None
    return f"{alive} of {len(rows)}" + f", {unknown} unknown" * bool(unknown)
