"""The first half of the ledger: every printed number beside our mean of the same classes, interval and verdict.

What is compared with what stands in published/PAPER.toml, which results these are in matching.py, how a verdict is
reached in verdicts.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from novelty_utils.ledger import matching, second_looks, verdicts
from novelty_utils.ledger.evidence import Evidence, how_many_trained, recipe_of
from novelty_utils.ledger.matching import Found
from novelty_utils.ledger.published import Cells, Rules
from novelty_utils.ledger.second_looks import Second
from novelty_utils.ledger.verdicts import MIXED, NOT_ATTEMPTED, NOT_REPRODUCED

FOREIGN = "a method of others, which this book does not build"
BESIDE = "the best-trained recipe, beside the printed one"


def lines(
    paper: str,
    printed: Mapping[str, Any],
    of_paper: Rules,
    evidence: Mapping[str, Evidence],
    others: Mapping[str, Second | None],
) -> list[dict]:
    """The line of the ledger about one printed number, and one about the best-trained recipe if that is another."""
    line = {name: printed[name] for name in ("dataset", "protocol", "class_name", "method", "setting", "metric")}
    line |= {"paper": paper, "kind": "number", "where": printed["table"], "printed": printed["value"], "same_as": ""}
    derived = " (worked out from printed cells)" * ("computed here" in printed["note"])
    line |= {"claim": f"{printed['method']}, {printed['metric']}".replace("_", " ") + derived, "verdict": NOT_ATTEMPTED}
    line |= {"trained": printed["method"] not in of_paper.untrained}
    rule = matching.rule_of(of_paper, printed)
    if rule is None:
        keys = (printed["method"], printed["metric"], printed["table"])
        return [line | {"reason": next((of_paper.reasons[k] for k in keys if k in of_paper.reasons), FOREIGN)}]
    source = evidence[rule.notebook or paper]
    found = matching.best_trained(
        rule, printed, matching.found(rule, printed, source, printed["dataset"], of_paper.untrained)
    )
    if not found:
        reason = of_paper.reasons.get(printed["method"]) or matching.why_not(rule, printed, source)
        return [line | {"reason": reason, "command": rule.command.format(dataset=printed["dataset"])}]
    told = [line | _told(line, one, rule, of_paper, source, others) for one in found]
    for one in told:
        one["reason"] += "; the printed cell is suspect" * ("SUSPECT" in printed["note"])
    return told[:1] + [one | {"same_as": BESIDE} for one in told[1:]]


def _told(
    line: Mapping[str, Any],
    found: Found,
    rule: Cells,
    of_paper: Rules,
    source: Evidence,
    others: Mapping[str, Second | None],
) -> dict[str, Any]:
    """The columns of a line that the records fill."""
    own = rule.own and line["method"] in of_paper.own
    compared = _compared(line, found, own)
    recipe, full = recipe_of(of_paper, found.used)
    recipe, full = (recipe, full) if line["trained"] else ("no training", True)
    full &= all(sample.dead is False for sample in found.used)  # what cannot be told refutes nothing
    outside, verdict = (
        second_looks.verdict(line, found_, compared["difference"], full, others)
        for found_ in (NOT_REPRODUCED, compared["verdict"])
    )
    told = {"tier": found.used[0].tier, "recipe": recipe, "verdict": verdict}
    inputs = {"better": own and _plain(line), "outside": outside, "parts": found.estimate.parts}
    told["inputs"] = json.dumps(inputs)
    return compared | told | source.provenance(found.used)


def _compared(line: Mapping[str, Any], found: Found, own: bool) -> dict[str, Any]:
    limits, ours = verdicts.margins(), found.estimate
    margin = (limits.mean if line["class_name"] == "mean" else limits.cell)[line["metric"]]
    low, high = ours.low - line["printed"], ours.high - line["printed"]
    verdict = verdicts.same_number(low, high, margin, own and _plain(line))
    reason = f"from {low:+.3f} to {high:+.3f}" + f", deviation between seeds {found.deviation}" * ours.assumed
    # An interval that is wider than the margin from edge to edge cannot lie inside, wherever its middle is.
    reason += "; one seed cannot tell" * (verdict == MIXED and ours.seeds == 1 and high - low > 2 * margin)
    reason += f"; {found.best}" * bool(found.best) + how_many_trained(found.used, mean=_plain(line))
    compared = {"ours": ours.value, "low": ours.low, "high": ours.high, "difference": ours.value - line["printed"]}
    return compared | {"margin": margin, "verdict": verdict, "reason": reason, "seeds": ours.seeds}


def _plain(line: Mapping[str, Any]) -> bool:
    """Whether more is better: not of a deviation, and an increase is also larger where the baseline is worse."""
    return not line["metric"].endswith(("_std", "_increase"))
