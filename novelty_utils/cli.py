"""The commands of `novelty`; bad input is one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from novelty_utils import __version__
from novelty_utils.classes import PLAIN
from novelty_utils.errors import InputError, shown, visible
from novelty_utils.files import first_there, is_folder, reachable, try_writing
from novelty_utils.ledger import PAPERS
from novelty_utils.runs import execution

if TYPE_CHECKING:
    import pandas as pd  # takes a second to load

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
SUBMISSIONS_PAGE = "https://novelty-book.github.io/novelty-book/book/howto-submit.html"
VERDICTS_PAGE = "https://novelty-book.github.io/novelty-book/book/claims.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 a notebook, a training or an image failed, 2 refused, 130 interrupted."""
    if threading.current_thread() is threading.main_thread():  # no other may set it
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so a batch system ends a run: as by Ctrl-C
    try:
        return _done(arguments)
    except InputError as error:
        return _say(error, 2)
    except execution.RunError as error:
        return _say(error, 1)
    except KeyboardInterrupt as error:
        return _say(str(error) or "interrupted", 130)
    except BrokenPipeError:  # as in `novelty claims | head`: what is left goes nowhere
        _forget_output()
        return 0
    except OSError as error:  # of a standard output that is full, for example
        _forget_output()
        where = f" ({error.filename})" if error.filename else ""
        return _say(f"cannot go on: {error.strerror or error}{where}", 1)


def _done(arguments: Sequence[str] | None) -> int:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder is gone: go to another one, such as the clone") from error
    try:
        chosen = _parse(arguments)
        return chosen.command(chosen) or 0
    finally:
        if sys.stdout:  # none where somebody has closed it
            sys.stdout.flush()  # here, where what goes wrong can be told


def _forget_output() -> None:
    with contextlib.suppress(OSError, ValueError):  # there may be none that the system knows
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: object, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        print("novelty:", visible(" ".join(str(message).split())), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    chosen, left = _parser().parse_known_args(arguments)
    if left:  # told by the command and not by `novelty`, whose --help lists no option of the commands
        remedy = ": write parameters as -p KEY=VALUE, such as -p dataset=mnist, in quotes if VALUE has spaces"
        chosen.parser.error(f"unrecognized arguments: {' '.join(left)}{remedy if 'pairs' in chosen else ''}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="novelty", description="Run the notebooks of the novelty-detection book.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"novelty {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run a notebook with parameters", allow_abbrev=False)
    run.description = "Run a notebook with parameters. They are checked before anything is loaded."
    run.epilog = "example: novelty run ics -p dataset=mnist -p class_name=3 -p tier=demo -p results=mine"
    run.add_argument("-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="set a parameter")
    run.add_argument("--headless", action="store_true", help="run the cells without Jupyter; no notebook is written")
    run.add_argument("--output", type=Path, metavar="FILE", help="the executed notebook (default: a name in runs/)")
    run.set_defaults(command=_run, parser=run)

    fit = commands.add_parser("fit", help="fit a detector to a folder of normal images", allow_abbrev=False)
    fit.description = "Fit a detector to a folder of normal images and keep it in a file. An interrupted one goes on."
    fit.epilog = "example: novelty fit ics folder:photos/good -p rho=5 --save parts.pt"
    fit.add_argument("detector", metavar="DETECTOR", help="such as ics, crbnd, ade_gan, nln.AE or knn")
    fit.add_argument("folder", metavar="folder:PATH", help="normal images, directly in PATH or in folders inside it")
    fit.add_argument("--save", type=Path, required=True, metavar="FILE", help="where the detector is kept")
    fit.add_argument("-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="set a parameter")
    fit.add_argument(
        "--false-alarms",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="normal images that may lie above the threshold (default: 0.1)",
    )
    fit.add_argument("--epochs", type=_count, metavar="N", help="of each training (default: as its steps need)")
    fit.add_argument("--side", type=_count, metavar="N", help="pixels, for a detector with no side of its own (32)")
    fit.set_defaults(command=_fit, parser=fit)

    score = commands.add_parser("score", help="score a folder of new images", allow_abbrev=False)
    score.description = "Score every image in a folder: a table, and a page that shows what was found. Exit code 1 if "
    score.description += "an image could not be read. An interrupted call goes on."
    score.epilog = "example: novelty score parts.pt folder:photos/new --to found"
    score.add_argument("detector", metavar="FILE", type=Path, help="what `novelty fit` has kept")
    score.add_argument("folder", metavar="folder:PATH", help="new images, directly in PATH or in folders inside it")
    score.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="for scores.csv and report.html")
    score.set_defaults(command=_score, parser=score)

    for command in (fit, score):
        command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
        command.add_argument("--replace", action="store_true", help="what is there already, once the new is whole")

    params = commands.add_parser("params", help="list the parameters of a notebook", allow_abbrev=False)
    params.description = "List the parameters of a notebook: type or allowed values, default, meaning."
    params.set_defaults(command=_params, parser=params)

    sweep = commands.add_parser("sweep", help="run a grid of notebook runs", allow_abbrev=False)
    sweep.description = "Run every combination of a grid, on this machine or on a dask cluster. Finished runs are kept."
    sweep.epilog = "example: novelty sweep sweeps/ics_table1.yml -p tier=demo -p results=table1 --workers 2"
    sweep.add_argument("file", metavar="FILE", type=Path, help="a YAML file such as sweeps/ics_table1.yml")
    sweep.add_argument("-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="set it for all runs")
    sweep.add_argument("--workers", type=_positive, metavar="N", help="runs at a time (default: one per GPU or core)")
    sweep.add_argument("--hours", type=_hours, metavar="H", help="end after so many; the next start goes on from there")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="of a dask cluster, such as tcp://host:8786")
    sweep.add_argument("--dry-run", action="store_true", help="list the runs, with those finished, and their cost")
    sweep.set_defaults(command=_sweep, parser=sweep)

    claims = commands.add_parser("claims", help="what the papers claim and what our records say", allow_abbrev=False)
    claims.description = "Compute the ledger of claims from the records in a folder: print the verdicts, write it."
    claims.epilog = "example: novelty claims --results results --output claims"
    claims.add_argument("--results", metavar="FOLDER", default="results", help="the records (default: results)")
    claims.add_argument("--output", metavar="FOLDER", default="claims", help="for claims.csv and claims.json")
    claims.set_defaults(command=_claims, parser=claims)

    submit = commands.add_parser("submit", help="check records from another machine", allow_abbrev=False)
    submit.description = "Check records that were made elsewhere, and how far they agree with ours. Changes nothing."
    submit.epilog = "example: novelty submit ~/from-colab/results"
    submit.add_argument("folder", metavar="FOLDER", help="the records: what `results` named when they were made")
    submit.add_argument("--results", metavar="FOLDER", default="results", help="ours (default: results)")
    submit.set_defaults(command=_submit, parser=submit)

    for command in (run, params):
        command.add_argument("name", metavar="NAME", help="a notebook such as ics, or the path of an .ipynb")
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if chosen.headless and chosen.output:
        raise InputError("--headless writes no notebook: leave out --output or --headless")
    notebook = execution.find_notebook(chosen.name)
    parameters, values = execution.check(notebook, _split(chosen.pairs))
    if parameters.device == "cuda":
        from novelty_utils.training import backends  # loads torch

        backends.pick_device("cuda")
    try_writing(parameters.results)
    if chosen.headless:
        execution.run_headless(notebook, values, parameters.results)
    else:
        output = chosen.output or execution.default_output(notebook, parameters)
        print(f"notebook: {execution.run_papermill(notebook, values, output, parameters.results)}")
    files = execution.recorded(notebook.stem, parameters)
    told = files if len(files) <= 3 else [f"{len(files)} in {files[0].parent}"]
    for where in told or [Path(parameters.results)]:  # a notebook may record nothing, or under another name
        print(f"records:  {where}")


def _fit(chosen: argparse.Namespace) -> int:
    from novelty_utils import screening, training  # they load torch
    from novelty_utils.records import provenance
    from novelty_utils.screening import pictures

    provenance.limit_threads()
    folder = pictures.root(chosen.folder)
    model = screening.choose(chosen.detector, _split(chosen.pairs))
    training.pick_device(chosen.device)
    how = {name: getattr(chosen, name) for name in ("side", "epochs", "device", "false_alarms", "replace")}
    try:
        made = screening.fit(model, folder, chosen.save, **how)
    except training.DivergedError as error:
        return _say(error, 1)
    print("\n".join(made.told()))
    return 0


def _score(chosen: argparse.Namespace) -> int:
    from novelty_utils import detectors, screening  # they load torch
    from novelty_utils.records import provenance
    from novelty_utils.screening import pictures

    provenance.limit_threads()
    folder = pictures.root(chosen.folder)
    model = detectors.open(chosen.detector, chosen.device)
    made = screening.score(model, folder, chosen.to, replace=chosen.replace)
    print("\n".join(made.told()))
    found = made.found
    if found.unscored:
        return _say(f"{len(found.unscored)} of {len(found.files)} files have no score: the column note says why", 1)
    return 0


def _sweep(chosen: argparse.Namespace) -> None:
    from novelty_utils.runs import pending, sweeps

    if chosen.scheduler is not None and not chosen.scheduler.strip():
        raise InputError("--scheduler '' is no address: give one, such as tcp://host:8786, or leave it out")
    if chosen.workers and chosen.scheduler:
        raise InputError("--workers is for this machine: leave it out, the cluster has its own, or --scheduler")
    if chosen.dry_run and chosen.scheduler:
        raise InputError("--dry-run reckons with this machine alone: leave out --scheduler, or --dry-run")
    if chosen.dry_run:
        pending.show(chosen.file, _split(chosen.pairs), chosen.workers)
    else:
        sweeps.run(chosen.file, _split(chosen.pairs), chosen.workers, chosen.scheduler, chosen.hours)


def _claims(chosen: argparse.Namespace) -> None:
    from novelty_utils.records import store

    with reachable("--results", chosen.results):
        there = is_folder(Path(chosen.results))
    if not there:
        wanted = "give the one with the records, or go to the clone"
        raise InputError(f"--results {chosen.results!r} is not a folder: {wanted}")
    papers = [name for names in PAPERS.values() for name in names]
    if not any(store.files(name, chosen.results) for name in papers):
        wanted = f"holds no records PAPER/DATASET/NAME.json of {', '.join(papers)}"
        raise InputError(f"--results {chosen.results!r} {wanted}: give the folder above, or run one of these first")
    with reachable("--output", chosen.output):
        existing = first_there(Path(chosen.output).absolute())
    if not existing.is_dir():
        raise InputError(f"--output {chosen.output!r}: {str(existing)!r} is a file: give a folder for the ledger")
    from novelty_utils.ledger import claims  # loads pandas and torch, which a refusal need not wait for

    table = claims.ledger(chosen.results)
    _tell(table, claims.write(table, chosen.output))


def _submit(chosen: argparse.Namespace) -> None:
    from novelty_utils.ledger import submissions  # loads torch

    for name, given in (("FOLDER", chosen.folder), ("--results", chosen.results)):
        with reachable(name, given):
            if not is_folder(Path(given)):
                raise InputError(f"{name} {given!r} is not a folder: give one with records")
    checked = submissions.check(chosen.folder, chosen.results)
    for one in checked:
        print(f"{one.file}: {'; '.join(one.faults) or one.told}")
    refused = sum(bool(one.faults) for one in checked)
    if refused:
        raise InputError(f"{refused} of {len(checked)} records cannot be taken, as told above: leave them out")
    print(f"\n{len(checked)} records can be taken. To send them: {SUBMISSIONS_PAGE}")


def _tell(table: pd.DataFrame, written: Sequence[Path]) -> None:
    from novelty_utils.ledger import claims
    from novelty_utils.ledger.verdicts import NOT_ATTEMPTED

    numbers, left = table.kind == "number", table.verdict == NOT_ATTEMPTED
    for line in table[~numbers & ~left].itertuples():
        print(f"{line.paper:8}{line.verdict:20}{line.claim} ({line.reason})")
    counts = f"{(left & ~numbers).sum()} orders and controls, {(left & numbers).sum()} printed numbers"
    print(f"not attempted: {counts}; the reasons are in {written[0]}")
    print(f"\n{claims.summary(table).to_string()}\n")
    if table.attrs["left_out"]:
        print(f"left out: {table.attrs['left_out']} records of the smoke tier, which say nothing about a paper")
    for path in written:
        print(f"ledger:   {path}")
    print(f"verdicts: {VERDICTS_PAGE} tells what they mean")


def _positive(text: str) -> int:
    if not _plain(text, "integer", 1, 10**9):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of processes: give 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not _plain(text, "integer", 1, 10**9):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of 1 or more")
    return int(text)


def _share(text: str) -> float:
    if not _plain(text, "number", 0, 1) or float(text) in (0, 1):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no share between 0 and 1: give one such as 0.05")
    return float(text)


def _hours(text: str) -> float:
    if not _plain(text, "number", 0, 9999) or not float(text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of hours: give one above 0, such as 2.5")
    return float(text)


def _plain(text: str, kind: str, low: float, high: float) -> bool:
    """Whether this is a number as a person writes it, from `low` to `high`."""
    return len(text) < 100 and PLAIN[kind].fullmatch(text) is not None and low <= float(text) <= high


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


def _params(chosen: argparse.Namespace) -> None:
    schema, defaults = execution.read_schema(execution.find_notebook(chosen.name))
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


if __name__ == "__main__":
    sys.exit(main())
