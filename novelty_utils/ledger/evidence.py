"""The records of a notebook as evidence: single results by method and metric, and the command that makes them again."""

from __future__ import annotations

import shlex
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import norm

from novelty_utils.evaluation import metrics
from novelty_utils.ledger import staleness
from novelty_utils.ledger.published import Rules
from novelty_utils.params import CLASSES, DEFECT_CLASSES
from novelty_utils.records import provenance, replications, store
from novelty_utils.records.schema import Record, Result, parts_of

TIERS = ("paper", "demo")  # the first that has what is asked for counts
ERRORS_IN_INTERVAL = float(norm.ppf(0.5 + metrics.CONFIDENCE / 2))  # half a recorded interval, in standard errors


class Sample(NamedTuple):
    """One result of one run. `error` is its standard error over test images, 0 where the run recorded none."""

    dataset: str
    class_name: str
    tier: str
    seed: int
    metric: str
    note: str
    value: float
    error: float
    records: tuple[Record, ...]  # one, or all that a difference or a mean rests on
    dead: bool | None = False  # it rests on a training that collapsed; None where that cannot be told
    method: str = ""


Experiment = tuple[str, str]  # data set, and the parameters but for the seed, as text
Numbered = tuple[int, Sample]  # with the place of its record


class Evidence:
    """All results of a notebook in a folder, but for those of the smoke tier: they say nothing about a paper."""

    def __init__(self, notebook: str, folder: str | Path):
        again = store.read(notebook, Path(folder, replications.FOLDER))
        every = replications.averaged(store.read(notebook, folder), again)
        self.records = [record for record in every if record.tier != "smoke"]
        self.left_out = len(every) - len(self.records)
        self.datasets = {record.dataset for record in self.records}
        self.deviations: dict[tuple[str, str], Any] = {}  # between seeds, kept by `matching.deviation_of`
        self._repetitions: dict[tuple[str, str], list[Sample]] = {}
        self._newest: dict[tuple, Record] = {}
        for record in sorted(self.records, key=lambda one: one.created, reverse=True):
            self._newest.setdefault(_images(record), record)
        self._results: dict[str, dict[str, dict[Experiment, list[Numbered]]]]
        self._results = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for number, record in enumerate(self.records):
            experiment = (record.dataset, _but_the_seed(record))
            dead = {method: store.collapsed(record, method) for method in {r.method for r in record.results}}
            for result in record.results:
                if result.value is not None:
                    sample = _sample(record, result, result.value, dead[result.method])
                    alike = self._results[result.method][result.metric][experiment]
                    alike.append((number, sample))

    def select(
        self,
        method: str,
        metric: str,
        at: Mapping[str, Any],
        note: str = "",
        datasets: Sequence[str] = (),
        by: str = "",
    ) -> list[Sample]:
        """The results of a method with these parameters, one per data set, class, tier, seed and metric: the newest.

        `metric` may be a pattern with stars. With `by`, there is one for each value of that parameter as well.
        A parameter that an older record does not have counts as agreeing: when a notebook gets a new one, its default
        is what was done before.
        """
        found: dict[tuple, Sample] = {}
        results = self._results.get(method, {})
        names = [name for name in results if fnmatchcase(name, metric)] if "*" in metric else [metric]
        for sample in (sample for name in names for sample in _alike(results.get(name, {}), at, datasets)):
            key = (*sample[:5], sample.records[0].parameters.get(by))
            newer = key not in found or found[key].records[0].created < sample.records[0].created
            if newer and (not note or sample.note == note):
                found[key] = sample
        return list(found.values())

    def repetitions(self, method: str, metric: str) -> list[Sample]:
        """All results of a method; `class_name` tells apart all that differs but the seed: parameters and notes too."""
        if (method, metric) not in self._repetitions:
            every = self._results.get(method, {}).get(metric, {})
            self._repetitions[method, metric] = _in_order(
                [(number, s._replace(class_name=f"{s.class_name} {s.tier} {s.note} {experiment}"))]
                for (_, experiment), samples in every.items()
                for number, s in samples
            )
        return self._repetitions[method, metric]

    def provenance(self, used: Sequence[Sample]) -> dict[str, Any]:
        """What has changed since these results, where they were made, how they are made again, and their files."""
        mine = list({id(record): record for sample in used for record in sample.records}.values())
        of_each = ((record, sample.method) for sample in used for record in sample.records)
        newest = self._newest
        differs = (staleness.reasons(record, newest[_images(record)], method) for record, method in of_each)
        changed = sorted({reason for reasons in differs for reason in reasons})
        machines = sorted({provenance.hardware(record.machine) for record in mine})
        told = {"stale": ", ".join(changed), "hardware": "; ".join(machines), "command": command(mine)}
        return told | {"records": " ".join(sorted(record.path("").as_posix() for record in mine))}


def _alike(
    results: Mapping[Experiment, list[Numbered]], at: Mapping[str, Any], datasets: Sequence[str]
) -> list[Sample]:
    """The results on these data sets, or on any if none is named, of the experiments with these parameters."""
    found = []
    for (dataset, _), samples in results.items():
        given = samples[0][1].records[0].parameters  # but for the seed those of all of them
        if (not datasets or dataset in datasets) and all(given.get(name, value) == value for name, value in at.items()):
            found.append(samples)
    return _in_order(found)


def _in_order(groups: Iterable[list[Numbered]]) -> list[Sample]:
    """The samples in the order of their records."""
    return [sample for _, sample in sorted(chain.from_iterable(groups), key=itemgetter(0))]


def _images(record: Record) -> tuple:
    """What the newest record of tells today's parameters and checksum: same name, size, and class, which may matter."""
    return record.data["name"], record.class_name, record.parameters.get("side")


def recipe_of(of_paper: Rules, used: Iterable[Sample]) -> tuple[str, bool]:
    """How these results were trained, in words, and whether all of it was at full length."""
    mine = [of_paper.recipe(record.paper, record.parameters) for sample in used for record in sample.records]
    return "; ".join(dict.fromkeys(one.says for one in mine)), all(one.full for one in mine)


def either_dead(*dead: bool | None) -> bool | None:
    """Of results that are taken together: dead if one is, and unknown if nothing better is known of one."""
    return True if True in dead else None if None in dead else False


def how_many_trained(used: Sequence[Sample], mean: bool = True) -> str:
    """How many of these results rest on no dead training, and, if asked for, their mean over classes without those."""
    alive = [sample for sample in used if not sample.dead]
    if len(alive) == len(used):
        return ""
    said = f"; {len(alive)} of {len(used)} trained"
    if not (alive and mean):
        return said
    classes = defaultdict(list)
    for sample in alive:
        classes[sample.dataset, sample.class_name].append(sample.value)
    return f"{said}, {statistics.fmean(map(statistics.fmean, classes.values())):.3f} without the others"


def normal_error(samples: Iterable[Sample], method: str) -> float | None:
    """The mean error on held-out normal images of the networks behind these results, None where one has none.

    It needs no label, so it may say which of two trainings is the better one.
    """
    mine = list({id(record): record for sample in samples for record in sample.records}.values())
    errors = [_normal_error(record, method) for record in mine]
    known = [error for error in errors if error is not None]
    return statistics.fmean(known) if known and len(known) == len(errors) else None


def _normal_error(record: Record, method: str) -> float | None:
    said = [r.value for r in record.results if (r.method, r.metric) == (method, "error;held_out")]
    of_training = record.training.get({"crbnd": "A", "ade_gan": "stage 1"}.get(record.paper, method))
    if said or of_training is None:
        return said[0] if said else None
    return of_training.get("collapse", {}).get("error")


def _sample(record: Record, result: Result, value: float, dead: bool | None) -> Sample:
    error = 0.0
    # A row at a share has the lowest and the highest of some draws in place of an interval.
    if result.low is not None and result.high is not None and "share" not in parts_of(result.metric)[1]:
        half = max(result.high - value, value - result.low)  # one side may be cut off at 0 or 1
        error = half / ERRORS_IN_INTERVAL
    place = (record.dataset, record.class_name, record.tier, record.seed)
    return Sample(*place, result.metric, result.note, value, error, (record,), dead, result.method)


def command(mine: Sequence[Record]) -> str:
    """What a shell needs to make these records again: a command for every set of parameters, with all its seeds."""
    alike: dict[str, list[Record]] = defaultdict(list)
    for record in mine:
        alike[f"novelty run {record.paper} {_but_the_seed(record)}"].append(record)
    return " && ".join(_for_all(run, some) for run, some in alike.items())


def _but_the_seed(record: Record) -> str:
    """The parameters of a run, as the command line takes them."""
    given = record.parameters.items()
    return " ".join(f"-p {name}={shlex.quote(str(value))}" for name, value in given if name != "seed")


def _for_all(run: str, some: Sequence[Record]) -> str:
    """One run for these classes and seeds, and no others: a loop over the classes that have the same seeds."""
    classes, alike = defaultdict(set), defaultdict(list)
    for record in some:
        classes[record.class_name].add(record.seed)
    for class_name, seeds in sorted(classes.items()):
        alike[tuple(sorted(seeds))].append(class_name)
    every = {**CLASSES, **DEFECT_CLASSES}.get(some[0].dataset, ())
    return " && ".join(_loops(run, names, seeds, every) for seeds, names in alike.items())


def _loops(run: str, names: Sequence[str], seeds: Sequence[int], every: Sequence[str]) -> str:
    whole = len(names) > 1 and set(names) == set(every)
    classes, numbers = ["all"] if whole else [shlex.quote(name) for name in names], [str(seed) for seed in seeds]
    run += f" -p class_name={classes[0] if len(classes) == 1 else '$c'}"
    run += f" -p seed={numbers[0] if len(numbers) == 1 else '$s'}"
    run = run if len(numbers) == 1 else f"for s in {' '.join(numbers)}; do {run}; done"
    return run if len(classes) == 1 else f"for c in {' '.join(classes)}; do {run}; done"


def without(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}
