"""A claim under every reading that its paper allows: what published/readings.toml lists, beside what the records say.

Nothing is chosen by it: the default stays what was argued beforehand.
"""

from __future__ import annotations

import statistics
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, model_validator

from novelty_utils.evaluation import plots
from novelty_utils.ledger import published, verdicts
from novelty_utils.params import CLASSES
from novelty_utils.records.schema import Record, parts_of
from novelty_utils.records.store import collapsed

HOLDS, FAILS, SO_FAR, PART, NOT_RUN = "holds", "fails", "below so far", "not all classes run", "not run"
STATES = (HOLDS, SO_FAR, FAILS, PART, NOT_RUN)
JUDGED = (HOLDS, SO_FAR, FAILS)
FULL = "paper"  # the tier that may refute


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reading(_Strict):
    """One value of a choice, and what it changes: parameters of the run, or what is read from the record."""

    says: str
    source: str
    parameters: dict[str, Any] = {}
    method: str = ""
    metric: str = ""
    note: str = ""


class Choice(_Strict):
    """Something that the paper leaves open; several parameters of a reading make a pair of choices."""

    what: str
    open: str  # what the paper says of it
    default: Reading
    others: list[Reading]


class Claim(_Strict):
    """A claim; it is compared with printed cells, or with another method of the same records."""

    name: str
    paper: str
    claim: str
    where: str
    dataset: str
    classes: list[str]
    method: str
    metric: str
    choices: list[Choice]
    parameters: dict[str, Any]
    note: str = ""
    chosen: str = "fixed beforehand"  # how its classes came to be
    printed: dict[str, str] = {}
    against: str = ""
    run: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_whole(self) -> Claim:
        if bool(self.printed) == bool(self.against):
            raise ValueError(f"{self.name}: give either printed or against")
        changed = {name for _, reading in self.readings() for name in reading.parameters}
        if missing := changed - set(self.parameters):
            raise ValueError(f"{self.name}: readings change {sorted(missing)}, so parameters must say their default")
        if any(choice.default.parameters for choice in self.choices):
            raise ValueError(f"{self.name}: a default changes no parameter, it is what the claim's parameters say")
        return self

    def readings(self) -> Iterator[tuple[Choice, Reading]]:
        """The default of each choice, and the others after it."""
        for choice in self.choices:
            for reading in (choice.default, *choice.others):
                yield choice, reading


class Found(NamedTuple):
    """The values of one reading by class and seed, and which of these trainings collapsed."""

    runs: dict[tuple[str, int], float]
    dead: list[tuple[str, int]]

    def means(self, runs: Collection[tuple[str, int]] | None = None) -> dict[str, float]:
        """Per class the mean over seeds; over these runs alone, if any are given."""
        by_class: dict[str, list[float]] = {}
        for run, value in self.runs.items():
            if runs is None or run in runs:
                by_class.setdefault(run[0], []).append(value)
        return {name: statistics.fmean(values) for name, values in by_class.items()}

    def seeds(self, classes: Sequence[str]) -> int:
        """Those of the class that has fewest, among the classes with any."""
        return min(
            (count for name, count in Counter(name for name, _ in self.runs).items() if name in classes), default=0
        )


@lru_cache
def claims() -> dict[str, Claim]:
    """The headline claims by name."""
    text = files("novelty_utils.ledger.published").joinpath("readings.toml").read_text(encoding="utf-8")
    listed = [Claim.model_validate(one) for one in tomllib.loads(text)["claims"]]
    return {claim.name: claim for claim in listed}


def table(claim: Claim, records: Sequence[Record]) -> pd.DataFrame:
    """One row per choice and value: choice, reading, source, default, ours, beside, every, line, tier, seeds, state.

    `ours` is the mean over the claim's fixed classes, each of which has a column of its own, `beside` that of the
    default with the same seeds, `every` that over all classes of the data set where they are recorded. `line` is the
    printed mean, or that of the method it is against; it is `judged` against it what is over the same classes.
    Missing numbers are NaN; fractions throughout.
    """
    rows = [_row(claim, choice, reading, records) for choice, reading in claim.readings()]
    return pd.DataFrame(rows).astype(
        {name: float for name in ("ours", "beside", "every", "judged", "line", *claim.classes)}
    )


def _row(claim: Claim, choice: Choice, reading: Reading, records: Sequence[Record]) -> dict[str, Any]:
    at = claim.parameters | reading.parameters
    found = _found(claim, at, reading, records)
    values = found.means()
    few, whole = (_mean(values, names) for names in (claim.classes, CLASSES[claim.dataset]))
    same = _found(claim, claim.parameters, choice.default, records).means(found.runs)
    line, of_all = _line(claim, at, reading, records)
    judged = whole if of_all else few
    row = {"choice": choice.what, "reading": reading.says, "default": reading is choice.default}
    row |= {"source": reading.source, "open": choice.open, "ours": few}
    row |= {name: values.get(name) for name in claim.classes} | {"every": whole, "line": line}
    row |= {"beside": _mean(same, claim.classes)}
    row |= {"judged": judged, "tier": at["tier"], "seeds": found.seeds(claim.classes)}
    row |= {"trained": f"{len(found.runs) - len(found.dead)} of {len(found.runs)}" * bool(found.runs)}
    return row | {"state": _state(claim, judged, line, at["tier"] == FULL and not found.dead, bool(values))}


def _found(claim: Claim, at: dict[str, Any], reading: Reading, records: Sequence[Record], method: str = "") -> Found:
    """What the records with these parameters say, the newest of each class and seed; none lacks a parameter."""
    wanted = (method or reading.method or claim.method, reading.metric or claim.metric, reading.note or claim.note)
    newest: dict[tuple[str, int], tuple[str, float, bool]] = {}
    for record in records:
        if record.dataset != claim.dataset or any(record.parameters.get(name) != v for name, v in at.items()):
            continue
        for result in record.results:
            if (result.method, result.metric, result.note) == wanted and result.value is not None:
                key = record.class_name, record.seed
                dead = bool(collapsed(record, wanted[0]))
                newest[key] = max(
                    newest.get(key, ("", 0.0, False)), (record.created, result.value, dead), key=lambda one: one[0]
                )
    return Found({run: value for run, (_, value, _) in newest.items()}, [run for run in newest if newest[run][2]])


def _mean(values: dict[str, float], names: Sequence[str]) -> float | None:
    return statistics.fmean(values[name] for name in names) if set(names) <= set(values) else None


def _line(claim: Claim, at: dict[str, Any], reading: Reading, records: Sequence[Record]) -> tuple[float | None, bool]:
    """What a reading is held against, and whether that is a mean over all classes of the data set."""
    if claim.against:
        return _mean(_found(claim, at, reading, records, claim.against).means(), claim.classes), False
    cells = published.read(claim.paper)
    for column, value in ({"dataset": claim.dataset} | claim.printed).items():
        cells = cells[cells[column] == value]
    printed = dict(zip(cells.class_name, cells.value, strict=True))
    few = _mean(printed, claim.classes)
    return (printed["mean"], True) if few is None else (few, False)


def _state(claim: Claim, ours: float | None, line: float | None, full: bool, any_run: bool) -> str:
    if ours is None or line is None:
        return PART if any_run else NOT_RUN
    if ours > line - margin(claim):
        return HOLDS
    return FAILS if full else SO_FAR


def margin(claim: Claim) -> float:
    """How far below what is printed it still holds; another method it has to beat."""
    return 0.0 if claim.against else verdicts.margins().mean[parts_of(claim.metric)[0]]


def sentence(rows: pd.DataFrame) -> str:
    """Under which readings the claim holds and fails, by name; of the others how many there are."""
    if rows.empty:
        return "No reading is listed."
    others, default = rows[~rows.default], rows[rows.default].state.iloc[0]
    under = {
        state: [f"{row.reading} ({row.choice})" for row in others[others.state == state].itertuples()]
        for state in STATES
    }
    holding = ["the default"] * (default == HOLDS) + under[HOLDS]
    said = [f"The claim holds under: {'; '.join(holding) or 'none that was run'}."]
    said += [f"The default: {default}."] * (default != HOLDS)
    said += [f"It fails, at full length: {'; '.join(under[FAILS])}."] * bool(under[FAILS])
    counts = [f"{len(under[state])} {state}" for state in (SO_FAR, PART, NOT_RUN) if under[state]]
    said += [f"Other readings: {', '.join(counts)}."] * bool(counts)
    return " ".join(said)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The table for a page: the default once, the other readings by choice, each with its default; three decimals."""
    default = rows[rows.default].set_index("choice").reading
    page = rows.assign(choice=rows.choice + ": " + rows.choice.map(default))
    page = page[~rows.default | (rows.index == 0)]
    page.loc[0, ["choice", "reading", "source"]] = ["", "the default", ""]
    page["choice"] = page.choice.mask(page.choice.duplicated(), "")
    page["beside"] = page.beside.mask(page.default)
    for name in ("ours", "beside", "every", "line"):
        page[name] = page[name].map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    page = page[["choice", "reading", "ours", "beside", "every", "line", "trained", "state", "source"]]
    return page.rename(
        columns={
            "choice": "choice: default",
            "beside": "default, same seeds",
            "every": "all classes",
            "line": "to reach",
        }
    )


def figure(claim: Claim, rows: pd.DataFrame) -> Figure:
    """One row per choice and value: our mean as a large point, classes as small ones, what is to reach as a line."""
    plots.set_style()
    drawing, axis = plt.subplots(figsize=(8, 1.2 + 0.36 * (len(rows) + len(claim.choices))))
    ticks, labels, y = [], [], 0.0
    for choice, of_choice in rows.groupby("choice", sort=False):
        axis.text(
            0, y - 0.05, f" {choice}", transform=axis.get_yaxis_transform(), va="center", fontsize=9, style="italic"
        )
        for row in of_choice.to_dict("records"):
            y += 1
            _draw(axis, claim, row, y)
            ticks.append(y)
            labels.append(row["reading"] + " (default)" * row["default"])
        y += 1
    axis.set(ylim=(y - 0.4, -0.6), xlabel=parts_of(claim.metric)[0].upper(), yticks=ticks, yticklabels=labels)
    axis.grid(axis="y", visible=False)
    return drawing


def _draw(axis: plt.Axes, claim: Claim, row: dict[str, Any], y: float) -> None:
    colour = plots.TYPICAL if row["state"] == HOLDS else plots.NOVEL if row["state"] in (FAILS, SO_FAR) else "gray"
    axis.plot([row["line"]] * 2, [y - 0.5, y + 0.5], color="black", linewidth=1.5)
    axis.scatter([row[name] for name in claim.classes], [y] * len(claim.classes), s=14, color=colour)
    axis.scatter(row["ours"], y, s=90, facecolor=colour, edgecolor="black", marker="D" if row["default"] else "o")
    axis.scatter(row["every"], y, s=90, facecolor="none", edgecolor=colour, linewidth=2, marker="s")
    if pd.isna(row["ours"]):
        axis.text(
            0.01,
            y,
            row["state"],
            transform=axis.get_yaxis_transform(),
            ha="left",
            va="center",
            fontsize=8,
            color="gray",
        )
