"""Whether a training of a record from before 2026-11-29 died, which no record said by itself then.

Told from what such a record holds and from constant_images.csv: the squared error of the mean image and the absolute
one of the median image, both on the training images of seed 0. Where that is not enough, the answer is None.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from math import log

from novelty_utils.records.schema import Record
from novelty_utils.training.collapse import LEARNED, VARIES

Key = tuple[str, str, str, int]  # data set, protocol, class, side
ONE_CLASS = ("simo", "one_class", "outlier_share")  # the same class is normal under all of these


@cache
def _constants() -> dict[Key, tuple[float, float]]:
    """The squared and the absolute error of the mean and the median image."""
    with files("novelty_utils.records").joinpath("constant_images.csv").open(encoding="utf-8") as file:
        return {
            (row["dataset"], row["protocol"], row["class_name"], int(row["side"])): (
                float(row["squared"]),
                float(row["absolute"]),
            )
            for row in csv.DictReader(file)
        }


def _constant(record: Record, side: int) -> tuple[float, float] | None:
    protocol = record.parameters.get("protocol", "")
    protocol = "simo" if protocol in ONE_CLASS else protocol
    return _constants().get((record.dataset, protocol, record.class_name, side))


def collapsed(record: Record, name: str) -> bool | None:
    """Of one training of the record; None where it cannot be told."""
    judge = {"nln": _nln, "crbnd": _crbnd, "ics": _ics}.get(record.paper)
    return judge(record, name) if judge else None


def _value(record: Record, method: str, metric: str) -> float | None:
    return next((r.value for r in record.results if (r.method, r.metric) == (method, metric)), None)


def _term(record: Record, name: str, term: str) -> float | None:
    """A loss term, mean over the last epoch."""
    return record.training[name].get("terms", {}).get(term)


def _nln(record: Record, name: str) -> bool | None:
    """By the last epoch's error; where that is high, by the end: a training may begin to learn in its last epoch."""
    constant = _constant(record, 32 if record.dataset.startswith("cifar") else 28)
    rec, held_out = _term(record, name, "rec"), _value(record, name, "error;held_out")
    if constant is None or rec is None or held_out is None:
        return None
    squared, absolute = constant
    return rec >= LEARNED * squared and held_out >= LEARNED * absolute


def _crbnd(record: Record, name: str) -> bool | None:
    if name == "λ = 1":  # positives and negatives are the same images: there is nothing to tell apart
        return False
    if name != "A":  # a classifier, of two halves of equal size
        bce = _term(record, name, "bce")
        return None if bce is None else bce >= LEARNED * log(2)
    spread = _value(record, "error of A", "spread;images=held_out")
    constant, held_out = _constant(record, 32), _value(record, "error of A", "mean;images=held_out")
    if spread is not None and spread < VARIES:
        return True
    return None if constant is None or held_out is None else held_out >= LEARNED * constant[1]


def _ics(record: Record, name: str) -> bool | None:
    constant, rec = _constant(record, 32), _term(record, name, "rec")
    if constant is None or rec is None or record.parameters.get("rec") != "mean":
        return None
    return rec >= LEARNED * constant[0]
