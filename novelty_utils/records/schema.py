"""What a record says: the results of one run on one class, and all that is needed to trust, repeat or doubt them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    Literal,
    Required,  # pydantic wants this one before Python 3.12
)

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from novelty_utils.files import LONGEST_NAME, TEMPORARY, short_name

VERSION = 1
# Parameters that a paper got after its first records were written, with the value that those had in fact: it is filled
# in where it is missing, and left out of a record's name, so that a repeated run finds the older record. Where it was
# not the same on all data sets, it stands by data set.
ADDED_LATER: dict[str, dict[str, Any]] = {
    "ics": {"protocol": "one_class", "bn": "torch", "ssim": "gaussian"},
    "nln": {"batch": 128, "loss": "squared", "adversarial": 1.0, "kl": 1.0, "q": "dense"},
    "ade_gan": {"protocol": "miso", "d": {"digits": 30, "mnist": 30, "fashion_mnist": 40, "cifar10_jpeg": 64}},
    "crbnd": {"depth": 2},
}
ROUNDING = 1e-9  # the mean of ten draws that are equal may lie beside them
# What a metric may be at: the score of several, its K and alpha, what scaled its parts, who chose them; outliers in the
# test in percent, the rule of a threshold; which images; after how much training.
AT = ("score", "K", "alpha", "scale", "choice", "share", "rule", "images", "inliers", "novel", "epoch", "after")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")
NOT_THE_EXPERIMENT = {"device", "results", "class_name"}  # where it ran, not what was run


def added_later(paper: str, dataset: str = "") -> dict[str, Any]:
    """Parameters that the first records of a paper do not name, and what those had; on a data set, where it was not the
    same on all."""
    values = ADDED_LATER.get(paper, {}).items()
    by_dataset = {name: value[dataset] for name, value in values if isinstance(value, dict) and dataset in value}
    return {name: value for name, value in values if not isinstance(value, dict)} | by_dataset


def metric_at(kind: str, **at: float | str) -> str:
    """The name of a metric that is taken at something, of AT: "auroc" at score="con", K=2 is "auroc;score=con;K=2"."""
    if unknown := at.keys() - set(AT):
        raise TypeError(f"{kind} at {', '.join(sorted(unknown))}: a metric may be at {', '.join(AT)}")
    return ";".join([kind, *(f"{name}={value}" for name, value in at.items())])


@cache  # a grid has the same few hundred names in every record
def parts_of(metric: str) -> tuple[str, Mapping[str, Any]]:
    """The kind of a metric, and what it is at: numbers as float, a mark without a value as ""."""
    kind, *at = metric.split(";")
    parts = (part.partition("=") for part in at)
    return kind, MappingProxyType({k: float(v) if NUMBER.fullmatch(v) else v for k, _, v in parts})


class Result(BaseModel):
    """One metric of one method; the interval is over test images where there is one.

    metric: its kind, and after semicolons what it is at, as `metric_at` writes and `parts_of` reads it.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    method: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @field_validator("value", "low", "high", mode="before")
    @classmethod
    def _nan_is_none(cls, number: Any) -> Any:  # JSON has no NaN, and NaN is not equal to itself
        return None if number != number else number

    @model_validator(mode="after")
    def _not_percent(self) -> Result:
        share = any(word in self.metric for word in ("auroc", "f1", "bacc", "iou"))
        if share and not all(0 <= number <= 1 for number in (self.value, self.low, self.high) if number):
            raise ValueError(f"{self.metric} is a share, from 0 to 1")
        return self

    @model_validator(mode="after")
    def _value_in_interval(self) -> Result:
        low, value, high = (math.nan if n is None else n for n in (self.low, self.value, self.high))
        if low > value + ROUNDING or high < value - ROUNDING:
            raise ValueError(f"{self.metric}: {value} is not between {low} and {high}")
        return self


class _Described(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc]  # pydantic's own way


class Images(_Described):
    """The data set of a run."""

    name: str
    checksum: str


class Machine(_Described):
    """What computed a run."""

    cpu: str
    threads: PositiveInt
    gpu: str | None


class _Code(_Described):
    commit: Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")] | None  # none where git did not say


class _Training(_Described, total=False):
    seconds: Required[NonNegativeFloat]
    precision: str
    terms: dict[str, Any]  # of the loss
    collapse: dict[str, Any]


class Record(BaseModel):
    """Everything needed to trust, repeat or doubt one run."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    version: int
    paper: str
    tier: Literal["smoke", "demo", "paper"]
    dataset: str
    class_name: str
    seed: NonNegativeInt
    parameters: dict[str, Any]
    data: Images
    results: list[Result] = Field(min_length=1)
    training: dict[str, _Training]
    machine: Machine
    code: _Code
    seconds: NonNegativeFloat
    peak_memory_mb: NonNegativeInt
    created: str

    @model_validator(mode="after")
    def _older_record(self) -> Record:
        self.parameters = added_later(self.paper, self.dataset) | self.parameters
        return self

    @model_validator(mode="after")
    def _agrees_with_its_parameters(self) -> Record:
        for name in ("dataset", "tier", "seed"):
            if self.parameters.get(name, getattr(self, name)) != getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)!r}, and {self.parameters[name]!r} in the parameters")
        return self

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if datetime.fromisoformat(text).tzinfo is None:
            raise ValueError("has no time zone: write it as 2026-01-31T00:00:00+00:00")
        return text

    @field_validator("results")
    @classmethod
    def _each_once(cls, results: list[Result]) -> list[Result]:
        twice = [key for key, many in Counter((r.method, r.metric, r.note) for r in results).items() if many > 1]
        if twice:  # a mean would count it twice
            raise ValueError(f"{' '.join(twice[0]).strip()} is there more than once")
        return results

    @property
    def threads(self) -> int:
        """With how many it was computed, 1 where a GPU did it: their number changes the results of a processor."""
        return 1 if self.machine["gpu"] else self.machine["threads"]

    def path(self, folder: str | Path) -> Path:
        """Where this record lives: FOLDER/PAPER/DATASET/CLASS-TIER-sSEED-KEY.json; longer names end in a digest."""
        later = added_later(self.paper, self.dataset).items()
        parameters = dict(item for item in self.parameters.items() if item not in later)
        more = [] if self.threads == 1 else [self.threads]
        asked = json.dumps([parameters, self.class_name, self.data["checksum"], *more], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()[:10]
        dataset, class_name = (
            "".join(c if c.isalnum() or c in "_-" else "-" for c in name) for name in (self.dataset, self.class_name)
        )
        rest = f"-{self.tier}-s{self.seed}-{key}.json"
        file = short_name(class_name, LONGEST_NAME - TEMPORARY - len(rest)) + rest
        return Path(folder) / self.paper / short_name(dataset, LONGEST_NAME) / file
