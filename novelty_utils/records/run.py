"""The end of a run: what it found becomes one record for each of its classes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from novelty_utils.params import RunParameters
from novelty_utils.records.schema import Result
from novelty_utils.records.store import RunMeter, make, scratch, write

if TYPE_CHECKING:
    from novelty_utils.data.datasets import Dataset
    from novelty_utils.training import History


def trained(
    history: History, *more: Mapping[str, Any], seconds: float | None = None, images: int | None = None
) -> dict[str, Any]:
    """What a record says of one training: what it cost, each loss term at its end, and `more`, whether it died.

    seconds: how long it took to score so many test images.
    """
    about = vars(history) | {"terms": {term: values[-1] for term, values in history.terms.items()}}
    for part in more:
        about |= part
    if seconds is None:
        return about
    return about | {"scoring_seconds": round(seconds, 4), "scored_images": images}


def write_run(
    paper: str,
    parameters: RunParameters,
    data: Dataset,
    watch: RunMeter,
    results: Mapping[str, Sequence[Result]],
    training: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> None:
    """Write a record for each class of a run, say where, and delete the checkpoints of the run.

    results and training: by class name; a training by its name, as `trained` returns it. The time since `watch` was
    made is shared among the classes. Raises InputError as `write` does; then the checkpoints stay.
    """
    cost = (watch.seconds() / len(results), watch.peak_memory_mb())
    for class_name, found in results.items():
        record = make(paper, parameters, data, class_name, list(found), training[class_name], *cost)
        print("recorded in", write(record, parameters.results))
    shutil.rmtree(scratch(paper, parameters), ignore_errors=True)
