"""Second looks at shortfalls: what published/second_looks.toml lists, what another implementation says.

Without an entry there, no number below its printed one is called "not reproduced".
"""

from __future__ import annotations

import json
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict

from novelty_utils.ledger import readings, verdicts
from novelty_utils.records.store import Record

FOLDER = "second_look"  # of the results: what the independent implementations measured


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tried(_Strict):
    """One thing that was tried; its number is that of a reading, looked up when the page is made."""

    date: date
    whose: str
    what: str
    choice: str = ""
    reading: str = ""


class Look(_Strict):
    """What stands behind the verdict about one claim."""

    claim: str  # its name in readings.toml
    rows: list[dict[str, str]]  # the rows of the ledger that it is about: columns and their values
    score: str  # the AUROC of the second implementation that stands for the method
    tried: list[Tried]
    mind: str  # what would still change it
    headline: bool = False  # whether the start page names it
    entry: dict[str, Any] = {}  # only entries of the second implementation with these

    @property
    def about(self) -> readings.Claim:
        return readings.claims()[self.claim]


class Second(NamedTuple):
    """The second implementation, on those classes of the claim that it was run on."""

    classes: list[str]
    seeds: int
    theirs: float
    ours: float | None
    line: float | None  # what is printed for these classes, or what it is held against
    disagree: bool  # it reaches what ours does not
    reading: bool  # another reading of ours reaches it


@lru_cache
def looks() -> list[Look]:
    """All second looks, one per claim."""
    text = files("novelty_utils.ledger.published").joinpath("second_looks.toml").read_text(encoding="utf-8")
    return [Look.model_validate(one) for one in tomllib.loads(text)["looks"]]


def of_row(line: Mapping[str, Any]) -> Look | None:
    """The second look that a row of the ledger belongs to."""
    for look in looks():
        about = {"paper": look.about.paper, "dataset": look.about.dataset}
        if any(all(line.get(name) == value for name, value in (about | row).items()) for row in look.rows):
            return look
    return None


def second(look: Look, ours: Sequence[Record], folder: str | Path) -> Second | None:
    """What the independent implementation measured, beside ours on the same classes; None where it has not been run."""
    theirs = _theirs(look, folder)
    classes = [name for name in look.about.classes if name in theirs]
    if not classes:
        return None
    about = look.about.model_copy(update={"classes": classes})
    rows = readings.table(about, ours)
    mean = statistics.fmean(statistics.fmean(theirs[name]) for name in classes)
    # Ours may be judged by the short run of the default or by the long one.
    held = [_numbers(row) for _, row in rows[rows.default | (rows.tier == readings.FULL)].iterrows()]
    disagree = any(_disagree(about, mean, *numbers) for numbers in held)
    few, _, line = _numbers(rows.iloc[0])
    seeds = min(len(theirs[name]) for name in classes)
    reading = (readings.table(look.about, ours).state == readings.HOLDS).any()
    return Second(classes, seeds, mean, few, line, disagree, bool(reading))


def _numbers(row: pd.Series) -> list[float | None]:
    return [None if pd.isna(row[name]) else row[name] for name in ("ours", "judged", "line")]


def _theirs(look: Look, folder: str | Path) -> dict[str, list[float]]:
    """By class, one value per seed: of several trainings the longest, of dead ones none."""
    path = Path(folder, FOLDER, f"{look.about.paper}.json")
    longest: dict[tuple[str, int], tuple[tuple[int, int], float]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        fits = {"dataset": look.about.dataset} | look.entry
        value = entry["auroc"].get(look.score)
        if (
            value is not None
            and not _dead(entry["dead"], look.score)
            and all(entry.get(name) == fits[name] for name in fits)
        ):
            key, length = (entry["class"], entry["seed"]), _length(entry)
            if key not in longest or length > longest[key][0]:
                longest[key] = length, value
    found: dict[str, list[float]] = {}
    for (class_name, _), (_, value) in longest.items():
        found.setdefault(class_name, []).append(value)
    return found


def _length(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Epochs, and steps where these are what was asked for."""
    steps = entry.get("steps") or 0
    return entry.get("epochs") or 0, sum(steps.values()) if isinstance(steps, Mapping) else steps


def _dead(said: bool | Mapping[str, bool], score: str) -> bool:
    """Whether the score rests on a dead network: on its own, where one has its name, or on all of them."""
    if isinstance(said, bool):
        return said
    return said[score] if score in said and score != "classifier" else any(said.values())


def _disagree(
    about: readings.Claim, theirs: float, ours: float | None, judged: float | None, line: float | None
) -> bool:
    """Theirs reaches what ours does not: where other classes were judged too, by the same distance on all of them."""
    if ours is None or judged is None or line is None:
        return False
    needed = line - readings.margin(about)
    return judged <= needed < judged + theirs - ours


def verdict(
    line: Mapping[str, Any], verdict: str, difference: float, full: bool, others: Mapping[str, Second | None]
) -> str:
    """The verdict about a row of the ledger, after the second look; `others` by the name of the claim."""
    look = of_row(line)
    other = others.get(look.claim) if look else None
    # One class of theirs says nothing about a mean of ours.
    wanted = look.about.classes if look and line["class_name"] in ("mean", "all") else [line["class_name"]]
    if other is None or not set(other.classes).issuperset(wanted):
        return verdicts.may_refute(verdict, difference, full, looked=False, disagree=False)
    return verdicts.may_refute(verdict, difference, full, looked=True, disagree=other.disagree or other.reading)
