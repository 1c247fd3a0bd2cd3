"""The records of a notebook as evidence: single results by method and metric, and the command that makes them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import norm

from novelty_utils import metrics, records, stale
from novelty_utils.records import Record, Result

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
    record: Record


class Evidence:
    """All results of a notebook in a folder, but for those of the smoke tier: they say nothing about a paper."""

    def __init__(self, notebook: str, folder: str | Path):
        every = records.read(notebook, folder)
        self.records = [record for record in every if record.tier != "smoke"]
        self.left_out = len(every) - len(self.records)
        self._results: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        for record in self.records:
            for result in record.results:
                if result.value is not None:
                    self._results[result.method][result.metric].append(_sample(record, result))

    def select(
        self, method: str, metric: str, at: Mapping[str, Any], note: str = "", datasets: Sequence[str] = ()
    ) -> list[Sample]:
        """The results of a method with these parameters, one per data set, class, tier, seed and metric.

        `metric` may be a pattern with stars. A parameter that an older record does not have counts as agreeing: when a
        notebook gets a new one, its default is what was done before.
        """
        found: dict[tuple, Sample] = {}
        results = self._results.get(method, {})
        names = [name for name in results if fnmatchcase(name, metric)] if "*" in metric else [metric]
        for sample in (sample for name in names for sample in results.get(name, ())):
            if (not note or sample.note == note) and (not datasets or sample.dataset in datasets):
                given = sample.record.parameters
                if all(given.get(name, value) == value for name, value in at.items()):
                    found.setdefault(sample[:5], sample)
        return list(found.values())

    def provenance(self, used: Iterable[Sample], whole: bool) -> dict[str, Any]:
        """What has changed since these results, where they were made, and the command that makes them again.

        whole: the command is for all classes, not for the one in the first result.
        """
        mine = list({id(sample.record): sample.record for sample in used}.values())
        newest = max(self.records, key=lambda record: record.created)
        changed = sorted({reason for record in mine for reason in stale.reasons(record, newest)})
        machines = sorted({records.hardware(record.machine) for record in mine})
        return {"stale": ", ".join(changed), "hardware": "; ".join(machines), "command": command(mine, whole)}


def _sample(record: Record, result: Result) -> Sample:
    error = 0.0
    if result.low is not None and result.high is not None:
        error = (result.high - result.low) / 2 / ERRORS_IN_INTERVAL
    place = (record.dataset, record.class_name, record.tier, record.seed)
    return Sample(*place, result.metric, result.note, result.value, error, record)


def command(mine: Sequence[Record], whole: bool) -> str:
    """What a shell needs to make these records again, all seeds of them."""
    first, seeds = mine[0], sorted({record.seed for record in mine})
    values = {"class_name": "all" if whole else first.class_name} | first.parameters
    words = [f"-p {name}={_quoted(value)}" for name, value in values.items() if name != "seed"]
    run = f"novelty run {first.paper} {' '.join(words)} -p seed="
    if len(seeds) == 1:
        return f"{run}{seeds[0]}"
    return f"for s in {' '.join(map(str, seeds))}; do {run}$s; done"


def _quoted(value: Any) -> str:
    text = str(value)
    return f"'{text}'" if set(text) & set(" ;&|<>*$()") else text
