"""`novelty sweep FILE`: the runs of a grid on the processes of this machine or on a dask cluster, each recorded once.

State is in the records and nowhere else: a run is finished when the records it was asked for are in its results
folder. So a sweep that was interrupted, or killed, goes on when the same command is given again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novelty_utils import interrupts
from novelty_utils.errors import InputError
from novelty_utils.files import try_writing, write_atomically
from novelty_utils.progress import tqdm
from novelty_utils.records import provenance, store
from novelty_utils.runs import pending, sweep_file, worker
from novelty_utils.runs.execution import RunError
from novelty_utils.runs.sweep_file import Job

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

# Dask looks at each worker 100 times a second, at its loops 50 times, for dashboards that nobody opens here: beside one
# run it took a tenth of a core.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}
RETRIES = 2  # of a run that fails, e.g. for lack of memory beside another one
LEFTOVER = 3600  # seconds after which the temporary file of a record belongs to nobody: one is written in milliseconds


def run(
    file: Path, overrides: Mapping[str, str], workers: int | None, scheduler: str | None, hours: float | None = None
) -> None:
    """Run what is not finished of a sweep; see `grids` for the file.

    `workers` processes on this machine (by default one per GPU, or per core), or those of the dask cluster whose
    `scheduler` has this address. With `hours` it ends after so many: a run is not begun where earlier records say that
    it would not be ready by then, one that takes longer than all of them or is not known is cut off and goes on from
    its checkpoint at the next start. Prints what it will cost, a line for each run, progress and a summary.
    Raises InputError, before anything is started, for whatever is wrong in the file, for records that cannot be read,
    a results folder that cannot be written and a scheduler that does not answer; RunError at the end if runs failed,
    and at once if the scheduler is gone.
    """
    if not importlib.util.find_spec("distributed"):
        raise InputError('dask is missing: pip install "novelty-utils[sweep]"')
    listed = sweep_file.read(file, overrides)
    if scheduler:
        _refuse_relative(listed)
    todo = pending.unfinished(listed)
    if not scheduler and any(job.parameters.device == "cuda" for job in todo):
        from novelty_utils.training import backends  # loads torch

        backends.pick_device("cuda")
    started, tally = time.perf_counter(), Counter(skipped=len(listed) - len(todo))
    until = time.time() + 3600 * hours if hours else None
    try:
        if todo:
            if not scheduler:
                _prepare(todo)
                pending.costs(listed, todo, workers)  # what the machines of a cluster are like is not known here
            with _client(todo, workers, scheduler) as (client, gpus):
                if scheduler:  # one that does not answer leaves nothing
                    _prepare(todo)
                _follow(client, _submitted(client, todo, gpus, scheduler is None, until), tally)
    except KeyboardInterrupt:
        _summary(tally, started)
        raise KeyboardInterrupt("interrupted; the same command goes on from the runs that are recorded") from None
    except RunError:
        _summary(tally, started)
        raise
    except OSError as error:  # what dask raises when a connection breaks within a call, or it cannot start here
        _summary(tally, started)
        raise RunError(f"the sweep broke off ({error or type(error).__name__}): give the same command again") from error
    _summary(tally, started)
    if tally["left"] and not scheduler:
        pending.costs(listed, pending.unfinished(listed), workers)
    if tally["failed"] or tally["refused"]:
        raise RunError(f"{tally['failed'] + tally['refused']} of {len(listed)} runs left no record; see their logs")


def _refuse_relative(listed: list[Job]) -> None:
    """A worker would look for a relative folder of images where it was started, and might find other images there."""
    for name in {job.parameters.dataset for job in listed}:
        if name.startswith("folder:") and not Path(name.removeprefix("folder:")).expanduser().is_absolute():
            raise InputError(f"dataset={name!r}: with --scheduler give the whole path, and one that all machines have")


def _summary(tally: Counter[str], started: float) -> None:
    words = ("done", "skipped", "failed", "refused", *(["left"] if tally["left"] else []))
    counts = ", ".join(f"{word} {tally[word]}" for word in words)
    print(f"{counts}, in {time.perf_counter() - started:.0f} seconds")


# --- where it runs -------------------------------------------------------------------------------------------------


def _prepare(todo: list[Job]) -> None:
    """Find out that a results folder cannot be written before hours are spent, and tidy what a killed write left."""
    for paper, results in {(job.paper, job.parameters.results) for job in todo}:
        try_writing(Path(results, ".logs"))
        for left in Path(results).glob(f"{paper}/*/.*.json.*"):
            with contextlib.suppress(OSError):  # another sweep may be tidying, too
                if time.time() - left.stat().st_mtime > LEFTOVER:
                    left.unlink()


@contextlib.contextmanager
def _client(todo: list[Job], workers: int | None, scheduler: str | None) -> Iterator[tuple[Client, list[str]]]:
    """A client of the cluster, and the GPUs that its workers divide among themselves: none but on this machine."""
    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is said in one line
    if scheduler:
        from novelty_utils.runs import same_versions

        _refuse_silent(scheduler)
        client = Client(scheduler)
        try:
            if not client.scheduler_info(n_workers=-1)["workers"]:
                print("no worker is connected yet: waiting for one", file=sys.stderr)
                client.wait_for_workers(1)
            with same_versions.demanded(client):
                yield client, []
        finally:
            client.close(timeout=5)
        return
    gpus = pending.gpus(todo)
    with contextlib.ExitStack() as stack:
        try:
            with interrupts.held():  # a terminal interrupts the workers as well: that is left to the sweep
                cluster = stack.enter_context(_local(gpus, min(len(todo), workers or len(gpus) or pending.cores())))
        except RuntimeError as error:
            raise RunError(f"dask cannot start its workers here ({error})") from error
        yield stack.enter_context(Client(cluster)), gpus


def _refuse_silent(address: str) -> None:
    """Ask who is there, for as long as dask is configured to try, by default half a minute.

    A client would wait for ever at a port that answers something else.
    """
    import dask
    from distributed import Security
    from distributed.core import rpc

    secrets = Security().get_connection_args("client")  # as a client has them, for tls://

    async def identity() -> dict[str, Any]:
        limit = dask.utils.parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
        async with asyncio.timeout(limit), rpc(address, connection_args=secrets) as there:
            return await there.identity()

    advice = "start one with `dask scheduler`, or leave --scheduler out"
    try:
        found = asyncio.run(identity())["type"]
    except Exception as error:  # whatever the other side sends, and dask makes of it
        raise InputError(f"scheduler={address!r} does not answer: {advice}") from error
    if found != "Scheduler":
        raise InputError(f"scheduler={address!r} is a dask {found}, not a scheduler: {advice}")


def _local(gpus: list[str], workers: int) -> LocalCluster:
    import dask
    from distributed import LocalCluster

    with dask.config.set(QUIET):  # a worker takes it over as it starts
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            resources={"GPU": 1} if gpus else None,
            memory_limit=None,  # a worker holds nothing; its runs are processes of their own
            dashboard_address="127.0.0.1:0",  # some port that is free, without a warning
            silence_logs=logging.CRITICAL,
        )


def _submitted(client: Client, todo: list[Job], gpus: list[str], local: bool, until: float | None) -> dict[Future, Job]:
    """One task per run, in the order of the file. Where workers have GPUs to offer, a run that may use one takes one.

    Workers of this machine keep checkpoints beside the results, so that a run which is cut off goes on.
    """
    found = client.scheduler_info(n_workers=-1)["workers"].values()
    gpu = any("GPU" in worker["resources"] for worker in found)
    futures: dict[Future, Job] = {}
    for place, (job, limit) in enumerate(zip(todo, _limits(todo, until), strict=True)):
        key = ("run", job.key)  # of one group: of many, dask hands out two of each before the others
        future = client.submit(
            worker.run,
            *(key, job.paper, job.notebook.read_text(encoding="utf-8"), job.text, gpus),
            *(_checkpoints(job) if local else None, limit, provenance.threads()),
            key=key,
            retries=RETRIES,
            priority=-place,  # without one, the last to come may be the first to go
            resources={"GPU": 1} if gpu and job.parameters.device != "cpu" else None,
        )
        futures[future] = job
    return futures


def _checkpoints(job: Job) -> str:
    return str(Path(job.parameters.results, ".checkpoints").absolute())


def _limits(todo: list[Job], until: float | None) -> list[worker.Limit | None]:
    """What the hours of a sweep mean for its runs. One that never fits into them is begun all the same."""
    if until is None:
        return [None] * len(todo)
    left = until - time.time()
    return [worker.Limit(until, seconds if seconds and seconds < left else None) for seconds in pending.seconds(todo)]


# --- what comes back -----------------------------------------------------------------------------------------------


def _follow(client: Client, futures: dict[Future, Job], tally: Counter[str]) -> None:
    """Record what comes back as it comes; raise RunError when the scheduler is gone."""
    from distributed import CancelledError, as_completed

    common = pending.in_common(list(futures.values()))
    with tqdm(total=len(futures), unit="run", disable=None) as bar:
        bar.set_postfix(_postfix(client, bar, tally))
        for future in as_completed(list(futures)):
            job = futures.pop(future)
            try:
                word, log = _outcome(job, future)
            except CancelledError as error:
                left = f"{len(futures) + 1} runs are not recorded"
                raise RunError(f"the scheduler is gone, {left}: give the same command again") from error
            tally["done" if word == "recorded" else word] += 1
            _report(job, word, log, pending.label(job, common))
            bar.update()
            bar.set_postfix(_postfix(client, bar, tally))
            future.release()


def _postfix(client: Client, bar: tqdm, tally: Counter[str]) -> dict[str, Any]:
    return {
        "running": min(sum(client.nthreads().values()), bar.total - bar.n),
        "failed": tally["failed"] + tally["refused"],
    }


def _outcome(job: Job, future: Future) -> tuple[str, str]:
    """How a run ended, and its log; its records are written by now.

    done, recorded (it failed after its records were made), failed, refused, or left for the next start.
    Raises CancelledError if the scheduler is gone, and InputError if its records cannot be written.
    """
    from distributed import CancelledError

    try:
        outcome = future.result()
    except CancelledError:
        raise
    except worker.JobError as error:
        return "failed", f"{error.log}\n{error.message}\n"
    except Exception as error:  # of dask: a worker that died again and again, or one without novelty_utils
        return "failed", f"{type(error).__name__}: {error}\n"
    if outcome.code == 2 and not outcome.records:
        return "refused", outcome.log
    found, said = [], outcome.log
    for name, text in outcome.records.items():
        try:
            found.append(store.parse(text, f"{name} of a worker"))
        except InputError as error:
            said += f"\n{error}\n"
    found = [r for r in found if r.paper == job.paper and sweep_file.asking(r.parameters) == job.asked]
    for record in found:  # whatever failed later, tables for example; one that was cut off may have some of its classes
        store.write(record, job.parameters.results)
    if pending.finished(job, {record.class_name for record in found}):
        return ("done" if outcome.code in (0, worker.LATER) else "recorded"), said
    if outcome.code == worker.LATER:
        return "left", said
    return "failed", said if said != outcome.log else f"{said}\nit left no record of what it was asked for\n"


def _report(job: Job, word: str, log: str, name: str) -> None:
    """Write the log of a run, and say how it ended: a failed one with its last lines."""
    path = Path(job.parameters.results, ".logs", f"{job.key}.log")
    if log or word != "left":  # one that was not begun has nothing to say
        write_atomically(path, lambda file: file.write(log.encode()))
    tqdm.write(f"{word:8} {name}")
    sys.stdout.flush()  # the log of a batch job shall not lag hours behind
    if word in ("failed", "refused", "recorded"):
        last = [line for line in log.splitlines() if line.strip()][-5:]
        tqdm.write("\n".join(["         the last lines of " + str(path) + ":", *(f"         {line}" for line in last)]))
