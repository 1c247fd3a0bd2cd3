"""The ledger: every printed number and every claim about an order, beside what our records say of it, with a verdict.

What is compared with what stands in published/PAPER.toml, how a verdict is reached in verdicts.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from novelty_utils.files import write_atomically
from novelty_utils.ledger import PAPERS, matching, numbers, orderings, published, second_looks, verdicts
from novelty_utils.ledger.evidence import Evidence
from novelty_utils.ledger.published import Rules
from novelty_utils.ledger.second_looks import Second

COLUMNS = [
    "paper", "kind", "where", "claim", "dataset", "protocol", "class_name", "method", "setting", "metric", "printed",
    "ours", "low", "high", "difference", "margin", "verdict", "reason", "tier", "recipe", "trained", "same_as", "seeds",
    "stale", "hardware", "command", "inputs", "records",
]  # fmt: skip


def ledger(folder: str | Path) -> pd.DataFrame:
    """One row per claim, with the columns COLUMNS, from the records in `folder`.

    Fractions throughout. `attrs["left_out"]` counts the records of the smoke tier, which take no part;
    `attrs["repeated"]` has an `orders.Repeated` for each method and metric of an order that was run with enough seeds.
    The column `records` has their files below `folder`, with spaces between. The column `inputs` is JSON: what a
    verdict follows from beside interval and margin, read by _static/ledger.js.
    """
    lines, repeated = [], []
    every = {name: Evidence(name, folder) for name in dict.fromkeys(chain(*PAPERS.values()))}
    for paper, notebooks in PAPERS.items():
        of_paper, evidence = published.rules(paper), {name: every[name] for name in notebooks}
        others = _second(paper, evidence[paper], folder)
        lines += _numbers(paper, of_paper, evidence, others)
        for order in of_paper.orders:
            for each in orderings.combinations(order.each):
                lines.append(orderings.line(paper, order, each, of_paper, evidence, others))
        repeated += orderings.repeated(paper, of_paper.orders, evidence)
    table = pd.DataFrame(lines, columns=COLUMNS)
    left_out = sum(of_notebook.left_out for of_notebook in every.values())
    table.attrs |= {"left_out": left_out, "repeated": repeated}
    return table


def _second(paper: str, evidence: Evidence, folder: str | Path) -> dict[str, Second | None]:
    mine = [look for look in second_looks.looks() if look.about.paper == paper]
    return {look.claim: second_looks.second(look, evidence.records, folder) for look in mine}


def _numbers(
    paper: str, of_paper: Rules, evidence: Mapping[str, Evidence], others: Mapping[str, Second | None]
) -> list[dict[str, Any]]:
    """The lines of all printed numbers; of one that is printed again, which it repeats."""
    lines: list[dict[str, Any]] = []
    first: dict[Hashable, dict[Hashable, Any]] = {}
    for printed in published.read(paper).to_dict("records"):
        found = numbers.lines(paper, printed, of_paper, evidence, others)
        again = first.setdefault(matching.sought(paper, printed, of_paper), printed)
        if again is not printed:
            found[0]["same_as"] = f"{again['table']}, {again['setting']}"
        lines += found[: 1 if again is not printed else None]
    return lines


def write(table: pd.DataFrame, folder: str | Path) -> list[Path]:
    """The ledger as claims.csv and claims.json (a list of objects, null where a cell is empty); returns both paths."""
    paths = [Path(folder) / f"claims.{kind}" for kind in ("csv", "json")]
    write_atomically(paths[0], lambda file: file.write(table.to_csv(index=False).encode()))
    as_json = table.to_json(orient="records", indent=1, force_ascii=False, double_precision=15)
    write_atomically(paths[1], lambda file: file.write(as_json.encode()))
    return paths


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper and place have which verdict: numbers by table, the orders, controls of ours.

    Each number counts once, where it is printed first and by the recipe that the paper prints.
    """
    table = table[table.same_as.fillna("") == ""]
    place = table["where"].where(table.kind == "number", table.kind.map({"order": "orders", "control": "our controls"}))
    counts = table.groupby(["paper", place, "verdict"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(verdicts.VERDICTS), fill_value=0).loc[list(PAPERS)]
