"""One run of a sweep where it is computed: a process of its own on a worker, whose records come back as text.

A worker loads this file and nothing else of the package, so it holds no torch: the run's own process does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LONGEST_LOG = 1_000_000  # characters kept, the last ones
# glibc hands large blocks back to the system at each free: getting them anew took a tenth of a training step on a CPU.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
LATER = -1  # an outcome's code: not started or cut off, since the sweep's hours are over; the checkpoints stay
COMMAND = """
import sys
from novelty_utils import cli
from novelty_utils.runs import worker
worker.end_with_parent()
sys.exit(cli.main())
"""


class Outcome(NamedTuple):
    """What a run leaves: its exit code or LATER, what it printed, its record files by name.

    Codes other than 0, 2 and LATER come with records: whatever failed after they were written, they stay.
    """

    code: int
    log: str
    records: dict[str, str]


class Limit(NamedTuple):
    """When a sweep has to end, and how long a run takes: it is not begun where it would not be ready by then.

    until: seconds as `time.time` has them. seconds: None for a run that is begun all the same and cut off if need be,
    because nobody knows how long it takes or because it takes longer than the sweep has: it goes on at the next start.
    """

    until: float
    seconds: float | None


class JobError(RuntimeError):
    """A run failed and may be tried again: how it ended, and what it printed."""

    def __init__(self, message: str, log: str):
        super().__init__(message, log)  # both, or it could not be sent between processes
        self.message, self.log = message, log


def run(
    key: tuple[str, str],
    name: str,
    notebook: str,
    text: Mapping[str, str],
    gpus: Sequence[str] = (),
    checkpoints: str | None = None,
    limit: Limit | None = None,
    threads: int = 1,
) -> Outcome:
    """Run a notebook (its JSON) headless with these parameters, in a new process; called by a dask worker.

    The results go to a temporary folder of the worker, so that no file system need be shared. `gpus` names those that
    the workers of one machine divide among themselves by their numbers; each run has so many `threads`, whatever its
    machine says, as their number is part of what was asked for. `checkpoints` is a folder that outlives the
    run, where the worker shares one with the sweep. The process ends with this worker, with the wish for its result,
    and at the limit. Raises JobError if it leaves no record, unless it exits with 0, or with 2 (refused: a repetition
    would be, too).
    """
    from distributed import get_worker

    if limit and time.time() + (limit.seconds or 0) > limit.until:
        return Outcome(LATER, "", {})
    worker = get_worker()
    with tempfile.TemporaryDirectory(dir=worker.local_directory, prefix="run-", ignore_cleanup_errors=True) as folder:
        file, log, results = Path(folder, f"{name}.ipynb"), Path(folder, "log"), Path(folder, "results")
        file.write_text(notebook, encoding="utf-8")
        pairs = [f"-p{parameter}={value}" for parameter, value in {**text, "results": str(results)}.items()]
        environment = _environment(worker.name, gpus, checkpoints, threads)
        code = _execute(["run", str(file), "--headless", *pairs], log, environment, _wanted(key, limit))
        said = log.read_text(encoding="utf-8", errors="replace")[-LONGEST_LOG:]
        said = said.replace(str(results), text.get("results", "results"))  # where its records will be in the end
        made = {str(path.relative_to(results)): path.read_text("utf-8") for path in _records(results)}
        if code < 0 and limit and time.time() > limit.until:
            return Outcome(LATER, said, made)
        if code not in (0, 2) and not made:
            raise JobError(f"exit code {code}" if code > 0 else f"killed by signal {-code}", said)
        return Outcome(code, said, made)


def _records(results: Path) -> list[Path]:
    return sorted(results.glob("*/*/*.json"))


def _environment(worker: int | str, gpus: Sequence[str], checkpoints: str | None, threads: int = 1) -> dict[str, str]:
    """So many threads for each run, and its worker's own GPU if they are divided."""
    environment = {**KEEP_MEMORY, **os.environ, "OMP_NUM_THREADS": str(threads)}
    if checkpoints:
        environment.setdefault("NOVELTY_CHECKPOINTS", checkpoints)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[int(worker) % len(gpus)]
    return environment


def _wanted(key: tuple[str, str], limit: Limit | None) -> Callable[[], bool]:
    """Whether somebody still waits for this task.

    Not so once its sweep was interrupted or killed, or its scheduler, or the hours of the sweep are over.
    """
    from distributed import get_worker

    worker = get_worker()
    tasks = worker.state.tasks

    def wanted() -> bool:
        gone = key not in tasks or tasks[key].state in ("cancelled", "released", "forgotten")
        late = limit is not None and time.time() > limit.until
        return not late and not gone and not worker.status.name.startswith("clos")  # closing, closed

    return wanted


def _execute(arguments: Sequence[str], log: Path, environment: Mapping[str, str], wanted: Callable[[], bool]) -> int:
    """The exit code of `novelty ARGUMENTS`, its output in `log`; killed as soon as it is no longer wanted."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND, *arguments],  # -P: no module is taken from the current folder
            stdin=subprocess.PIPE,  # see end_with_parent
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # a Ctrl-C in the terminal is for the sweep, which ends its runs itself
        )
    try:
        while process.poll() is None and wanted():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
        code = process.poll()
        return -signal.SIGKILL if code is None else code
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin:
            process.stdin.close()


def end_with_parent() -> None:
    """Kill this process and its children once the process that started it is gone, however that came to pass.

    Called in a process with a session of its own. Its standard input is a pipe into which the parent writes nothing.
    """

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin: its lock, held at the exit of Python, would be a fatal error
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
