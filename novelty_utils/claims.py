"""The ledger: every printed number and every claim about an order, beside what our records say of it, with a verdict.

What is compared with what stands in published/PAPER.toml, how a verdict is reached in verdicts.py.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from novelty_utils import orders, published, verdicts
from novelty_utils.evidence import TIERS, Evidence, Sample, without
from novelty_utils.files import write_atomically
from novelty_utils.params import CLASSES, DEFECT_CLASSES
from novelty_utils.published import Cells, Rules
from novelty_utils.verdicts import MIXED, NOT_ATTEMPTED, Estimate

PAPERS = {"ics": ["ics"], "nln": ["nln", "nln_defects"], "crbnd": ["crbnd"], "ade_gan": ["ade_gan"]}  # their notebooks
COLUMNS = [
    "paper", "kind", "where", "claim", "dataset", "protocol", "class_name", "method", "setting", "metric", "printed",
    "ours", "low", "high", "difference", "margin", "verdict", "reason", "tier", "seeds", "stale", "hardware", "command",
]  # fmt: skip
TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
DRAWS = {"caltech256": 20}  # its means are over random draws of categories, not over classes
FOREIGN = "a method of others, which this book does not build"
# A data set that stands near one that cannot be had: named in the reason, never in a comparison.
NEAR = {"cifar10": "cifar10_jpeg"}


class Found(NamedTuple):
    """What the records say about a printed number."""

    estimate: Estimate
    used: list[Sample]
    best: str = ""  # the settings that were the best on the test set, where the paper's rule takes these


def ledger(folder: str | Path) -> pd.DataFrame:
    """One row per claim, with the columns COLUMNS, from the records in `folder`.

    Fractions throughout. `attrs["left_out"]` counts the records of the smoke tier, which take no part;
    `attrs["repeated"]` has an `orders.Repeated` for each method and metric of an order that was run with enough seeds.
    """
    lines, left_out, repeated = [], 0, []
    for paper, notebooks in PAPERS.items():
        of_paper, evidence = published.rules(paper), {name: Evidence(name, folder) for name in notebooks}
        left_out += sum(of_notebook.left_out for of_notebook in evidence.values())
        for printed in published.read(paper).to_dict("records"):
            lines.append(_number(paper, printed, of_paper, evidence))
        for order in of_paper.orders:
            lines += [orders.line(paper, order, each, evidence) for each in orders.combinations(order.each)]
        repeated += orders.repeated(paper, of_paper.orders, evidence)
    table = pd.DataFrame(lines, columns=COLUMNS)
    table.attrs |= {"left_out": left_out, "repeated": repeated}
    return table


def write(table: pd.DataFrame, folder: str | Path) -> list[Path]:
    """The ledger as claims.csv and claims.json (a list of objects, null where a cell is empty); returns both paths."""
    paths = [Path(folder) / f"claims.{kind}" for kind in ("csv", "json")]
    write_atomically(paths[0], lambda file: file.write(table.to_csv(index=False).encode()))
    as_json = table.to_json(orient="records", indent=1, force_ascii=False, double_precision=15)
    write_atomically(paths[1], lambda file: file.write(as_json.encode()))
    return paths


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper and place have which verdict: numbers by table, the orders, controls of ours."""
    place = table["where"].where(table.kind == "number", table.kind.map({"order": "orders", "control": "our controls"}))
    counts = table.groupby(["paper", place, "verdict"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(verdicts.VERDICTS), fill_value=0).loc[list(PAPERS)]


# --- printed numbers -----------------------------------------------------------------------------------------------


def _number(paper: str, printed: Mapping[str, Any], of_paper: Rules, evidence: Mapping[str, Evidence]) -> dict:
    """The line of the ledger about one printed number."""
    line = {name: printed[name] for name in ("dataset", "protocol", "class_name", "method", "setting", "metric")}
    line |= {"paper": paper, "kind": "number", "where": printed["table"], "printed": printed["value"]}
    derived = " (worked out from printed cells)" * ("computed here" in printed["note"])
    line |= {"claim": f"{printed['method']}, {printed['metric']}".replace("_", " ") + derived, "verdict": NOT_ATTEMPTED}
    rule = next((cells for cells in of_paper.cells if _about(cells, printed)), None)
    if rule is None:
        keys = (printed["method"], printed["metric"], printed["table"])
        return line | {"reason": next((of_paper.reasons[k] for k in keys if k in of_paper.reasons), FOREIGN)}
    source = evidence[rule.notebook or paper]
    found = _find(rule, printed, source, printed["dataset"])
    if found is None:
        reason = of_paper.reasons.get(printed["method"]) or _why_not(rule, printed, source)
        return line | {"reason": reason, "command": rule.command.format(dataset=printed["dataset"])}
    compared = _compared(printed, found.estimate, rule.own and printed["method"] in of_paper.own)
    compared["reason"] += f"; {found.best}" * bool(found.best)
    return line | compared | {"tier": found.used[0].tier} | source.provenance(found.used)


def _about(cells: Cells, printed: Mapping[str, Any]) -> bool:
    return (
        cells.table == printed["table"]
        and printed["method"] in cells.methods
        and cells.when in printed["setting"]
        and cells.printed_metric in ("", printed["metric"])
        and cells.dataset in ("", printed["dataset"])
    )


def _compared(printed: Mapping[str, Any], ours: Estimate, own: bool) -> dict[str, Any]:
    limits = verdicts.margins()
    margin = (limits.mean if printed["class_name"] == "mean" else limits.cell)[printed["metric"]]
    low, high = ours.low - printed["value"], ours.high - printed["value"]
    reason = f"from {low:+.3f} to {high:+.3f}" + ", deviation between seeds assumed" * ours.assumed
    reason += ", and the printed cell is suspect" * ("SUSPECT" in printed["note"])
    line = {"ours": ours.value, "low": ours.low, "high": ours.high, "difference": ours.value - printed["value"]}
    # An increase is also larger where the baseline is worse.
    better = own and not printed["metric"].endswith(("_std", "_increase"))
    verdict = verdicts.same_number(low, high, margin, better)
    # An interval that is wider than the margin from edge to edge cannot lie inside, wherever its middle is.
    reason += "; one seed cannot tell" * (verdict == MIXED and ours.seeds == 1 and high - low > 2 * margin)
    return line | {"margin": margin, "verdict": verdict, "reason": reason, "seeds": ours.seeds}


def _find(rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str) -> Found | None:
    """Our number for a printed one, from the best tier that has all it needs."""
    finder = _increase if rule.kind == "increase" else _value
    return next((found for tier in TIERS if (found := finder(rule, printed, source, dataset, tier))), None)


def _value(rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str) -> Found | None:
    like = [s for s in _samples(rule, printed, source, dataset) if s.tier == tier]
    wanted = _classes(printed, like)
    used = [s for s in like if s.class_name in wanted]
    if not wanted or {s.class_name for s in used} != wanted:
        return None
    limits = verdicts.margins()
    if printed["dataset"] in DRAWS:
        return Found(verdicts.of_draws(used, limits.confidence), used)
    assumed = limits.seed_deviation[printed["metric"]]
    if not rule.row:
        metric = rule.metric.format(**_settings(printed["setting"]))
        assumed = _deviation(source, rule.methods[printed["method"]], metric, assumed)
    return Found(verdicts.estimate(used, like, assumed, limits.confidence), used)


def _samples(rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str) -> list[Sample]:
    """One sample per class, tier and seed."""
    setting, method = _settings(printed["setting"]), rule.methods[printed["method"]]
    at = rule.parameters | {name: float(setting[name]) for name in rule.varies}
    metric, note = rule.metric.format(**setting), rule.note.format(**setting)
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
            value=statistic(s.value for s in samples), error=0.0, records=tuple(s.records[0] for s in samples)
        )
        for samples in whole
    ]


def _increase(rule: Cells, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str) -> Found | None:
    """1 - baseline / score of class means, the best of each over all settings that all classes have (NLN, Table 1)."""
    best = [_best(rule, metric, printed, source, dataset, tier) for metric in (rule.metric, rule.baseline)]
    if None in best:
        return None
    (a, used, _), (b, other, _) = best
    ratio = b.value / a.value
    # The two errors as if independent: they come from the same networks, so the interval is rather too wide.
    half = ((b.high - b.value) ** 2 + ((a.high - a.value) * ratio) ** 2) ** 0.5 / a.value
    value, seeds, assumed = 1 - ratio, min(a.seeds, b.seeds), a.assumed or b.assumed
    size, setting = used[0].records[0].parameters["L"], used[0].metric.split(";")[2:4]
    where = f"our best score is at L={size}, {', '.join(setting)}"
    return Found(Estimate(value, value - half, value + half, seeds, assumed), used + other, where)


def _best(
    rule: Cells, metric: str, printed: Mapping[str, Any], source: Evidence, dataset: str, tier: str
) -> Found | None:
    """The highest mean of a metric, or pattern of metrics, over the sizes L and settings that all classes have."""
    limits, settings, wanted = verdicts.margins(), defaultdict(list), _classes(printed, ())
    for sample in source.select(rule.methods[printed["method"]], metric, rule.parameters, "", [dataset], by="L"):
        if sample.tier == tier and sample.class_name in wanted:
            settings[sample.records[0].parameters["L"], sample.metric].append(sample)
    whole = {at: like for at, like in settings.items() if {s.class_name for s in like} == wanted}
    method, assumed = rule.methods[printed["method"]], limits.seed_deviation["auroc"]
    found = [
        Found(verdicts.estimate(like, like, _deviation(source, method, name, assumed), limits.confidence), like)
        for (_, name), like in whole.items()
    ]
    return max(found, key=lambda one: one.estimate.value, default=None)


def _deviation(source: Evidence, method: str, metric: str, assumed: float) -> float:
    """What is assumed of a single run: the fixed deviation or, if larger, that of the same score in other records."""
    known = verdicts.seed_deviation(source.repetitions(method, metric))
    return max(assumed, known[0]) if known else assumed


def _classes(printed: Mapping[str, Any], samples: Sequence[Sample]) -> set[str]:
    """The classes that a printed number is about."""
    if printed["class_name"] != "mean":
        return {printed["class_name"]}
    dataset, recorded = printed["dataset"], {s.class_name for s in samples}
    if dataset in DRAWS:
        return recorded if len(recorded) >= DRAWS[dataset] else set()
    group = _settings(printed["setting"]).get("group", "all")
    classes = {**CLASSES, **DEFECT_CLASSES}[dataset]
    return {name for name in classes if group == "all" or (name in TEXTURES) == (group == "textures")}


def _settings(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)


def _why_not(rule: Cells, printed: Mapping[str, Any], source: Evidence) -> str:
    dataset = printed["dataset"]
    if dataset not in {record.dataset for record in source.records}:
        near = _find(rule, printed, source, NEAR[dataset]) if dataset in NEAR else None
        beside = f"; on {NEAR[dataset]}, other images, it is {near.estimate.value:.3f}" if near else ""
        return f"no run on {dataset} is recorded{beside}"
    there = set()
    if printed["class_name"] == "mean":
        samples = _samples(rule, printed, source, dataset)
        there = max(({s.class_name for s in samples if s.tier == tier} for tier in TIERS), key=len)
    return f"only {len(there)} classes are recorded" if there else "no run with this setting is recorded"
