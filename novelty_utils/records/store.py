"""One result with its provenance: a small JSON file per run and class, written whole or not at all.

The file's name is a function of what was asked for, so repeating a run finds its own record instead of adding one.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from novelty_utils.classes import IN_PAPERS
from novelty_utils.errors import InputError
from novelty_utils.files import first_there, is_folder, write_atomically
from novelty_utils.params import RunParameters
from novelty_utils.progress import tell
from novelty_utils.records import provenance
from novelty_utils.records.schema import AT, NOT_THE_EXPERIMENT, VERSION, Record, Result, parts_of

if TYPE_CHECKING:  # a run is checked against its records before torch or pandas is loaded
    import pandas as pd

    from novelty_utils.data.datasets import Dataset

BOOK = Path(__file__).resolve().parents[2] / "results"  # of the clone; beside an installed package there is none
OF_ONE_RUN = ("collapsed", "seconds", "hardware", "precision", "commit", "created")
ALSO_RUN = ("methods", "models", "ablations")  # parameters that say what else was trained, and change no number


class DamagedRecordError(InputError):
    """A file that should hold a record does not."""


class RunMeter:
    """Seconds since it was made, and the peak memory of this process or of the GPU.

    It stands at the beginning of a run: the threads of this process are limited to those that a run takes.
    """

    def __init__(self) -> None:
        provenance.limit_threads()
        self.started = time.perf_counter()
        found = provenance.code("")  # kept: it is the code that was loaded, not what is edited while it runs
        if (why := found.get("no_commit", provenance.NO_CLONE)) != provenance.NO_CLONE:
            tell(f"the records of this run will not say which commit it ran, or if files differed: {why}")
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def seconds(self) -> float:
        return round(time.perf_counter() - self.started, 2)

    def peak_memory_mb(self) -> int:
        import torch

        if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            return torch.cuda.max_memory_allocated() // 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def make(
    paper: str,
    parameters: RunParameters,
    data: Dataset,
    class_name: str,
    results: list[Result],
    training: Mapping[str, Mapping[str, Any]],
    seconds: float,
    peak_memory_mb: int,
) -> Record:
    """A record of a run that has just happened, with machine and code looked up now."""
    return Record.model_validate(
        {
            "version": VERSION,
            "paper": paper,
            "tier": parameters.tier,
            "dataset": parameters.dataset,
            "class_name": class_name,
            "seed": parameters.seed,
            "parameters": parameters.model_dump(exclude=NOT_THE_EXPERIMENT),
            "data": {"name": data.name, "checksum": data.checksum, "images": len(data.images)},
            "results": results,
            "training": training,
            "machine": provenance.machine(parameters.device),
            "code": provenance.code(paper),
            "seconds": round(seconds, 2),
            "peak_memory_mb": peak_memory_mb,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def write(record: Record, folder: str | Path) -> Path:
    """Write the record; one with the same results that is already there is left untouched (a repeated run).

    A damaged file in its place is replaced. Raises InputError if a newer version wrote it, or nothing can be written.
    """
    path = record.path(folder)
    try:
        if path.exists() and load(path).results == record.results:
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
    found = {file.resolve(): file.absolute() for folder in folders for file in files(paper, folder)}
    return [load(found[file]) for file in sorted(found)]


def files(paper: str, results: str | Path) -> list[Path]:
    """RESULTS/PAPER/*/*.json; not by glob, which passes over what cannot be read. Raises InputError for that."""
    folder = Path(results, paper)
    try:
        inside = [path for path in folder.iterdir() if is_folder(path)] if first_there(folder) == folder else []
        return [file for path in inside for file in path.iterdir() if file.suffix == ".json"]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}): check path and permissions") from error


def read_with_reference(paper: str, results: str | Path) -> list[Record]:
    """The records that come with the book and those in `results`, which stand for the book's of the same run.

    Only those on images of the papers: a table beside a printed one has no place for others. Prints how many are from
    `results`, smoke runs aside. Raises InputError as `read` does.
    """
    book = BOOK if is_folder(BOOK) else Path("results")
    mine = [record for record in read(paper, results) if record.dataset in IN_PAPERS]
    if Path(results).resolve() == book.resolve():
        return mine
    places = {record.path("") for record in mine}
    others = [record for record in read(paper, book) if record.dataset in IN_PAPERS]
    books = [record for record in others if record.path("") not in places]
    if count := sum(record.tier != "smoke" for record in mine):
        print(
            f"{paper}: {len(books)} records of the book, {count} of {results} (in place of the book's of the same run)"
        )
    return books + mine


def to_frame(records: list[Record]) -> pd.DataFrame:
    """One row per result, with the parameters that tell runs apart as further columns.

    What a metric is, and is at, has columns of its own: `kind`, `at_K`, `at_score` and so on, NaN where it is not.
    Of a method that was recorded again because others were run beside it, with the same parameters, the newest number.
    """
    import pandas as pd

    rows = [
        {"dataset": r.dataset, "class_name": r.class_name, "tier": r.tier, "seed": r.seed}
        | {k: v for k, v in r.parameters.items() if k not in ("dataset", "tier", "seed")}
        | result.model_dump()
        | {"collapsed": collapsed(r, result.method)}
        | {"seconds": r.seconds, "hardware": provenance.hardware(r.machine), "precision": _precision(r)}
        | {"commit": r.code["commit"], "created": r.created}
        for r in records
        for result in r.results
    ]
    if not rows:
        names = ["dataset", "class_name", "tier", "seed", *Result.model_fields, *OF_ONE_RUN]
        return pd.DataFrame(columns=[*names, "kind", *(f"at_{name}" for name in AT)])
    table = pd.DataFrame(rows).sort_values("created", kind="stable")
    same = table.columns.difference(["value", "low", "high", *OF_ONE_RUN, *ALSO_RUN])
    table = table.drop_duplicates(same, keep="last").sort_index().reset_index(drop=True)
    parts = (parts_of(name) for name in table.metric)
    said = pd.DataFrame([{"kind": kind, **at} for kind, at in parts], columns=["kind", *AT])
    return table.join(said.rename(columns={name: f"at_{name}" for name in AT}))


def collapsed(record: Record, method: str) -> bool | None:
    """Whether a result of this method rests on a network that died in training; None where that cannot be told.

    A method without a network rests on nothing, and is False. See `collapse` for the rule.
    """
    if record.paper == "ade_gan" and method != "pixels":  # by measures of its own, of generated images
        return any(r.value for r in record.results if (r.method, r.metric) == ("health", "collapsed"))
    dead = [_dead(record, name) for name in _rests_on(record, method)]
    return True if True in dead else None if None in dead else False


def _rests_on(record: Record, method: str) -> list[str]:
    """The trainings that a method's numbers depend on."""
    names = [method]
    if record.paper == "crbnd" and method not in ("no A", "pixels", "statistics"):
        names = ["A", method]
    if record.paper == "nln_defects" and method in ("recon", "NLN"):
        return list(record.training)
    return [name for name in names if name in record.training]


def _dead(record: Record, name: str) -> bool | None:
    from novelty_utils.records import old_trainings  # loads torch

    said = record.training[name].get("collapse")
    return said["collapsed"] if said else old_trainings.collapsed(record, name)


def _precision(record: Record) -> str:
    """That of its training, bf16 or fp32; empty if nothing was trained by batches."""
    return " and ".join(sorted({how["precision"] for how in record.training.values() if "precision" in how}))


def where(rows: pd.DataFrame, **where: Any) -> pd.DataFrame:
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
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(source, ": ".join([*map(str, first["loc"]), first["msg"]])) from error
    except InputError:
        raise
    except (ValueError, RecursionError, AttributeError, TypeError) as error:  # no JSON, or a number of 5,000 digits
        raise _damaged(source) from error


def load(path: Path) -> Record:
    """The record in a file. Raises InputError for one that is none, lies elsewhere than it should or cannot be read."""
    try:
        if path.is_fifo():  # one would wait for somebody to write
            raise InputError(f"{path} cannot be read (it is a pipe): take it away")
        record = parse(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise _damaged(path) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): make it readable or take it away") from error
    place = record.path(path.parents[2])
    if path.parent != place.parent or not path.stem.startswith(place.stem):  # of runs made again, names go on
        raise _damaged(path, "it lies where another run would")
    return record


def _damaged(source: str | Path, why: str = "") -> DamagedRecordError:
    return DamagedRecordError(
        f"{source} is not a record of a run{f' ({why})' * bool(why)}: restore it from git or delete it"
    )


def scratch(paper: str, parameters: RunParameters) -> Path:
    """The folder for the checkpoints of one run, in $NOVELTY_CHECKPOINTS or beside its results; the caller deletes it.

    The same parameters and, in a clone, the same code of package and notebook find it again, wherever the results
    are to lie: edited code starts anew.
    """
    place = os.environ.get("NOVELTY_CHECKPOINTS") or Path(parameters.results, ".checkpoints")
    return Path(place, _scratch(paper, parameters.model_dump_json(exclude={"results"})))


@lru_cache  # of the cells that have run at the first call: at the last one there are more
def _scratch(paper: str, parameters: str) -> str:
    by = provenance.code(paper)
    asked = f"{paper} {parameters} {by['package']} {by['notebook']}"
    return hashlib.sha256(asked.encode()).hexdigest()[:10]
