"""The ledger in a form that others read: Hugging Face's evaluation results, one entry for each claim that we can judge.

The form is that of `.eval_results/*.yaml`: https://github.com/huggingface/hub-docs/blob/main/eval_results.yaml.
What it has no field for stands in `evidence`: the records, their commits, the checksums of the images, the command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from novelty_utils.files import write_atomically
from novelty_utils.records import replications

FILE = "claims.eval_results.yaml"
SOURCE = {"url": "https://novelty-book.github.io/novelty-book/book/claims.html", "name": "The ledger of claims"}
TASK = ("paper", "where", "claim", "protocol", "class_name", "setting", "recipe")  # what tells two claims apart
DECIMALS = 4  # no exponent, which YAML 1.1 takes for text


def entries(table: pd.DataFrame, folder: str | Path) -> Iterator[dict[str, Any]]:
    """An entry for each line of `claims.ledger(folder)` that has a number of ours; values are fractions, as there."""
    judged = table[table.ours.notna()].astype(object)
    for line in judged.where(judged.notna(), "").to_dict("records"):
        made = {path: _said(Path(folder, path)) for path in _files(line["records"], folder)}
        checksums = {one["data"]["name"]: one["data"]["checksum"] for one in made.values()}
        yield {
            "dataset": {
                "id": line["dataset"],
                "task_id": "; ".join(str(line[name]) for name in TASK if line[name]),
                "revision": ", ".join(checksums.values()),
            },
            "value": round(line["ours"], DECIMALS),
            "date": max(one["created"] for one in made.values()),
            "source": SOURCE,
            "notes": _notes(line),
            "evidence": {
                "records": list(made),
                "commits": sorted({str(one["code"]["commit"]) for one in made.values()}),
                "checksums": checksums,
                "command": line["command"],
                "changed_since": line["stale"],
            },
        }


def write(table: pd.DataFrame, folder: str | Path, output: str | Path) -> Path:
    """Into `output`: the entries as JSON, which every reader of YAML reads; returns the path."""
    path, lines = Path(output, FILE), [json.dumps(one, ensure_ascii=False) for one in entries(table, folder)]
    text = "[\n" + ",\n".join(lines) + "\n]\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _files(records: str, folder: str | Path) -> list[str]:
    """Those that a line names, and where one was made again on another machine that one as well: it is in the mean."""
    both = [(name, f"{replications.FOLDER}/{name}") for name in records.split()]
    return [name for pair in both for name in pair if Path(folder, name).is_file()]


def _said(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _notes(line: dict[str, Any]) -> str:
    """The metric, what the paper prints, and the verdict with its interval, in words."""
    printed = f"{line['printed']:.{DECIMALS}g} printed; " if line["printed"] != "" else ""
    interval = f", from {line['low']:.{DECIMALS}f} to {line['high']:.{DECIMALS}f}" if line["low"] != "" else ""
    return f"{line['metric']}{interval}; {printed}{line['verdict']}; {line['tier']} tier; seeds: {line['seeds']:g}"
