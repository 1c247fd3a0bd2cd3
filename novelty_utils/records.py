"""One result with its provenance: a small JSON file per run and class, written whole or not at all.

The file's name is a function of what was asked for, so repeating a run finds its own record instead of adding one.
"""

from __future__ import annotations

import hashlib
import json
import resource
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from novelty_utils import provenance
from novelty_utils.data import Dataset
from novelty_utils.files import write_atomically
from novelty_utils.params import InputError, RunParameters, first_there, is_folder

VERSION = 1
# Parameters that a paper got after its first records were written, with the value that those had in fact: it is filled
# in where it is missing, and left out of a record's name, so that a repeated run finds the older record.
ADDED_LATER = {"ics": {"protocol": "one_class"}, "ade_gan": {"protocol": "miso"}}
NOT_THE_EXPERIMENT = {"device", "results", "class_name"}  # where it ran, not what was run


class Result(BaseModel):
    """One metric of one method; the interval is over test images where there is one."""

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


class _Described(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # typed is what readers need


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
    commit: str | None  # none where git did not say


class _Training(_Described):
    seconds: NonNegativeFloat


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
    results: list[Result]
    training: dict[str, _Training]
    machine: Machine
    code: _Code
    seconds: NonNegativeFloat
    peak_memory_mb: NonNegativeInt
    created: str

    @model_validator(mode="after")
    def _older_record(self) -> Record:
        self.parameters = ADDED_LATER.get(self.paper, {}) | self.parameters
        return self

    def path(self, folder: str | Path) -> Path:
        """Where this record lives: FOLDER/PAPER/DATASET/CLASS-TIER-sSEED-KEY.json."""
        later = ADDED_LATER.get(self.paper, {}).items()
        parameters = dict(item for item in self.parameters.items() if item not in later)
        asked = json.dumps([parameters, self.class_name, self.data["checksum"]], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()[:10]
        dataset = "".join(c if c.isalnum() or c in "_-" else "-" for c in self.dataset)
        class_name = "".join(c if c.isalnum() or c in "_-" else "-" for c in self.class_name)
        return Path(folder) / self.paper / dataset / f"{class_name}-{self.tier}-s{self.seed}-{key}.json"


class DamagedRecordError(InputError):
    """A file that should hold a record does not."""


class Stopwatch:
    """Seconds since it was made, and the peak memory of this process or of the GPU."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        provenance.code("")  # it keeps what it finds: the code that was loaded, not what is edited while it runs
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def seconds(self) -> float:
        return round(time.perf_counter() - self.started, 2)

    def peak_memory_mb(self) -> int:
        if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            return torch.cuda.max_memory_allocated() // 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def make(
    paper: str,
    parameters: RunParameters,
    data: Dataset,
    class_name: str,
    results: list[Result],
    training: dict[str, dict[str, Any]],
    seconds: float,
    peak_memory_mb: int,
) -> Record:
    """A record of a run that has just happened, with machine and code looked up now."""
    return Record(
        version=VERSION,
        paper=paper,
        tier=parameters.tier,
        dataset=parameters.dataset,
        class_name=class_name,
        seed=parameters.seed,
        parameters=parameters.model_dump(exclude=NOT_THE_EXPERIMENT),
        data={"name": data.name, "checksum": data.checksum, "images": len(data.images)},
        results=results,
        training=training,
        machine=provenance.machine(parameters.device),
        code=provenance.code(paper),
        seconds=round(seconds, 2),
        peak_memory_mb=peak_memory_mb,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write(record: Record, folder: str | Path) -> Path:
    """Write the record; one with the same results that is already there is left untouched (a repeated run).

    A damaged file in its place is replaced. Raises InputError if a newer version wrote it, or nothing can be written.
    """
    path = record.path(folder)
    try:
        if path.exists() and _load(path).results == record.results:
            return path
    except DamagedRecordError:
        pass
    write_atomically(path, lambda file: file.write(_text(record).encode()))
    return path


def _text(record: Record) -> str:
    """JSON with a line for each result: there can be hundreds, and git compares files line by line."""
    head = json.dumps(record.model_dump(mode="json", exclude={"results"}), indent=1).removesuffix("\n}")
    lines = ",\n  ".join(result.model_dump_json(exclude_defaults=True) for result in record.results)
    return f'{head},\n "results": [\n  {lines}\n ]\n}}\n'


def read(paper: str, *folders: str | Path) -> list[Record]:
    """All records of a paper in these folders, each file once, in a fixed order; a missing folder holds none.

    Raises InputError for a file that is no record, cannot be read or was written by a newer version.
    """
    files = {file.resolve() for folder in folders for file in _files(Path(folder, paper))}
    return [_load(file) for file in sorted(files)]


def _files(folder: Path) -> list[Path]:
    """FOLDER/*/*.json; not by glob, which passes over what cannot be read."""
    try:
        inside = [path for path in folder.iterdir() if is_folder(path)] if first_there(folder) == folder else []
        return [file for path in inside for file in path.iterdir() if file.suffix == ".json"]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}): check path and permissions") from error


def frame(records: list[Record]) -> pd.DataFrame:
    """One row per result, with the parameters that tell runs apart as further columns."""
    rows = [
        {"dataset": r.dataset, "class_name": r.class_name, "tier": r.tier, "seed": r.seed}
        | {k: v for k, v in r.parameters.items() if k not in ("dataset", "tier", "seed")}
        | result.model_dump()
        | {"seconds": r.seconds, "hardware": provenance.hardware(r.machine), "precision": _precision(r)}
        | {"commit": r.code["commit"]}
        for r in records
        for result in r.results
    ]
    columns = ["dataset", "class_name", "tier", "seed", *Result.model_fields, "seconds", "hardware"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*columns, "precision", "commit"])


def _precision(record: Record) -> str:
    """That of its training, bf16 or fp32; empty if nothing was trained by batches."""
    return " and ".join(sorted({how["precision"] for how in record.training.values() if "precision" in how}))


def chosen(rows: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows of a frame that have these values in these columns."""
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows


def one_tier(rows: pd.DataFrame, *where: str) -> pd.DataFrame:
    """Of each combination of the columns `where` the tier with most classes recorded, the paper's at a tie.

    Tiers must never be averaged: a demo run is no sample of what a paper-tier run measures. Smoke runs are dropped.
    """
    rows = rows[rows.tier != "smoke"]
    count = rows.groupby([*where, "tier"]).class_name.nunique().reset_index()
    best = count.sort_values(["class_name", "tier"]).drop_duplicates([*where], keep="last")
    return rows.merge(best[[*where, "tier"]])


def parse(text: str, source: str | Path) -> Record:
    """A record from the text of its file; `source` is what an error calls it.

    Raises DamagedRecordError if it is none, and InputError if a newer version wrote it.
    """
    try:
        content = json.loads(text)
        if content.get("version", 0) > VERSION:
            raise InputError(f"{source} was written by a newer version of novelty_utils: update the package to read it")
        return Record.model_validate(content)
    except (json.JSONDecodeError, RecursionError, AttributeError, TypeError, ValidationError) as error:
        raise _damaged(source) from error


def _load(path: Path) -> Record:
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise _damaged(path) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): make it readable or take it away") from error


def _damaged(source: str | Path) -> DamagedRecordError:
    return DamagedRecordError(f"{source} is not a record of a run: restore it from git or delete it")


def scratch(paper: str, parameters: RunParameters) -> Path:
    """The folder for the checkpoints of one run; the caller deletes it.

    The same parameters and, in a clone, the same code of package and notebook find it again: edited code starts anew.
    """
    return _scratch(paper, parameters.results, parameters.model_dump_json())


@lru_cache  # of the cells that have run at the first call: at the last one there are more
def _scratch(paper: str, results: str, parameters: str) -> Path:
    by = provenance.code(paper)
    asked = f"{parameters} {by['package']} {by['notebook']}"
    return Path(results) / ".checkpoints" / hashlib.sha256(asked.encode()).hexdigest()[:10]
