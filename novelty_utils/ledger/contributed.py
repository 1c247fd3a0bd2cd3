"""Records from another machine: whether they can stand beside ours, and how far they agree. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from novelty_utils.errors import InputError, shown
from novelty_utils.files import is_folder, reachable
from novelty_utils.ledger import staleness
from novelty_utils.records import provenance, replications, store
from novelty_utils.records.schema import NOT_THE_EXPERIMENT
from novelty_utils.records.store import Record
from novelty_utils.runs import checking

CLOCKS_APART = timedelta(days=1)  # how far the clock of another machine may be ahead


class Checked(NamedTuple):
    """A file that is offered as a record, and what was found."""

    file: Path
    faults: list[str]  # why it cannot be taken; none if it can
    told: str  # how it stands to ours


def check(folder: str | Path, results: str | Path) -> list[Checked]:
    """Every FOLDER/PAPER/DATASET/*.json against the records in `results`, in a fixed order.

    Raises InputError where there is nothing to check, or nothing to check it against.
    """
    with reachable("FOLDER", str(folder)):
        papers = [path.name for path in Path(folder).iterdir() if is_folder(path)]
    files = sorted(file for paper in papers for file in store.files(paper, folder))
    if not files:
        raise InputError(f"{str(folder)!r} holds no PAPER/DATASET/NAME.json: give the folder that `results` named")
    found = []
    for paper, mine in _by_paper(files):
        ours = store.read(paper, results)
        again = store.read(paper, Path(results, replications.FOLDER))
        found += [_checked(file, paper, ours, [*ours, *again]) for file in mine]
    return found


def _by_paper(files: list[Path]) -> Iterator[tuple[str, list[Path]]]:
    for paper in dict.fromkeys(file.parents[1].name for file in files):
        yield paper, [file for file in files if file.parents[1].name == paper]


def _checked(file: Path, paper: str, ours: list[Record], every: list[Record]) -> Checked:
    try:
        record = store.load(file)
        if record.paper != paper:
            raise InputError(f"it is a record of {record.paper}")
        faults = list(_of_data(record, ours)) or [
            *_of_parameters(record, ours),
            *_of_code(record),
            *_implausible(record, every),
        ]
        return Checked(file, faults, "" if faults else beside(record, ours))
    except InputError as error:
        return Checked(file, [str(error)], "")


def _of_data(record: Record, ours: list[Record]) -> Iterator[str]:
    if record.tier == "smoke":
        yield "a run of the smoke tier shows that a notebook runs, and is no evidence"
    known = {one.data["checksum"] for one in ours if one.dataset == record.dataset}
    if not known:
        yield f"we have no record of {record.dataset!r}, so nobody can tell whether these images are the same"
    elif record.data["checksum"] not in known:
        yield f"its images of {record.dataset!r} are others than ours: {record.data['checksum']}"


def _of_parameters(record: Record, ours: list[Record]) -> Iterator[str]:
    notebook = checking.find_notebook(record.paper)
    if record.class_name == "all":
        yield "its class is 'all': a record is about one class, run each by itself"
    drawn = record.class_name in {one.class_name for one in ours}  # a class, or several that were drawn together
    given = {name: str(value) for name, value in record.parameters.items()}
    given["class_name"] = "all" if drawn else record.class_name
    parameters, _ = checking.check(notebook, given)
    if missing := set(type(parameters).model_fields) - NOT_THE_EXPERIMENT - set(record.parameters):
        yield f"it does not say {', '.join(sorted(missing))}: run it with the notebook of today"
    for name, value in parameters.model_dump(exclude=NOT_THE_EXPERIMENT).items():
        if json.dumps(record.parameters.get(name, value)) != json.dumps(value):
            yield f"it has {name}={shown(record.parameters[name])}, which is written {shown(value)} in our records"


def _of_code(record: Record) -> Iterator[str]:
    commit, here = record.code["commit"], provenance.code(record.paper)
    if record.code.get("dirty", commit is not None):
        yield "it was made by code that was edited: commit the change, or run it without"
    elif commit is not None and staleness.known(commit) is False:
        yield f"its commit {commit[:7]} is not in the history here: pull, or run it with a commit of main"
    elif commit is None and record.code.get("package") != here["package"]:
        yield "it names no commit, and its package is not the one here: run it in a clone, or with this version"


def _implausible(record: Record, every: list[Record]) -> Iterator[str]:
    if datetime.fromisoformat(record.created) > datetime.now(UTC) + CLOCKS_APART:
        yield f"it was made on {record.created}, which is still to come"
    for one in every:
        if one.results == record.results and one.path("") != record.path(""):
            yield f"its results are those of our {one.path('')}, to the last digit"


def beside(record: Record, ours: list[Record]) -> str:
    """How far a record lies from ours of the same run, or of the same question with other seeds: in words."""
    same = next((one for one in ours if replications.same_run(one, record)), None)
    if same and replications.aurocs(same).keys().isdisjoint(replications.aurocs(record)):
        raise InputError(f"it has no AUROC in common with our record of the same run, {same.path('')}")
    if same:
        pair = replications.pair(same, record)
        return f"again: of {pair.compared} AUROCs none is further than {100 * pair.largest:.1f} points from ours"
    seeds = [one for one in ours if _question(one) == _question(record)]
    if not seeds:
        return "new: we have no run with these parameters"
    mine, theirs = replications.aurocs(record), [replications.aurocs(one) for one in seeds]
    apart = [
        abs(value - fmean(other[key] for other in theirs))
        for key, value in mine.items()
        if all(key in other for other in theirs)
    ]
    far = f", at most {100 * max(apart):.1f} points from their mean" if apart else ""
    return f"new: seed {record.seed} beside {len(seeds)} of ours{far}"


def _question(record: Record) -> tuple[object, ...]:
    """All that was asked but the seed."""
    asked = {name: value for name, value in record.parameters.items() if name != "seed"}
    return record.dataset, record.class_name, record.data["checksum"], record.tier, asked
