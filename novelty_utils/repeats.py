"""Runs that were made again, by newer code or on another machine: do they still make the numbers of the first record?

The second records are kept apart, under FOLDER/repeats, so that no mean counts a run twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from novelty_utils import provenance, records
from novelty_utils.params import InputError
from novelty_utils.records import Record

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
        firsts = records.read(paper, folder)
        for again in records.read(paper, Path(folder, FOLDER)):
            found.append(_pair(next((first for first in firsts if _same_run(first, again)), None), again))
    return found


def _same_run(first: Record, again: Record) -> bool:
    """Asked for alike; `again` may have parameters that are younger than `first`."""
    alike = (first.dataset, first.class_name) == (again.dataset, again.class_name)
    return alike and first.parameters.items() <= again.parameters.items()


def _pair(first: Record | None, again: Record) -> Repeat:
    path = again.path(FOLDER)
    if first is None:
        raise InputError(f"{path} repeats no record beside it: add the first record, or delete this one")
    values = [_aurocs(one) for one in (first, again)]
    both = values[0].keys() & values[1].keys()
    if not both:
        raise InputError(f"{path} has no AUROC in common with the record that it repeats: delete it")
    return Repeat(first, again, len(both), max(abs(values[0][key] - values[1][key]) for key in both))


def _aurocs(record: Record) -> dict[tuple[str, str], float]:
    return {(r.method, r.metric): r.value for r in record.results if "auroc" in r.metric and r.value is not None}
