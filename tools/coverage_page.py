"""The parts of the page of coverage that are computed: what has been trained, what is missing, what that costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ledger_page import NAMES
from novelty_utils.files import write_atomically
from novelty_utils.ledger.tables import DATASETS, verbatim
from novelty_utils.params import CLASSES
from novelty_utils.records import store
from novelty_utils.records.store import Record
from novelty_utils.runs import pending, sweep_file
from novelty_utils.runs.sweep_file import Job

TRAINED = {
    "ics": ("CAE", "CLS", "ICS", "Control"),
    "nln": ("AE", "AE-con", "AE-res", "VAE", "AAE"),
    "crbnd": ("CRBND",),
    "ade_gan": ("stage 1",),
    "leaderboard": ("PCA", "k-NN"),  # two of the five: each record has all of them
    "rivals": (
        *("AE", "VAE", "MemAE", "AnoGAN", "EGBAD", "IGMM-GAN", "GPND", "OCGAN", "GANomaly", "Skip-GANomaly"),
        *("Deep SVDD", "soft Deep SVDD", "Mahalanobis", "REAPER", "Outlier Pursuit"),
    ),
}
TITLES = NAMES | {"leaderboard": "Baselines", "rivals": "The rivals"}
SHAPES = ("arch", "depth", "d", "L", "recon_norm", "loss", "bn", "batch", "q")
CALLED = {"stage 1": "ADe-GAN", "k-NN": "baselines", "PCA": "baselines"}
FULL, RIVALS = Path("sweeps/full_length.yml"), Path("sweeps/rivals.yml")
NOT_AT_HAND = ("cifar10",)  # its runs wait for a download


class Row(NamedTuple):
    """One experiment of the book; `variant` has what of the networks differs from the notebook's default."""

    paper: str
    method: str
    variant: tuple[tuple[str, str], ...]
    dataset: str
    protocol: str


def write_parts(folder: Path, results: str | Path) -> None:
    """Into `folder`, for book/coverage.md: coverage_there.md, coverage_missing.md and coverage_missing_rivals.md."""
    _write(folder / "coverage_there.md", there(results))
    for file, name in ((FULL, "coverage_missing.md"), (RIVALS, "coverage_missing_rivals.md")):
        listed = sweep_file.read(file, {"results": str(results)}) if file.exists() else None
        _write(folder / name, "There is no list of runs here.\n" if listed is None else missing(listed, file))


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def there(results: str | Path) -> str:
    """What has been recorded, in Markdown: a table per paper, classes and seeds by tier, with the hours they took."""
    parts = []
    for paper, methods in TRAINED.items():
        kept = [record for record in store.read(paper, results) if record.tier != "smoke"]
        if kept:
            hours = {tier: sum(r.seconds for r in kept if r.tier == tier) / 3600 for tier in ("demo", "paper")}
            spent = f"{hours['demo']:.1f} hours of computing in the demo tier, {hours['paper']:.1f} at full length"
            parts.append(f"**{TITLES[paper]}**: {spent}.\n\n{_table(_rows(kept, methods))}")
    return "\n".join(parts)


def _rows(kept: Iterable[Record], methods: Iterable[str]) -> dict[Row, dict[str, dict[str, set[int]]]]:
    """Of each experiment, by tier and class, the seeds that are recorded."""
    found: dict[Row, dict[str, dict[str, set[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for record in kept:
        for method in set(methods) & record.training.keys():
            row = Row(
                record.paper,
                CALLED.get(method, method),
                _variant(record),
                record.dataset,
                record.parameters.get("protocol", ""),
            )
            found[row][record.tier][record.class_name].add(record.seed)
    return found


def _variant(record: Record) -> tuple[tuple[str, str], ...]:
    """The parameters that shape its networks, where the notebook has such."""
    return tuple((name, str(record.parameters[name])) for name in SHAPES if name in record.parameters)


def _table(rows: dict[Row, dict[str, dict[str, set[int]]]]) -> str:
    """One line for all methods that were run alike; of the shapes those that differ between the lines."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    every = [dict(row.variant) for row in rows]
    varies = [name for name in SHAPES if len({variant.get(name) for variant in every}) > 1]
    for row in sorted(rows):
        variant = ", ".join(f"{name}={value}" for name, value in row.variant if name in varies)
        data = _place(row.dataset, row.protocol)
        counts = [_count(rows[row].get(tier, {}), row.dataset) for tier in ("demo", "paper")]
        alike[variant, data, *counts].append(row.method)
    lines = ["| networks | data, protocol | demo | full length |", "| --- | --- | --- | --- |"]
    for (variant, *rest), methods in alike.items():
        trained = ", ".join(dict.fromkeys(methods)) + f" ({variant})" * bool(variant)
        lines.append(f"| {' | '.join(map(verbatim, [trained, *rest]))} |")
    return "\n".join(lines) + "\n"


def _place(dataset: str, protocol: str) -> str:
    """Such as "Fashion-MNIST, one class"."""
    return ", ".join(filter(None, (DATASETS.get(dataset, dataset), protocol.replace("_", " "))))


def _count(seeds: dict[str, set[int]], dataset: str) -> str:
    """Such as "10 of 10, 3 seeds", or "2 of 10 (1, 8)"; seeds are those that every class has."""
    if not seeds:
        return "–"
    classes = CLASSES.get(dataset, ())
    said = f"{len(seeds)} of {len(classes)}" if set(seeds) <= set(classes) else f"{len(seeds)} draws"
    some = f" ({', '.join(sorted(seeds))})" if len(seeds) <= 4 and set(seeds) < set(classes) else ""
    every = min(map(len, seeds.values()))
    return said + some + f", {every} seeds" * (every > 1)


def missing(listed: list[Job], file: Path = FULL) -> str:
    """What the list of runs in a file still lacks, in its order, with the hours of one core that this would take."""
    todo = pending.unfinished(listed)
    if not todo:
        return "Nothing: every run of the list is recorded.\n"
    groups: dict[tuple[str, ...], list[tuple[Job, float | None]]] = defaultdict(list)
    for job, seconds in zip(todo, pending.seconds(todo), strict=True):
        trains = getattr(job.parameters, "methods", getattr(job.parameters, "models", ""))
        place = _place(job.parameters.dataset, getattr(job.parameters, "protocol", ""))
        groups[job.paper, trains, place, str(job.parameters.seed)].append((job, seconds))
    lines = [f"{len(todo)} of the {len(listed)} runs of `{file}` are missing.\n", "| paper | trains | data | seed |"]
    lines[1] += " classes | hours of one core |"
    lines.append("| --- | --- | --- | --- | --- | --: |")
    for (paper, trains, place, seed), some in groups.items():
        known = [seconds for _, seconds in some if seconds]
        hours = f"{sum(known) / 3600:.1f}" if len(known) == len(some) else "not known"
        if some[0][0].parameters.dataset in NOT_AT_HAND:
            hours += ", to be downloaded"
        names = list(dict.fromkeys(job.parameters.class_name for job, _ in some))
        classes = "all ten" if len(names) == 10 else ", ".join(names)
        words = [TITLES[paper], trains.replace(",", ", "), place, seed, classes, hours]
        lines.append(f"| {' | '.join(map(verbatim, words))} |")
    return "\n".join(lines) + "\n"
