"""The parts of the page of times that are computed: this book's own runs, the benchmarks, and the recorded runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import nbformat

from novelty_utils.ledger.tables import verbatim
from novelty_utils.records import provenance, store


def write_parts(folder: Path, executed: Iterable[Path], papers: Iterable[str]) -> None:
    """Into `folder`: runtimes.md, speeds.md and times.md, for book/how-long.md."""
    parts = {"runtimes": runtimes(executed), "speeds": speeds(Path("results/bench")), "times": times(papers)}
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def runtimes(executed: Iterable[Path]) -> str:
    head = ["notebook", "parameters", "seconds", "python", "torch", "hardware", "commit"]
    found = [nbformat.read(path, as_version=4).metadata["run"] for path in executed]
    return _table(head, [[run[name] for name in head] for run in found])


def speeds(folder: Path) -> str:
    """The benchmarks that were kept, a table each, under a line that says what and where."""
    parts = []
    for file in sorted(folder.glob("*.json")):
        kept = json.loads(file.read_text(encoding="utf-8"))
        on = verbatim(f"{kept['machine']['gpu']}, torch {kept['machine']['torch']}, commit {kept['commit'][:7]}")
        for title, rows in kept["tables"].items():
            cells = [[row["what"], f"{row['value']:g}", row["unit"]] for row in rows]
            parts.append(f"**{title}** ({on}):\n\n{_table(['', 'measured', 'unit'], cells)}")
    return "\n".join(parts)


def times(papers: Iterable[str]) -> str:
    """How long the recorded runs took: a box to unfold for each notebook, in it a table for each hardware."""
    boxes = []
    for paper in papers:
        tables: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in store.read(paper, "results"):
            tables[provenance.hardware(record.machine)][_kind(record)].append(record.seconds)
        parts = [f"**{verbatim(hardware)}**\n\n{_medians(kinds)}\n" for hardware, kinds in sorted(tables.items())]
        if parts:
            boxes.append(f"```{{admonition}} {paper}\n:class: dropdown\n\n{''.join(parts)}```\n")
    return "\n".join(boxes)


def _medians(kinds: dict[tuple[str, str], list[float]]) -> str:
    rows = [[run, f"{median(took):,.0f}", len(took), trained] for (run, trained), took in sorted(kinds.items())]
    return _table(["run", "seconds", "records", "trained"], rows)  # the longest last: a phone cuts it off


def _kind(record: store.Record) -> tuple[str, str]:
    """Tier, data and protocol of a run, and what it trained: what decides most about its length."""
    run = [record.tier, record.dataset, record.parameters.get("protocol", "")]
    names = list(record.training)
    shown = names[:5] + [f"{len(names) - 5} more"] * (len(names) > 5)  # ablations are a dozen
    return ", ".join(filter(None, run)), ", ".join(shown)


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(verbatim, line))} |\n" for line in lines)
