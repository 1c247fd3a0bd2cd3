"""Runs that were made again, by newer code or on another machine: do they still make the numbers of the first record?

The second records are kept apart, under FOLDER/repeats, so that no mean counts a run twice. One that was made on other
hardware is evidence like the first: `averaged` puts the mean of both in the place of the first.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from novelty_utils.errors import InputError
from novelty_utils.records import provenance, store
from novelty_utils.records.store import Record, Result

FOLDER = "repeats"


class Repeat(NamedTuple):
    """Two records of one run, and how far they lie apart."""

    first: Record
    again: Record
    compared: int  # AUROCs that both report
    largest: float  # the largest difference of these, a fraction

    @property
    def same_hardware(self) -> bool:
        return provenance.hardware(self.first.machine) == provenance.hardware(self.again.machine)


def read(folder: str | Path, *papers: str) -> list[Repeat]:
    """Every repeated run of these papers, in a fixed order.

    Raises InputError for a repeat whose first record is not in `folder`, or that shares no AUROC with it.
    """
    found = []
    for paper in papers:
        firsts = _by_place(store.read(paper, folder))
        for again in store.read(paper, Path(folder, FOLDER)):
            same = (first for first in firsts[_place(again)] if same_run(first, again))
            found.append(pair(next(same, None), again))
    return found


def averaged(firsts: Sequence[Record], again: Sequence[Record]) -> list[Record]:
    """The first records; in place of one that was made again on other hardware stands the mean of both.

    Each kind of hardware counts once, with its newest record. A result that one of them lacks is left out: beside the
    others' means it would compare unlike trainings.
    """
    alike = _by_place(again)
    return [_mean([first, *_elsewhere(first, alike[_place(first)])]) for first in firsts]


def _by_place(records: Sequence[Record]) -> dict[tuple, list[Record]]:
    """The records by what all that are the same run share, lest each be compared with every other."""
    found: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        found[_place(record)].append(record)
    return found


def _place(record: Record) -> tuple:
    return record.dataset, record.class_name, record.seed, record.data["checksum"]


def counted(paper: str, results: str | Path) -> list[Record]:
    """`averaged` for the records of a notebook's tables: the book's, and those in `results`."""
    again = store.read(paper, *(Path(folder, FOLDER) for folder in (store.BOOK, results)))
    return averaged(store.read_with_reference(paper, results), again)


def _elsewhere(first: Record, again: Sequence[Record]) -> list[Record]:
    mine = sorted((one for one in again if same_run(first, one)), key=lambda one: one.created)
    newest = {provenance.hardware(one.machine): one for one in mine}
    newest.pop(provenance.hardware(first.machine), None)
    return list(newest.values())


def _mean(runs: Sequence[Record]) -> Record:
    """Of the runs that trained, if any did: the mean of a dead and a living network is neither."""
    runs = [run for run in runs if not _died(run)] or runs[:1]
    first = runs[0]
    if len(runs) == 1:
        return first
    alike = defaultdict(list)
    for result in (result for run in runs for result in run.results):
        alike[result.method, result.metric, result.note].append(result)
    cpus = " and ".join(dict.fromkeys(run.machine["gpu"] or run.machine["cpu"] for run in runs))
    held = [some for some in alike.values() if len(some) == len(runs)]
    changed = {"results": [_mean_result(some) for some in held], "machine": first.machine | {"cpu": cpus}}
    return first.model_copy(update=changed)


def _died(run: Record) -> bool:
    return any(store.collapsed(run, method) for method in {result.method for result in run.results})


def _mean_result(some: Sequence[Result]) -> Result:
    some = [one for one in some if one.value is not None] or some

    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in some]
        return None if None in values else statistics.fmean(values)

    return some[0].model_copy(update={name: mean(name) for name in ("value", "low", "high")})


def same_run(first: Record, again: Record) -> bool:
    """Asked for alike; `again` may have parameters that are younger than `first`."""
    alike = (first.dataset, first.class_name) == (again.dataset, again.class_name)
    alike &= first.data["checksum"] == again.data["checksum"]
    return alike and first.parameters.items() <= again.parameters.items()


def pair(first: Record | None, again: Record) -> Repeat:
    path = again.path(FOLDER)
    if first is None:
        raise InputError(f"{path} repeats no record beside it: add the first record, or delete this one")
    values = [aurocs(one) for one in (first, again)]
    both = values[0].keys() & values[1].keys()
    if not both:
        raise InputError(f"{path} has no AUROC in common with the record that it repeats: delete it")
    return Repeat(first, again, len(both), max(abs(values[0][key] - values[1][key]) for key in both))


def aurocs(record: Record) -> dict[tuple[str, str], float]:
    return {(r.method, r.metric): r.value for r in record.results if "auroc" in r.metric and r.value is not None}
