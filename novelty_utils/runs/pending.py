"""What a sweep has still to do, and what that will cost.

State is in the records and nowhere else: a run is finished when the records it was asked for are in its results folder.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from novelty_utils.errors import InputError
from novelty_utils.records import provenance, store
from novelty_utils.records.store import Record
from novelty_utils.runs import sweep_file
from novelty_utils.runs.sweep_file import Job


def unfinished(listed: list[Job]) -> list[Job]:
    """The runs whose records are not all there; records are compared by all parameters, by class and number of threads.

    Raises InputError if a record in one of the results folders cannot be read.
    """
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for at in {(job.paper, job.parameters.results) for job in listed}:
        found[at] = defaultdict(set)
        for record in store.read(*at):
            if record.threads != provenance.threads() and not record.machine["gpu"]:
                continue
            found[at][sweep_file.asking(record.parameters)].add(record.class_name)
    return [job for job in listed if not finished(job, found[job.paper, job.parameters.results][job.asked])]


def finished(job: Job, recorded: set[str]) -> bool:
    """Whether these classes are all that a run leaves. One that draws its classes itself leaves `repetitions` many."""
    if recorded.issuperset(job.classes):
        return True
    drawn = recorded.difference(job.parameters.classes_of(job.parameters.dataset))
    return job.parameters.class_name == "all" and len(drawn) >= getattr(job.parameters, "repetitions", float("inf"))


def show(file: Path, overrides: Mapping[str, str], workers: int | None) -> None:
    """Print which runs of a sweep are finished, which are not, and what these will cost, judging by earlier records."""
    listed = sweep_file.read(file, overrides)
    todo = unfinished(listed)
    common, open_ = in_common(listed), {id(job) for job in todo}
    for job in listed:
        print("to run  " if id(job) in open_ else "finished", label(job, common))
    costs(listed, todo, workers)


def costs(listed: list[Job], todo: list[Job], workers: int | None) -> None:
    """Print how much is to do, and how long that takes, a line for each notebook, data set and tier."""
    print(f"{len(todo)} to run, {len(listed) - len(todo)} finished")
    alike: dict[tuple[str, str, str], list[Job]] = defaultdict(list)
    for job in todo:
        alike[job.paper, job.parameters.dataset, job.parameters.tier].append(job)
    for (paper, dataset, tier), some in alike.items():
        print(f"{paper}, {dataset}, {tier}: {_estimate(some, workers or len(gpus(todo)) or cores())}")


def in_common(listed: list[Job]) -> set[tuple[str, str]]:
    """The parameters, with their values, that all runs have in common, if there are several."""
    return set.intersection(*(set(job.text.items()) for job in listed)) if len(listed) > 1 else set()


def label(job: Job, common: set[tuple[str, str]]) -> str:
    """A run by the parameters that it does not have in common with the others."""
    return " ".join([job.paper, *(f"{k}={v}" for k, v in job.text.items() if (k, v) not in common)])


def _estimate(some: list[Job], workers: int) -> str:
    """The time of runs of one notebook, data set and tier, from records of such runs."""
    here = _hardware()
    try:
        found, where = _comparable(some[0], here, _recorded(some[0]))
    except InputError as error:  # a file of `results` alone: it stops nobody who works elsewhere
        return f"no estimate ({error})"
    known = [seconds for job in some if (seconds := _seconds(job, found)) is not None]
    if not known:
        return "no estimate (there is no record of such a run)"
    median = statistics.median(record.seconds for record in found)
    hours = sum(known) / min(workers, len(some)) / 3600
    basis = f"median of {len(found)} records on {where}: {median:.0f} s"
    basis += "" if where == here else ", yours may differ by a lot"
    basis += f"; {len(some) - len(known)} runs have no estimate" * (len(known) < len(some))
    return f"about {hours:.2f} h with {workers} at a time ({basis})"


def seconds(todo: list[Job]) -> list[float | None]:
    """How long each run takes, by the records of such runs; None where there are none, or they cannot be read."""
    here, read = _hardware(), {}
    for job in {(job.paper, job.parameters.results): job for job in todo}.values():
        with contextlib.suppress(InputError):
            read[job.paper, job.parameters.results] = _recorded(job)
    found = [_comparable(job, here, read.get((job.paper, job.parameters.results), []))[0] for job in todo]
    return [_seconds(job, alike) for job, alike in zip(todo, found, strict=True)]


def _seconds(job: Job, found: list[Record]) -> float | None:
    """How long a run takes by the records most like it; None if none of them trains one of its networks."""
    p, alike = job.parameters, _most_alike(job, found)
    if not alike:
        return None
    drawn = {r.class_name for r in found}.isdisjoint(p.classes_of(p.dataset))  # a record per draw, not per class
    one = statistics.median(record.seconds for record in alike)
    return one * (getattr(p, "repetitions", 1) if drawn else len(job.classes))


def _most_alike(job: Job, found: list[Record]) -> list[Record]:
    """The records that were asked for the same but for the seed; or else for the same networks under the same protocol,
    or for one of its networks; or all, where a notebook does not choose among networks."""
    asked = job.parameters.model_dump(exclude=store.NOT_THE_EXPERIMENT)
    names = _networks(asked)
    alike = [record for record in found if _but_the_seed(record.parameters) == _but_the_seed(asked)]
    if alike or not names:
        return alike or found
    some = [record for record in found if names & _networks(record.parameters)]
    same = (names, asked.get("protocol"))
    return [r for r in some if (_networks(r.parameters), r.parameters.get("protocol")) == same] or some


def _networks(parameters: Mapping[str, Any]) -> set[str]:
    return set(filter(None, str(parameters.get("methods", parameters.get("models", ""))).split(",")))


def _hardware() -> str:
    """What a run of a sweep will have: one thread, unless told otherwise."""
    return provenance.hardware(provenance.machine() | {"threads": provenance.threads()})


def _recorded(job: Job) -> list[Record]:
    return store.read(job.paper, job.parameters.results, "results")


def _comparable(job: Job, here: str, recorded: list[Record]) -> tuple[list[Record], str]:
    """The records of its data set and tier on one hardware, and which: `here`, or else that with most."""
    by_hardware: dict[str, list[Record]] = defaultdict(list)
    for record in recorded:
        if (record.dataset, record.tier) == (job.parameters.dataset, job.parameters.tier):
            by_hardware[provenance.hardware(record.machine)].append(record)
    where = here if here in by_hardware else max(by_hardware, key=lambda name: len(by_hardware[name]), default=here)
    return by_hardware[where], where


def _but_the_seed(parameters: Mapping[str, Any]) -> str:
    return sweep_file.asking({name: value for name, value in parameters.items() if name != "seed"})


def cores() -> int:
    """How many this process may use."""
    from dask.system import CPU_COUNT  # not os.cpu_count(): a container may have fewer

    return CPU_COUNT


def gpus(todo: list[Job]) -> list[str]:
    """The names of the GPUs to divide among local workers; none if no run takes one."""
    import torch

    if all(job.parameters.device == "cpu" for job in todo):
        return []
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]
