"""Which of our results stand for a printed number: found by its rule, averaged over its classes, with an interval."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from novelty_utils.ledger import published, verdicts
from novelty_utils.ledger.evidence import TIERS, Evidence, Sample, either_dead, normal_error, without
from novelty_utils.ledger.published import Cells, Rules
from novelty_utils.ledger.verdicts import Estimate
from novelty_utils.params import CLASSES, DEFECT_CLASSES
from novelty_utils.records.schema import parts_of

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
DRAWS = {"caltech256": 20}  # its means are over random draws of categories, not over classes
# A data set that stands near one that cannot be had: named in the reason, never in a comparison.
NEAR = {"cifar10": "cifar10_jpeg"}
ASSUMED = "assumed"


class Found(NamedTuple):
    """What the records say about a printed number."""

    estimate: Estimate
    used: list[Sample]
    best: str = ""  # the settings that were the best on the test set, where the paper's rule takes these
    deviation: str = ASSUMED  # what the deviation between seeds rests on where these records do not tell it


class Assumed(NamedTuple):
    """The deviation between seeds where the records of a number do not tell it."""

    deviation: float
    said: str = ASSUMED  # what it rests on
    moves: bool = True  # with the one in margins.toml, as long as that is not below `floor`
    floor: float = 0.0

    def mark(self, ours: Estimate, fixed: float) -> Estimate:
        """The same estimate; its part says how it moves with the deviation in margins.toml, which is `fixed`."""
        if not ours.assumed:
            return ours
        deviation = fixed if self.moves else self.deviation
        parts = (p._replace(deviation=deviation, assumed=self.moves, floor=self.floor) for p in ours.parts)
        return ours._replace(parts=tuple(parts))


def rule_of(of_paper: Rules, printed: Mapping[str, Any]) -> Cells | None:
    return next((cells for cells in of_paper.cells if is_about(cells, printed)), None)


def is_about(cells: Cells, printed: Mapping[str, Any]) -> bool:
    return (
        cells.table == printed["table"]
        and printed["method"] in cells.methods
        and cells.when in printed["setting"]
        and cells.printed_metric in ("", printed["metric"])
        and cells.dataset in ("", printed["dataset"])
    )


def sought(paper: str, printed: Mapping[str, Any], of_paper: Rules) -> Hashable:
    """What is looked up for a printed number, and its value: equal for one that is printed a second time."""
    rule = rule_of(of_paper, printed)
    if rule is None or rule.row or rule.kind == "increase":
        return tuple(printed.values())
    at, metric, note = _place(rule, printed)
    where = (paper, rule.notebook, rule.methods[printed["method"]], metric, note, tuple(sorted(at.items())))
    return (*where, printed["dataset"], printed["class_name"], printed["value"])


def found(
    rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str, untrained: Sequence[str] = ()
) -> list[Found]:
    """Our number for a printed one from every tier that has all it needs, the paper's first."""
    finder = _increase if rule.kind == "increase" else _value
    found = []
    for tier in TIERS:
        of_tier = (finder(sized, printed, source, dataset, tier, untrained) for sized in _sized(rule, source))
        found.append(next(filter(None, of_tier), None))
    return [one for one in found if one]


def _sized(rule: Cells, source: Evidence) -> list[Cells]:
    """The rule, and the same for networks of every other recorded size, the largest first."""
    recorded = source.records if rule.sizes else ()
    sizes = {tuple(record.parameters.get(name) for name in rule.sizes) for record in recorded}
    others = [dict(zip(rule.sizes, values, strict=True)) for values in sorted(sizes, reverse=True)]
    return [rule, *(rule.model_copy(update={"parameters": rule.parameters | other}) for other in others)]


def best_trained(rule: Cells, printed: Mapping[str, Any], found: Sequence[Found]) -> list[Found]:
    """The first, and a second one if its networks redraw held-out normal images better: no label says so."""
    if len(found) < 2 or rule.row or rule.kind == "increase":
        return list(found[:1])
    errors = [normal_error(one.used, rule.methods[printed["method"]]) for one in found]
    known = [error for error in errors if error is not None]
    better = len(known) == len(errors) and known[1] < known[0]
    return list(found) if better else list(found[:1])


def _value(
    rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str, untrained: Sequence[str]
) -> Found | None:
    like = [s for s in _samples(rule, printed, source, dataset) if s.tier == tier]
    wanted = _classes(printed, like)
    used = [s for s in like if s.class_name in wanted]
    if not wanted or {s.class_name for s in used} != wanted:
        return None
    limits = verdicts.margins()
    if printed["dataset"] in DRAWS:
        return Found(verdicts.of_draws(used, limits.confidence), used)
    fixed = limits.seed_deviation[printed["metric"]]
    assumed = Assumed(fixed)
    if not rule.row:
        _, metric, _ = _place(rule, printed)
        method = rule.methods[printed["method"]]
        assumed = deviation_of(source, method, metric, fixed, printed["method"] not in untrained)
    alive = [s for s in like if not s.dead]  # how far a dead one lies off is no deviation between seeds
    ours = verdicts.estimate(used, alive, assumed.deviation, limits.confidence)
    return Found(assumed.mark(ours, fixed), used, deviation=assumed.said)


def _place(rule: Cells, printed: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """The parameters, the metric and the note that a printed cell stands for."""
    setting = published.settings(printed["setting"])
    at = rule.parameters | {name: float(setting[name]) for name in rule.varies}
    return at, rule.metric.format(**setting), rule.note.format(**setting)


def _samples(rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str) -> list[Sample]:
    """One sample per class, tier and seed."""
    method = rule.methods[printed["method"]]
    at, metric, note = _place(rule, printed)
    if not rule.row:
        return source.select(method, metric, at, note, [dataset])
    together = defaultdict(list)
    for other in rule.row:
        row_at = at | without(other, "method")
        for sample in source.select(other.get("method", method), metric, row_at, note, [dataset]):
            together[sample.class_name, sample.tier, sample.seed].append(sample)
    statistic = statistics.stdev if printed["metric"].endswith("_std") else statistics.fmean
    whole = [samples for samples in together.values() if len(samples) == len(rule.row)]
    return [
        samples[0]._replace(
            value=statistic(s.value for s in samples),
            error=0.0,
            records=tuple(s.records[0] for s in samples),
            dead=either_dead(*(s.dead for s in samples)),
        )
        for samples in whole
    ]


def _increase(
    rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str, untrained: Sequence[str]
) -> Found | None:
    """1 - baseline / score of class means, the best of each over all settings that all classes have (NLN, Table 1)."""
    ours, base = (_best(rule, metric, printed, source, dataset, tier) for metric in (rule.metric, rule.baseline))
    if ours is None or base is None:
        return None
    (a, used, *_), (b, other, *_) = ours, base
    ratio = b.value / a.value
    # The two errors as if independent: they come from the same networks, so the interval is rather too wide.
    half = ((b.high - b.value) ** 2 + ((a.high - a.value) * ratio) ** 2) ** 0.5 / a.value
    value, seeds, assumed = 1 - ratio, min(a.seeds, b.seeds), a.assumed or b.assumed
    parts = b.scaled(1 / a.value) + a.scaled(ratio / a.value)
    size, (_, at) = used[0].records[0].parameters["L"], parts_of(used[0].metric)
    where = f"our best score is at L={size}, K={at['K']:g}, alpha={at['alpha']}"
    return Found(Estimate(value, value - half, value + half, seeds, assumed, parts), used + other, where)


def _best(
    rule: Cells, metric: str, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str
) -> Found | None:
    """The highest mean of a metric, or pattern of metrics, over the sizes L and settings that all classes have."""
    limits, settings, wanted = verdicts.margins(), defaultdict(list), _classes(printed, ())
    for sample in source.select(rule.methods[printed["method"]], metric, rule.parameters, "", [dataset], by="L"):
        if sample.tier == tier and sample.class_name in wanted:
            settings[sample.records[0].parameters["L"], sample.metric].append(sample)
    whole = {at: like for at, like in settings.items() if {s.class_name for s in like} == wanted}
    method, fixed = rule.methods[printed["method"]], limits.seed_deviation["auroc"]
    found = []
    for (_, name), like in whole.items():
        assumed = deviation_of(source, method, name, fixed)
        ours = verdicts.estimate(like, like, assumed.deviation, limits.confidence)
        found.append(Found(assumed.mark(ours, fixed), like))
    return max(found, key=lambda one: one.estimate.value, default=None)


def deviation_of(source: Evidence, method: str, metric: str, assumed: float, trained: bool = True) -> Assumed:
    """The deviation between seeds where these records do not tell it, and what it rests on.

    Of a method without training what other records of it say; of a trained one the fixed deviation or, if larger,
    that of other records: how far networks move from seed to seed on other images says little about these.
    """
    if (method, metric) not in source.deviations:
        samples = [s for s in source.repetitions(method, metric) if not s.dead]
        where = sorted({of_class[0].dataset for of_class in verdicts.by_class(samples) if len(of_class) > 1})
        source.deviations[method, metric] = (verdicts.seed_deviation(samples), ", ".join(where))
    known, said = source.deviations[method, metric]
    if known is None:
        return Assumed(assumed)
    if trained and known[0] <= assumed:
        return Assumed(assumed, floor=known[0])
    return Assumed(known[0], f"transferred from other records ({said})", trained, known[0])


def _classes(printed: Mapping[str, Any], samples: Sequence[Sample]) -> set[str]:
    """The classes that a printed number is about."""
    if printed["class_name"] != "mean":
        return {printed["class_name"]}
    dataset, recorded = printed["dataset"], {s.class_name for s in samples}
    if dataset in DRAWS:
        return recorded if len(recorded) >= DRAWS[dataset] else set()
    group = published.settings(printed["setting"]).get("group", "all")
    classes = {**CLASSES, **DEFECT_CLASSES}[dataset]
    return {name for name in classes if group == "all" or (name in TEXTURES) == (group == "textures")}


def why_not(rule: Cells, printed: Mapping[str, Any], source: Evidence) -> str:
    dataset = printed["dataset"]
    if dataset not in source.datasets:
        near = found(rule, printed, source, NEAR[dataset]) if dataset in NEAR else None
        beside = f"; on {NEAR[dataset]}, other images, it is {near[0].estimate.value:.3f}" if near else ""
        return f"no run on {dataset} is recorded{beside}"
    there = set()
    if printed["class_name"] == "mean":
        samples = _samples(rule, printed, source, dataset)
        there = max(({s.class_name for s in samples if s.tier == tier} for tier in TIERS), key=len)
    return f"only {len(there)} classes are recorded" if there else "no run with this setting is recorded"
