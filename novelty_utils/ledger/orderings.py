"""The second half of the ledger: claims that something is higher, or about the same.

Each is judged by the paired differences of two results on the same classes with the same seeds.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from novelty_utils.ledger import published, second_looks, verdicts
from novelty_utils.ledger.evidence import TIERS, Evidence, Sample, either_dead, how_many_trained, recipe_of, without
from novelty_utils.ledger.published import Orders, Rules
from novelty_utils.ledger.second_looks import Second
from novelty_utils.ledger.verdicts import MIXED, NOT_ATTEMPTED, NOT_REPRODUCED
from novelty_utils.params import CLASSES, DEFECT_CLASSES


class Repeated(NamedTuple):
    """How far runs lie apart that differ in nothing but the seed."""

    paper: str
    method: str
    metric: str
    classes: int  # with at least two seeds; under another setting a class counts again
    deviation: float  # pooled over these
    widest: float  # the largest range of a single one


def combinations(each: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*each.values()):
        yield dict(zip(each, values, strict=True))


def line(
    paper: str,
    order: Orders,
    each: Mapping[str, Any],
    of_paper: Rules,
    evidence: Mapping[str, Evidence],
    others: Mapping[str, Second | None],
) -> dict:
    """The line of the ledger about one claim that something is higher, or about the same."""
    source = evidence[order.notebook or paper]
    datasets = [each["dataset"]] if "dataset" in each else order.datasets
    about: dict[str, Any] = {"paper": paper, "kind": "control" if order.control else "order", "where": order.where}
    about |= {"claim": order.claim.format(**each), "dataset": ", ".join(datasets)}
    about |= {"protocol": order.parameters.get("protocol", ""), "method": order.more["method"], "metric": order.metric}
    against = order.less.get("method") or order.less["constant"]
    about |= {"class_name": "all", "setting": f"against {against}", "verdict": NOT_ATTEMPTED}
    if order.set_aside:
        return about | {"reason": order.set_aside}
    pairs = _pairs(order, each, datasets, source)
    if not pairs:
        return about | {
            "reason": order.why_not or order.unequal or "no run of both is recorded",
            "command": order.command.format(**each),
        }
    about |= {"dataset": ", ".join(sorted({sample.dataset for sample in pairs}))}
    classes = verdicts.by_class(pairs)
    blocks = [statistics.fmean(s.value for s in of_class) for of_class in classes]
    about |= {"seeds": min(map(len, classes)), "tier": pairs[0].tier, "printed": _printed_order(paper, order, classes)}
    judged = _judged(order, blocks, _how_many(datasets))
    opposed = order.kind == "greater" and (about["printed"] or 0) < 0
    if opposed:  # what ours would confirm is not what was measured there
        judged |= {"verdict": MIXED, "reason": judged["reason"] + "; the printed cells say the opposite"}
    recipe, full = recipe_of(of_paper, pairs)
    full &= all(sample.dead is False for sample in pairs)
    outside, judged["verdict"] = (
        second_looks.verdict(about, found, judged["ours"], full, others)
        for found in (NOT_REPRODUCED, judged["verdict"])
    )
    judged["reason"] += how_many_trained(pairs)
    few = opposed or len(blocks) < verdicts.margins().ordering["fewest"]
    judged["inputs"] = json.dumps({"kind": "few" if few else order.kind, "outside": outside})
    return about | judged | {"recipe": recipe} | source.provenance(pairs)


def _how_many(datasets: Sequence[str]) -> int:
    return sum(len({**CLASSES, **DEFECT_CLASSES}[dataset]) for dataset in datasets)


def _judged(order: Orders, blocks: Sequence[float], of: int) -> dict[str, Any]:
    """The verdict about paired differences, one per class, `of` being the number of classes of the data set."""
    limits = verdicts.margins()
    value, low, high = verdicts.mean_of_blocks(blocks, limits.confidence)
    reason = f"from {low:+.3f} to {high:+.3f}, higher on {sum(b > 0 for b in blocks)} of {len(blocks)} classes"
    if len(blocks) == 1:
        reason = f"{value:+.3f} on one class, which gives no interval"
    reason += f", {of - len(blocks)} of {of} without a record" * (len(blocks) < of)
    margin = limits.ordering["flat" if order.kind == "flat" else "no_difference"]
    if len(blocks) < limits.ordering["fewest"]:
        verdict, reason = MIXED, f"{reason}; too few classes to tell"
    elif order.kind == "flat":
        verdict = verdicts.same_number(low, high, margin, more_is_better=False)
    else:
        verdict = verdicts.greater(low, high, margin)
        reason += f", by less than {margin:g}, which nobody would choose by" * (-margin <= low and high <= margin)
    return {"ours": value, "low": low, "high": high, "margin": margin, "verdict": verdict, "reason": reason}


def side(
    order: Orders, about: Mapping[str, Any], each: Mapping[str, Any], datasets: Sequence[str], source: Evidence
) -> list[Sample]:
    """What the records say of one side of a comparison, `order.more` or `order.less`."""
    at = order.parameters | without(each, "dataset") | without(about, "method", "metric", "note")
    return source.select(about["method"], about.get("metric", order.metric), at, about.get("note", ""), datasets)


def _pairs(order: Orders, each: Mapping[str, Any], datasets: Sequence[str], source: Evidence) -> list[Sample]:
    """The differences on the same class, seed and tier; of the tiers that with most classes, the paper's at a tie."""
    if "constant" in order.less:
        pairs = [
            s._replace(value=s.value - order.less["constant"]) for s in side(order, order.more, each, datasets, source)
        ]
    else:
        less = {sample[:4]: sample for sample in side(order, order.less, each, datasets, source)}
        pairs = [
            s._replace(
                value=s.value - less[s[:4]].value,
                records=s.records + less[s[:4]].records,
                dead=either_dead(s.dead, less[s[:4]].dead),
            )
            for s in side(order, order.more, each, datasets, source)
            if s[:4] in less
        ]
    pairs = [s for s in pairs if s.tier == TIERS[0] or not order.unequal]
    most = max(TIERS, key=lambda tier: len(verdicts.by_class([s for s in pairs if s.tier == tier])))
    return [s for s in pairs if s.tier == most]


def _printed_order(paper: str, order: Orders, classes: Sequence[Sequence[Sample]]) -> float | None:
    """The mean difference of the printed cells of the same classes, where they are printed."""
    if not order.printed:
        return None
    cells = published.cells(paper, order.printed["table"])
    cells = cells.reindex([(of_class[0].dataset, of_class[0].class_name) for of_class in classes])
    return float((cells[order.printed["more"]] - cells[order.printed["less"]]).mean())


def repeated(paper: str, orders: Sequence[Orders], evidence: Mapping[str, Evidence]) -> list[Repeated]:
    sides = [(o.notebook or paper, side, o.metric) for o in orders for side in (o.more, o.less) if "method" in side]
    asked = dict.fromkeys((name, side["method"], side.get("metric", metric)) for name, side, metric in sides)
    found = []
    for notebook, method, metric in asked:
        samples = evidence[notebook].repetitions(method, metric)
        if known := verdicts.seed_deviation(samples):
            classes = [[s.value for s in of_class] for of_class in verdicts.by_class(samples) if len(of_class) > 1]
            widest = max(max(values) - min(values) for values in classes)
            found.append(Repeated(paper, method, metric, len(classes), known[0], widest))
    return found
