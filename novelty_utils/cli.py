"""The command line of `novelty`: what may be typed; bad input is one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from novelty_utils import __version__, commands, interrupts
from novelty_utils.classes import PLAIN
from novelty_utils.commands import say
from novelty_utils.errors import InputError, shown
from novelty_utils.files import user_path
from novelty_utils.runs import execution

NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")  # in a RuntimeError of torch; the last is of a GPU


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 a notebook, a training or an image failed, 2 refused, 130 interrupted."""
    try:
        with interrupts.once(own_process=arguments is None):
            return _told(arguments)
    except KeyboardInterrupt:  # within the few lines that are around what tells it
        return say("interrupted", interrupts.EXIT_CODE)


def _told(arguments: Sequence[str] | None) -> int:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where it keeps its cache if there is no home
    _make_outputs_take_all()
    try:
        return _done(arguments)
    except InputError as error:
        return say(error, 2)
    except execution.RunError as error:
        return say(error, 1)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or any(one in str(error) for one in NO_MEMORY)):
            raise
        return say("the memory is too small for this: give fewer images, a smaller network or smaller batches", 1)
    except KeyboardInterrupt as error:
        return say(str(error) or "interrupted", interrupts.EXIT_CODE)
    except BrokenPipeError:  # as in `novelty claims | head`: what is left goes nowhere
        _forget_output()
        return 0
    except OSError as error:  # of a standard output that is full, for example
        _forget_output()
        where = f" ({error.filename})" if error.filename else ""
        return say(f"cannot go on: {error.strerror or error}{where}", 1)


def _done(arguments: Sequence[str] | None) -> int:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder is gone: go to another one, such as the clone") from error
    try:
        chosen = _parse(arguments)
        return chosen.command(chosen) or 0
    finally:
        sys.stdout.flush()  # here, where what goes wrong can be told


def _make_outputs_take_all() -> None:
    """Of an output that somebody has closed make one that goes nowhere; spell out letters that one does not know."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        with contextlib.suppress(AttributeError):  # in a test or a notebook it may be something else
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    with contextlib.suppress(OSError, ValueError):  # there may be none that the system knows
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    added = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = added.add_parser("run", help="run a notebook with parameters", allow_abbrev=False)
    run.description = "Run a notebook with parameters. They are checked before anything is loaded."
    run.epilog = "example: novelty run ics -p dataset=mnist -p class_name=3 -p tier=demo -p results=mine"
    run.add_argument("-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="set a parameter")
    run.add_argument("--headless", action="store_true", help="run the cells without Jupyter; no notebook is written")
    run.add_argument("--output", type=_path, metavar="FILE", help="the executed notebook (default: a name in runs/)")
    run.set_defaults(command=commands.run, parser=run)

    fit = added.add_parser("fit", help="fit a detector to a folder of normal images", allow_abbrev=False)
    fit.description = "Fit a detector to a folder of normal images and keep it in a file. An interrupted one goes on."
    fit.epilog = "example: novelty fit ics folder:photos/good -p rho=5 --save parts.pt"
    fit.add_argument("detector", metavar="DETECTOR", help="such as ics, crbnd, ade_gan, nln.AE or knn")
    fit.add_argument("folder", metavar="folder:PATH", help="normal images, directly in PATH or in folders inside it")
    fit.add_argument("--save", type=_path, required=True, metavar="FILE", help="where the detector is kept")
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
    fit.set_defaults(command=commands.fit, parser=fit)

    score = added.add_parser("score", help="score a folder of new images", allow_abbrev=False)
    score.description = "Score every image in a folder: a table, and a page that shows what was found. Exit code 1 if "
    score.description += "an image could not be read. An interrupted call goes on."
    score.epilog = "example: novelty score parts.pt folder:photos/new --to found"
    score.add_argument("detector", metavar="FILE", type=_path, help="what `novelty fit` has kept")
    score.add_argument("folder", metavar="folder:PATH", help="new images, directly in PATH or in folders inside it")
    score.add_argument("--to", type=_path, required=True, metavar="FOLDER", help="for scores.csv and report.html")
    score.set_defaults(command=commands.score, parser=score)

    for command in (fit, score):
        command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
        command.add_argument("--replace", action="store_true", help="what is there already, once the new is whole")

    params = added.add_parser("params", help="list the parameters of a notebook", allow_abbrev=False)
    params.description = "List the parameters of a notebook: type or allowed values, default, meaning."
    params.set_defaults(command=commands.params, parser=params)

    sweep = added.add_parser("sweep", help="run a grid of notebook runs", allow_abbrev=False)
    sweep.description = "Run every combination of a grid, on this machine or on a dask cluster. Finished runs are kept."
    sweep.epilog = "example: novelty sweep sweeps/ics_table1.yml -p tier=demo -p results=table1 --workers 2"
    sweep.add_argument("file", metavar="FILE", type=_path, help="a YAML file such as sweeps/ics_table1.yml")
    sweep.add_argument("-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="set it for all runs")
    sweep.add_argument("--workers", type=_positive, metavar="N", help="runs at a time (default: one per GPU or core)")
    sweep.add_argument("--hours", type=_hours, metavar="H", help="end after so many; the next start goes on from there")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="of a dask cluster, such as tcp://host:8786")
    sweep.add_argument("--dry-run", action="store_true", help="list the runs, with those finished, and their cost")
    sweep.set_defaults(command=commands.sweep, parser=sweep)

    claims = added.add_parser("claims", help="what the papers claim and what our records say", allow_abbrev=False)
    claims.description = "Compute the ledger of claims from the records in a folder: print the verdicts, write it."
    claims.epilog = "example: novelty claims --results results --output claims"
    claims.add_argument(
        "--results", type=_folder, metavar="FOLDER", default="results", help="the records (default: results)"
    )
    claims.add_argument(
        "--output",
        type=_folder,
        metavar="FOLDER",
        default="claims",
        help="for claims.csv, .json and .eval_results.yaml",
    )
    claims.set_defaults(command=commands.claims, parser=claims)

    submit = added.add_parser("submit", help="check records from another machine", allow_abbrev=False)
    submit.description = "Check records that were made elsewhere, and how far they agree with ours. Changes nothing."
    submit.epilog = "example: novelty submit ~/from-colab/results"
    submit.add_argument(
        "folder", type=_folder, metavar="FOLDER", help="the records: what `results` named when they were made"
    )
    submit.add_argument("--results", type=_folder, metavar="FOLDER", default="results", help="ours (default: results)")
    submit.set_defaults(command=commands.submit, parser=submit)

    for command in (run, params):
        command.add_argument("name", metavar="NAME", help="a notebook such as ics, or the path of an .ipynb")
    return parser


def _path(text: str) -> Path:
    try:
        return user_path("path", text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _folder(text: str) -> str:
    return str(_path(text))


def _positive(text: str) -> int:
    if not _plain(text, "integer", 1, 10**9):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of processes: give 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not _plain(text, "integer", 1, 10**6):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from 1 to 1000000")
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


if __name__ == "__main__":
    sys.exit(main())
