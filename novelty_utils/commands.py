"""What each command of `novelty` does once its words are told apart; a refusal is an InputError."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novelty_utils.errors import InputError, visible
from novelty_utils.files import first_there, is_folder, reachable, try_writing
from novelty_utils.ledger import PAPERS
from novelty_utils.runs import checking, execution

if TYPE_CHECKING:
    import pandas as pd  # takes a second to load

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
SUBMISSIONS_PAGE = "https://novelty-book.github.io/novelty-book/book/howto-submit.html"
VERDICTS_PAGE = "https://novelty-book.github.io/novelty-book/book/claims.html"


def run(chosen: argparse.Namespace) -> None:
    if chosen.headless and chosen.output:
        raise InputError("--headless writes no notebook: leave out --output or --headless")
    notebook = checking.find_notebook(chosen.name)
    parameters, values = checking.check(notebook, _split(chosen.pairs))
    if parameters.device == "cuda":
        from novelty_utils.training import backends  # loads torch

        backends.pick_device("cuda")
    try_writing(parameters.results)
    if chosen.headless:
        execution.run_headless(notebook, values, parameters.results)
    else:
        output = chosen.output or checking.default_output(notebook, parameters)
        print(f"notebook: {execution.run_papermill(notebook, values, output, parameters.results)}")
    files = checking.recorded(notebook.stem, parameters)
    told = files if len(files) <= 3 else [f"{len(files)} in {files[0].parent}"]
    for where in told or [Path(parameters.results)]:  # a notebook may record nothing, or under another name
        print(f"records:  {where}")


def fit(chosen: argparse.Namespace) -> int:
    from novelty_utils import screening, training  # they load torch
    from novelty_utils.records import provenance
    from novelty_utils.screening import fitting, pictures

    provenance.limit_threads()
    folder = pictures.root(chosen.folder)
    model = screening.choose(chosen.detector, _split(chosen.pairs))
    fitting.check_device(model, chosen.device)
    training.pick_device(chosen.device)
    how = {name: getattr(chosen, name) for name in ("side", "epochs", "device", "false_alarms", "replace")}
    try:
        made = screening.fit(model, folder, chosen.save, **how)
    except training.DivergedError as error:
        return say(error, 1)
    print("\n".join(made.told()))
    return 0


def score(chosen: argparse.Namespace) -> int:
    from novelty_utils import detectors, screening  # they load torch
    from novelty_utils.records import provenance
    from novelty_utils.screening import fitting, pictures

    provenance.limit_threads()
    folder = pictures.root(chosen.folder)
    model = detectors.open(chosen.detector, chosen.device)
    fitting.check_device(model, chosen.device)
    made = screening.score(model, folder, chosen.to, replace=chosen.replace)
    print("\n".join(made.told()))
    found = made.found
    if found.unscored:
        return say(f"{len(found.unscored)} of {len(found.files)} files have no score: the column note says why", 1)
    return 0


def sweep(chosen: argparse.Namespace) -> None:
    from novelty_utils.runs import pending, sweeps

    if chosen.scheduler is not None and not chosen.scheduler.strip():
        raise InputError("--scheduler '' is no address: give one, such as tcp://host:8786, or leave it out")
    if chosen.workers and chosen.scheduler:
        raise InputError("--workers is for this machine: leave it out, the cluster has its own, or --scheduler")
    if chosen.dry_run and chosen.scheduler:
        raise InputError("--dry-run reckons with this machine alone: leave out --scheduler, or --dry-run")
    if chosen.dry_run and chosen.hours:
        raise InputError("--dry-run lists all runs, however long they take: leave out --hours, or --dry-run")
    if chosen.dry_run:
        pending.show(chosen.file, _split(chosen.pairs), chosen.workers)
    else:
        sweeps.run(chosen.file, _split(chosen.pairs), chosen.workers, chosen.scheduler, chosen.hours)


def claims(chosen: argparse.Namespace) -> None:
    from novelty_utils.records import store

    with reachable("--results", chosen.results):
        there = is_folder(Path(chosen.results))
    if not there:
        wanted = "give the one with the records, or go to the clone"
        raise InputError(f"--results {chosen.results!r} is not a folder: {wanted}")
    papers = list(dict.fromkeys(name for names in PAPERS.values() for name in names))
    if not any(store.files(name, chosen.results) for name in papers):
        wanted = f"holds no records PAPER/DATASET/NAME.json of {', '.join(papers)}"
        raise InputError(f"--results {chosen.results!r} {wanted}: give the folder above, or run one of these first")
    with reachable("--output", chosen.output):
        existing = first_there(Path(chosen.output).absolute())
    if not existing.is_dir():
        raise InputError(f"--output {chosen.output!r}: {str(existing)!r} is a file: give a folder for the ledger")
    try_writing(chosen.output)  # before the minute that the ledger takes
    from novelty_utils.ledger import claims as ledger  # loads pandas and torch, which a refusal need not wait for
    from novelty_utils.ledger import evaluations

    table = ledger.ledger(chosen.results)
    _tell(table, [*ledger.write(table, chosen.output), evaluations.write(table, chosen.results, chosen.output)])


def submit(chosen: argparse.Namespace) -> None:
    from novelty_utils.ledger import contributed  # loads torch

    for name, given in (("FOLDER", chosen.folder), ("--results", chosen.results)):
        with reachable(name, given):
            if not is_folder(Path(given)):
                raise InputError(f"{name} {given!r} is not a folder: give one with records")
    checked = contributed.check(chosen.folder, chosen.results)
    for one in checked:
        print(visible(f"{one.file}: {'; '.join(one.faults) or one.told}"))
    refused = sum(bool(one.faults) for one in checked)
    if refused:
        raise InputError(f"{refused} of {len(checked)} records cannot be taken, as told above: leave them out")
    print(f"\n{len(checked)} records can be taken. To send them: {SUBMISSIONS_PAGE}")


def _tell(table: pd.DataFrame, written: Sequence[Path]) -> None:
    from novelty_utils.ledger import claims as ledger
    from novelty_utils.ledger.verdicts import NOT_ATTEMPTED

    numbers, left = table.kind == "number", table.verdict == NOT_ATTEMPTED
    for line in table[~numbers & ~left].itertuples():
        print(f"{line.paper:8}{line.verdict:20}{line.claim} ({line.reason})")
    counts = f"{(left & ~numbers).sum()} orders and controls, {(left & numbers).sum()} printed numbers"
    print(f"not attempted: {counts}; the reasons are in {written[0]}")
    print(f"\n{ledger.summary(table).to_string()}\n")
    if table.attrs["left_out"]:
        print(f"left out: {table.attrs['left_out']} records of the smoke tier, which say nothing about a paper")
    for path in written:
        print(f"ledger:   {path}")
    print(f"verdicts: {VERDICTS_PAGE} tells what they mean")


def _split(pairs: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise InputError(f"-p {pair!r} is not a parameter: write -p KEY=VALUE")
        if name in values:
            raise InputError(f"parameter {name!r} is given twice, {values[name]!r} and {value!r}: give it once")
        values[name] = value
    return values


def params(chosen: argparse.Namespace) -> None:
    schema, defaults = checking.read_schema(checking.find_notebook(chosen.name))
    rows = [("name", "type or allowed", "default", "description")]
    for name, about in schema.model_json_schema()["properties"].items():
        rows.append((name, _allowed(about), str(defaults.get(name, "")), about.get("description", "")))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[3]]).rstrip())


def _allowed(about: Mapping[str, Any]) -> str:
    if "enum" in about:
        return " | ".join(str(value) for value in about["enum"])
    if "anyOf" in about:
        return " or ".join(_allowed(kind) for kind in about["anyOf"])
    bounds = [f"{sign} {about[key]}" for key, sign in BOUNDS.items() if key in about]
    return ", ".join([about.get("type", "any"), *bounds])


def say(message: object, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        print("novelty:", visible(" ".join(str(message).split())), file=sys.stderr)
    return code
