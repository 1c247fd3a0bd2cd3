"""The papers' printed numbers, one row per cell (PAPER.csv), and what of ours is compared with them (PAPER.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict


def read(paper: str) -> pd.DataFrame:
    """Columns table, dataset, protocol, class_name, method, setting, metric, unit, note as printed; value as float."""
    with files(__name__).joinpath(f"{paper}.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return table.assign(value=table["value"].astype(float))


@lru_cache
def cells(paper: str, table: str) -> pd.DataFrame:
    """A printed table by class: index (dataset, class_name), a column per method, without the printed means."""
    printed = read(paper)
    printed = printed[(printed.table == table) & (printed.class_name != "mean")]
    return printed.pivot_table(index=["dataset", "class_name"], columns="method", values="value")


def settings(printed: str) -> dict[str, str]:
    """What a printed number is at: "model=AE;K=2" is {"model": "AE", "K": "2"}; words alone say nothing."""
    return dict(part.split("=", 1) for part in printed.split(";") if "=" in part)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cells(_Strict):
    """Which printed cells are compared with which results of which records.

    `{K}` and the like in `metric` and `note` and the names in `varies` are read from the printed setting.
    """

    table: str
    methods: dict[str, str]  # printed name -> recorded name
    metric: str
    command: str  # what would make the records, where there are none
    kind: Literal["value", "increase"] = "value"
    dataset: str = ""  # only cells of this data set
    when: str = ""  # only cells with this in their setting
    printed_metric: str = ""  # only cells of this metric
    notebook: str = ""
    note: str = ""
    baseline: str = ""
    parameters: dict[str, Any] = {}
    varies: list[str] = []
    sizes: list[str] = []  # parameters of which another value counts, too, where this one has no run: it is named
    row: list[dict[str, Any]] = []  # a mean or deviation over these
    own: bool = True  # false for a baseline that is printed under the name of the paper's own method


class Orders(_Strict):
    """A claim that one thing is higher than another, or about the same, on the same classes."""

    claim: str
    where: str
    metric: str
    more: dict[str, Any]  # the method, and parameters, the metric or the note of the result where they differ
    less: dict[str, Any]  # the same, or a constant
    command: str
    set_aside: str = ""  # the reason not to judge it, whatever is recorded
    why_not: str = ""  # the reason that no run of both is recorded, as long as none is
    unequal: str = ""  # why short runs do not count: they train one side less than the other
    control: bool = False  # a comparison of ours, which the paper does not make
    kind: Literal["greater", "flat"] = "greater"
    notebook: str = ""
    datasets: list[str] = []
    parameters: dict[str, Any] = {}
    each: dict[str, list[Any]] = {}  # one claim for each value
    printed: dict[str, str] = {}


class Recipe(_Strict):
    """How long and how large was trained: the words of a verdict, and whether a run of it can refute a number."""

    tier: str
    says: str  # {batch} and the like are filled in from the record
    full: bool  # as much training as the paper printed, or as our best guess where it did not
    notebook: str = ""
    parameters: dict[str, Any] = {}  # only records with these


class Rules(_Strict):
    """What published/PAPER.toml holds."""

    cells: list[Cells]
    orders: list[Orders]
    own: list[str]  # the methods that the paper proposes: only a number of theirs can be better than printed
    recipes: list[Recipe]  # the first that fits a record is its
    untrained: list[str] = []  # printed methods without a training
    reasons: dict[str, str] = {}

    def recipe(self, notebook: str, parameters: Mapping[str, Any]) -> Recipe:
        """The recipe of a record with these parameters, its words filled in."""
        for one in self.recipes:
            fits = all(parameters.get(name) == value for name, value in ({"tier": one.tier} | one.parameters).items())
            if fits and one.notebook in ("", notebook):
                return one.model_copy(update={"says": one.says.format_map(parameters)})
        raise ValueError(f"no recipe of {notebook} fits tier={parameters.get('tier')}: add one to its [[recipes]]")


@lru_cache
def rules(paper: str) -> Rules:
    """The comparisons of one paper."""
    return Rules.model_validate(tomllib.loads(files(__name__).joinpath(f"{paper}.toml").read_text(encoding="utf-8")))
