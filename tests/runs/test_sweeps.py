"""Sweeps: files that are refused, runs that are recorded exactly once whatever is killed, and the published tables.

The notebook of these tests writes a record without loading torch, and waits until the test opens a gate: nothing here
depends on how fast the machine is.
"""

import contextlib
import http.server
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import pytest

from novelty_utils import classes, cli, params
from novelty_utils.errors import InputError
from novelty_utils.records import provenance, store
from novelty_utils.runs import checking, pending, sweep_file, sweeps, worker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds until a test gives up on something that has to happen
PARAMETERS = """\
dataset = "digits"
class_name = "0"
tier = "smoke"
seed = 0
device = "cpu"
results = "results"
beta = 0.5
act = "work"
gate = ""
repetitions = 2
"""
SCHEMA = """\
from typing import Literal
from pydantic import Field
from novelty_utils.params import RunParameters

class Parameters(RunParameters):
    beta: float = Field(ge=0, description="weight of a loss, eq. 1")
    act: Literal["work", "fail", "refuse", "newer", "nothing", "draw", "die", "table", "tables"] = Field(
        description="what it does"
    )
    gate: str = Field(description="folder in which it waits for a file with the name of its class")
    repetitions: int = Field(ge=1, description="how many classes it draws")

p = Parameters.check(globals())
"""
RECORD = store.Record(
    version=1, paper="tiny", tier="smoke", dataset="digits", class_name="0", seed=0, parameters={},
    data={"name": "digits", "checksum": "abc"}, results=[store.Result(method="m", metric="auroc", value=0.5)],
    training={}, machine={"gpu": None, "cpu": "slow", "threads": 1}, code={"commit": None}, seconds=90.0,
    peak_memory_mb=1, created="2000-01-01T00:00:00Z",
)  # fmt: skip
WORK = f"""\
import json, os, signal, time
from pathlib import Path
from novelty_utils.params import InputError

print("working on", p.class_name, "with", os.environ["OMP_NUM_THREADS"], "thread")
if p.gate:
    with Path(p.gate, "started").open("a") as file:
        file.write(f"{{p.class_name}} {{os.getpid()}}\\n")
    while not Path(p.gate, p.class_name).exists():
        time.sleep(0.05)
if p.act == "fail":
    raise ValueError("out of luck")
if p.act == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if p.act == "refuse":
    raise InputError("these data do not fit: take others")

names = [p.classes_of(p.dataset)[k] for k in p.labels()]
if p.act == "draw":
    names = [f"draw{{k}}" for k in range(p.repetitions)]
for name in names if p.act != "nothing" else ():
    record = json.loads({RECORD.model_dump_json()!r})
    record |= {{"version": 99 if p.act == "newer" else 1, "class_name": name, "seed": p.seed, "dataset": p.dataset}}
    record["parameters"] = p.model_dump(exclude={{"device", "results", "class_name"}})
    file = Path(p.results, "tiny", p.dataset, f"{{name}}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record))
if p.act == "table":
    raise InputError("results/other.json is not a record of a run: restore it from git or delete it")
if p.act == "tables":
    raise KeyError("table")
"""


@pytest.fixture(autouse=True, scope="module")
def no_figures(tmp_path_factory):
    """Spare every run of these tests the second that matplotlib takes to load."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "matplotlib.py").write_text("raise ImportError")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def clone(tmp_path, monkeypatch) -> Path:
    """A folder with the notebook `tiny`, as the current one."""
    monkeypatch.chdir(tmp_path)
    tagged = [(PARAMETERS, ["parameters"]), (SCHEMA, ["schema"]), (WORK, [])]
    cells = [{"cell_type": "code", "metadata": {"tags": tags}, "source": source} for source, tags in tagged]
    Path("notebooks").mkdir()
    Path("notebooks/tiny.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5}))
    Path("gate").mkdir()
    return tmp_path


def sweep(text: str) -> Path:
    Path("s.yml").write_text(f"notebook: tiny\n{text}")
    return Path("s.yml")


def read(text: str, **overrides: str) -> list[dict[str, str]]:
    return [job.text for job in sweep_file.read(sweep(text), overrides)]


# --- the file ------------------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_in_the_order_of_the_file():
    found = read("parameters: {beta: 1e-3}\ngrid:\n  dataset: [digits, mnist]\n  seed: [1, 0]")
    assert [(run["dataset"], run["seed"], run["beta"]) for run in found] == [
        ("digits", "1", "1e-3"), ("digits", "0", "1e-3"), ("mnist", "1", "1e-3"), ("mnist", "0", "1e-3"),
    ]  # fmt: skip


def test_all_classes_are_those_of_each_data_set():
    found = read("grid: {dataset: [mnist, cifar10], class_name: all}")
    names = [(name, label) for name in ("mnist", "cifar10") for label in classes.CLASSES[name]]
    assert [(run["dataset"], run["class_name"]) for run in found] == names


def test_all_classes_under_parameters_are_one_run():
    jobs_ = sweep_file.read(sweep("parameters: {class_name: all}\ngrid: {seed: [0]}"), {})
    assert [job.classes for job in jobs_] == [classes.DIGITS]


def test_several_grids_share_what_stands_outside():
    found = read(
        "parameters: {beta: 2}\ngrids:\n- grid: {class_name: all}\n- parameters: {tier: demo}\n  grid: {seed: [1]}"
    )
    assert len(found) == 11
    assert found[-1] == {"beta": "2", "tier": "demo", "seed": "1"}


def test_an_alias_is_what_it_stands_for():
    assert len(read("grid:\n  seed: &some [1, 2]\n  beta: *some")) == 4


def test_an_override_holds_for_every_run_and_takes_the_place_of_a_list():
    found = read("parameters: {tier: paper}\ngrid: {class_name: all, seed: [0, 1]}", tier="demo", class_name="4")
    assert found == [{"tier": "demo", "class_name": "4", "seed": seed} for seed in "01"]


LAUGHS = f"grid:\n  seed: [&a0 [{'1,' * 10}]" + "".join(f", &a{n} [{f'*a{n - 1},' * 10}]" for n in range(1, 9)) + "]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gird: {seed: [0]}", "unknown key 'gird': choose from notebook, parameters, grid, grids"),
        ("grid: {sead: [0]}", "unknown parameter 'sead': choose from dataset"),
        ("parameters: {betta: 1}\ngrid: {seed: [0]}", "unknown parameter 'betta'"),
        ("grid: {seed: [0, one]}", "seed='one'"),
        ("grid: {beta: [-1]}", "beta='-1'"),
        ("grid: {class_name: [3, cat]}", "'cat' is not a class of digits"),
        ("grid: {dataset: [imagenet], class_name: all}", "s.yml: dataset='imagenet' is not known"),
        ("grid: {dataset: [digits, folder:nowhere]}", "nowhere is not a folder"),
        ("parameters: {seed: 1}", "grid is missing or empty"),
        ("grid: {}", "grid is missing or empty"),
        ("grid: [1]", "grid should be lines of `name: value`, it has ['1']"),
        ("grid:", "grid should be lines of `name: value`, there is nothing"),
        ("parameters:\ngrid: {seed: [0]}", "parameters should be lines of `name: value`, there is nothing"),
        ("grid: {seed: []}", "seed=[] is no list with values"),
        ("grid: {seed: 1}", "seed='1' is no list with values"),
        ("grid: {seed: [[1]]}", "is not one value"),
        ("grid: {seed: [0, ]\n", "(line 3); see sweeps/ for examples"),
        ("grid:\n\tseed: [0]\n", "cannot start any token (line 3); write spaces in place of tabs"),
        ("grid: {class_name: [1, all]}", "write class_name: all for a run per class"),
        ("parameters: {seed: [1, 2]}\ngrid: {beta: [1]}", "put lists under grid, or write seed: 1,2 if one run"),
        ("parameters: {seed: 1}\ngrid: {seed: [1]}", "seed is given under parameters and under grid"),
        ("grid: {seed: [1]}\ngrid: {seed: [2]}", "'grid' is there twice"),
        ("grid: {seed: [1], seed: [2]}", "'seed' is there twice (line 2)"),
        ("grid: {seed: [1, 2, 1]}", "a run is asked for twice (tiny seed=1)"),
        ("parameters: {dataset: fashion_mnist}\ngrid: {class_name: [3, 03]}", "a run is asked for twice"),
        (f"grid: {{seed: {list(range(4000))}, beta: {list(range(3000))}}}", "a grid of up to 12,000,000 runs is"),
        (
            f"grid: {{seed: {list(range(50_000))}, class_name: all}}",
            "a grid of up to 500,000 runs is more than 100,000",
        ),
        (LAUGHS, "s.yml names more than 1,000,000 values, aliases (*) counted as what they stand for"),
        ("grid: &g\n  seed: [*g]", "is not YAML: found unconstructable recursive node"),
        ("grids:\n- grid: {class_name: all}\n- parameters: {class_name: 3}\n  grid: {seed: [0]}", "asked for twice"),
        ("grids: []", "grids must be a list"),
        ("grids:\n- grid: {seed: [1]}\ngrid: {seed: [2]}", "no grid beside it"),
        ("grids:\n- notebook: tiny\n  grid: {seed: [1]}", "notebook is given for all grids and for one"),
        ("parameters: {beta: 1}\ngrids:\n- parameters: {beta: 2}\n  grid: {seed: [1]}", "beta is given for all grids"),
        ("grids:\n- grids: []", "unknown key 'grids'"),
        ("grid: " + "[" * 5000, "is nested too deep"),
        ("parameters: {device: cuda}\ngrid: {seed: [0]}", "device='cuda'"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_and_nothing_is_started(text, message, capsys):
    before = sorted([*Path().rglob("*"), sweep(text)])
    assert cli.main(["sweep", "s.yml"]) == 2
    out, err = capsys.readouterr()
    assert (out, err[:9], err.count("\n")) == ("", "novelty: ", 1)
    assert message in err
    assert sorted({*Path().rglob("*")}) == sorted({*before})


def test_a_renamed_notebook_is_refused_because_its_records_would_not_be_found(capsys):
    tiny = json.loads(Path("notebooks/tiny.ipynb").read_text())
    tiny["cells"].append({"cell_type": "code", "source": "records.make(\n    'ics', p)", "metadata": {}})
    Path("notebooks/mine.ipynb").write_text(json.dumps(tiny))
    Path("s.yml").write_text("notebook: mine\ngrid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml"]) == 2
    assert "mine.ipynb makes records of 'ics': call the file ics.ipynb" in capsys.readouterr().err
    Path("notebooks/mine.ipynb").rename("notebooks/ics.ipynb")
    Path("renamed.yml").write_text("notebook: ics\ngrid: {seed: [0]}")
    assert len(sweep_file.read(Path("renamed.yml"), {})) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "required: FILE"),
        ("gone.yml", "gone.yml cannot be read"),
        ("notebooks", "notebooks cannot be read"),
        ("s.yml -p betta=1", "unknown parameter 'betta'"),
        ("s.yml -p tier=huge", "tier='huge'"),
        ("s.yml -p results=s.yml", "is a file; give a folder"),
        ("s.yml -p results=blocked", "cannot write to blocked/.logs"),
        ("s.yml --workers 0", "'0' is not a number of processes"),
        ("s.yml --workers 2 --scheduler tcp://127.0.0.1:1", "--workers is for this machine"),
        ("s.yml --scheduler=", "--scheduler '' is no address"),
        ("s.yml --scheduler tcp://127.0.0.1:1 -p dataset=folder:pictures", "give the whole path"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_line(line, message, capsys):
    sweep("grid: {seed: [0]}")
    for name in "ab":
        for part in ("train", "test"):
            Path("pictures", part, name).mkdir(parents=True)
    Path("blocked").mkdir()
    Path("blocked/.logs").touch()
    assert cli.main(["sweep", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err[:9], err.count("\n")) == ("", "novelty: ", 1)
    assert message in err
    assert not list(Path().rglob("*.json"))


def test_a_results_folder_that_may_not_be_written_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(params.os, "access", lambda path, mode: False)  # the tests may run as root, who may do anything
    assert cli.main(["sweep", str(sweep("grid: {seed: [0]}"))]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_without_dask_or_yaml_the_line_says_what_to_install(capsys, monkeypatch):
    for module, name in ((sweeps, "distributed"), (sweep_file, "yaml")):
        real = module.importlib.util.find_spec
        with monkeypatch.context() as patch:
            patch.setattr(module.importlib.util, "find_spec", lambda n, name=name, real=real: n != name and real(n))
            assert cli.main(["sweep", str(sweep("grid: {seed: [0]}"))]) == 2
        assert 'pip install "novelty-utils[sweep]"' in capsys.readouterr().err


def test_the_command_line_needs_no_dask_for_anything_else():
    script = """\
import sys
sys.modules.update(dict.fromkeys(("dask", "distributed", "yaml")))  # None here makes an import fail
from novelty_utils import cli
print(cli.main(["run", "tiny", "--headless"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "0", done.stderr


# --- what is finished ----------------------------------------------------------------------------------------------


def record_of(job: sweep_file.Job, class_name: str, **changes) -> store.Record:
    p = job.parameters
    asked = p.model_dump(exclude=store.NOT_THE_EXPERIMENT)
    return RECORD.model_copy(update={"class_name": class_name, "seed": p.seed, "parameters": asked, **changes})


def test_a_run_is_finished_by_a_record_with_its_parameters_and_its_class():
    first, second = listed = sweep_file.read(sweep("grid: {class_name: [3, 4]}"), {})
    store.write(record_of(second, "3", parameters=second.parameters.model_dump(exclude={"device"})), "results")
    store.write(record_of(first, "3"), "elsewhere")
    assert pending.unfinished(listed) == listed
    store.write(record_of(first, "3"), "results")
    assert pending.unfinished(listed) == [second]


@pytest.mark.parametrize(
    ("asked", "machine", "finished"),
    [
        (None, {"threads": 1}, True),
        (None, {"threads": 4}, False),
        ("4", {"threads": 1}, False),
        ("4", {"threads": 4}, True),
        ("4", {"threads": 16, "gpu": "H200"}, True),
    ],
)
def test_a_run_is_finished_by_a_record_of_as_many_threads_or_of_a_gpu(monkeypatch, asked, machine, finished):
    monkeypatch.setenv("OMP_NUM_THREADS", asked) if asked else monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (job,) = listed = sweep_file.read(sweep("grid: {class_name: [3]}"), {})
    store.write(record_of(job, "3", machine={"cpu": "x", "gpu": None} | machine), "results")
    assert (pending.unfinished(listed) == []) is finished


def test_a_run_of_all_classes_is_finished_by_one_record_for_each():
    (job,) = listed = sweep_file.read(sweep("parameters: {class_name: all}\ngrid: {seed: [0]}"), {})
    for name in classes.DIGITS:
        assert pending.unfinished(listed) == listed
        store.write(record_of(job, name), "results")
    assert pending.unfinished(listed) == []


def test_a_run_that_draws_its_classes_is_finished_by_as_many_records_as_it_has_repetitions():
    (job,) = listed = sweep_file.read(sweep("parameters: {class_name: all, repetitions: 3}\ngrid: {seed: [0]}"), {})
    for name in ("draw0_a", "draw1_b", "draw2_c"):
        assert pending.unfinished(listed) == listed
        store.write(record_of(job, name), "results")
    assert pending.unfinished(listed) == []


@pytest.mark.parametrize(("version", "message"), [(1, "is not a record of a run"), (2, "written by a newer version")])
def test_a_record_that_cannot_be_read_ends_the_sweep_before_it_starts(version, message, capsys):
    (job,) = sweep_file.read(sweep("grid: {seed: [0]}"), {})
    path = store.write(record_of(job, "0"), "results")
    text = path.read_text().replace('"version": 1', f'"version": {version}')
    path.write_text(text if version > 1 else text[:50])
    assert cli.main(["sweep", "s.yml"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_one_experiment_in_two_folders_is_two_runs(shared):
    sweep("grid: {results: [here, there]}")
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address]) == 0
    assert recorded("here") == recorded("there") == ["0"]


def test_a_dry_run_lists_what_is_finished_and_what_the_rest_will_cost(capsys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # then a run has one thread
    first, second, _ = sweep_file.read(sweep("parameters: {beta: 1}\ngrid: {class_name: [3, 4, 5]}"), {})
    store.write(record_of(first, "3", machine=provenance.machine() | {"threads": 1}), "results")
    store.write(record_of(second, "4", tier="demo", seconds=1.0), "elsewhere")
    before = sorted(Path().rglob("*"))
    assert cli.main(["sweep", "s.yml", "--dry-run", "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "finished tiny class_name=3", "to run   tiny class_name=4", "to run   tiny class_name=5", "2 to run, 1 finished"
    ]  # fmt: skip
    assert lines[4].startswith("tiny, digits, smoke: about 0.05 h with 1 at a time (median of 1 records on ")
    assert cli.main(["sweep", "s.yml", "--dry-run", "-p", "dataset=mnist"]) == 0
    assert capsys.readouterr().out.splitlines()[4].startswith("tiny, mnist, smoke: no estimate")
    assert sorted(Path().rglob("*")) == before


def test_without_a_record_on_this_hardware_the_cost_is_that_on_the_one_with_most_and_the_line_names_it(capsys):
    a, b, c, _ = sweep_file.read(sweep("grid: {class_name: [3, 4, 5, 6]}"), {})
    store.write(record_of(a, "3", machine=RECORD.machine | {"cpu": "rare"}, seconds=7200.0), "results")
    for job, name in ((b, "4"), (c, "5")):
        store.write(record_of(job, name, seconds=3600.0), "results")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--workers", "1", "-p", "seed=1"]) == 0
    on = "(median of 2 records on slow, 1 thread: 3600 s, yours may differ by a lot)"
    assert capsys.readouterr().out.splitlines()[-1] == f"tiny, digits, smoke: about 4.00 h with 1 at a time {on}"


def test_one_record_on_this_hardware_counts_for_more_than_many_on_another(capsys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    a, b, c = sweep_file.read(sweep("grid: {class_name: [3, 4, 5]}"), {})
    for job, name in ((a, "3"), (b, "4")):
        store.write(record_of(job, name), "results")
    store.write(record_of(c, "5", machine=provenance.machine() | {"threads": 1}, seconds=360.0), "results")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--workers", "1", "-p", "seed=1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "about 0.30 h with 1 at a time (median of 1 records on " in line
    assert line.endswith(": 360 s)")


def test_a_run_costs_what_records_of_its_own_parameters_say_if_there_are_any(capsys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine = provenance.machine() | {"threads": 1}
    slow, quick = sweep_file.read(sweep("grid: {class_name: [3], beta: [1, 2]}"), {})
    store.write(record_of(slow, "3", machine=machine, seconds=3600.0), "results")
    store.write(record_of(quick, "3", machine=machine, seconds=360.0), "results")
    sweep("parameters: {seed: 1}\ngrid: {class_name: [3], beta: [1, 2, 2.5]}")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--workers", "1"]) == 0
    # 3600 s and 360 s for those that are known, and the median of the two, 1980 s, for the third
    assert "about 1.65 h with 1 at a time (median of 2 records on " in capsys.readouterr().out


def test_a_run_that_draws_its_classes_costs_as_many_records_as_it_has_repetitions(capsys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first, _ = sweep_file.read(sweep("parameters: {class_name: all, repetitions: 4}\ngrid: {seed: [0, 1]}"), {})
    store.write(record_of(first, "draw0", machine=provenance.machine() | {"threads": 1}), "results")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--workers", "5"]) == 0
    assert "about 0.10 h with 5 at a time" in capsys.readouterr().out  # two runs, each of 4 times 90 s


# --- one run on a worker -------------------------------------------------------------------------------------------


def test_local_workers_divide_the_gpus_and_every_run_has_the_threads_that_the_sweep_asks_for(monkeypatch):
    found = [worker._environment(number, ("2", "5"), None)["CUDA_VISIBLE_DEVICES"] for number in (0, 1, 2)]
    assert found == ["2", "5", "2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # of the worker's machine
    assert worker._environment("tcp://host:1", (), None)["OMP_NUM_THREADS"] == "1"
    assert worker._environment(0, (), None, threads=4)["OMP_NUM_THREADS"] == "4"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator, which knows nothing of the settings")
def test_a_run_keeps_the_memory_that_it_frees_and_takes_it_again(monkeypatch):
    for name in worker.KEEP_MEMORY:
        monkeypatch.delenv(name, raising=False)
    code = "import resource\nfor turn in range(6):\n"
    code += " at = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n b'x' * 40_000_000\n"
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - at)"
    faults = [
        int(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)
        for env in (worker._environment(0, (), None), dict(os.environ))
    ]
    assert faults[0] < 100 < 5000 < faults[1]  # 40 MB are 9766 pages


def test_workers_of_this_machine_are_not_watched_for_dashboards():
    with sweeps._local([], 1) as cluster, distributed.Client(cluster) as client:
        (found,) = client.run(lambda: {name: dask.config.get(name) for name in sweeps.QUIET}).values()
    assert found == sweeps.QUIET


def test_a_run_nobody_waits_for_is_killed(clone):
    arguments = ["run", "notebooks/tiny.ipynb", "--headless", f"-pgate={clone / 'gate'}"]
    code = worker._execute(arguments, Path("log"), environment(), lambda: not started())
    assert code == -signal.SIGKILL
    assert not alive(started()["0"])


# --- many runs -----------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """As quiet and narrow as a machine with other work needs it."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def wait_for(condition, what: str, process: subprocess.Popen | None = None):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process is None or process.poll() is None, f"ended before {what}: {process.communicate()}"
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def started() -> dict[str, int]:
    """The runs that wait at the gate or have passed it: the process of each class, the last one."""
    file = Path("gate/started")
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return {name: int(pid) for name, pid in (line.split() for line in lines)}


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def open_gate(*names: str) -> None:
    for name in names:
        Path("gate", name).touch()


def recorded(folder: str = "results") -> list[str]:
    """The classes of all records; every one must be valid, and where it belongs."""
    files = {str(path) for path in Path(folder).glob("tiny/*/[!.]*")}  # first: runs may go on
    found = store.read("tiny", folder)
    assert files <= {str(record.path(folder)) for record in found}
    return sorted(record.class_name for record in found)


class Cluster:
    """A dask scheduler and its workers, each a process of its own that can be killed."""

    def __init__(self, folder: Path, workers: int = 2):
        self.folder, self.processes, self.workers = folder, [], []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        self.address = wait_for(lambda: file.exists() and json.loads(file.read_text() or "{}").get("address"), "it")
        for _ in range(workers):
            self.add_worker()

    def _start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=self.folder))
        return self.processes[-1]

    def add_worker(self, *more: str) -> None:
        where = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder))
        self.workers.append(self._start("worker", self.address, *where, *more))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    """Without workers yet."""
    (tmp_path / "cluster").mkdir()
    running = Cluster(tmp_path / "cluster", workers=0)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cluster for the tests that leave it in peace."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.fixture
def start(clone):
    """Start `novelty sweep s.yml` with further arguments; what is still running at the end is killed."""
    processes = []

    def start_(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "novelty_utils.cli", "sweep", "s.yml", *arguments]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A shell starts what it runs in the background with Ctrl-C ignored, and every process below inherits that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            processes.append(subprocess.Popen(command, env=environment(), start_new_session=True, **pipe))
        finally:
            signal.signal(signal.SIGINT, before)
        return processes[-1]

    yield start_
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_whatever_is_killed_every_run_is_recorded_once(clone, cluster, start, capsys):
    names = [*"012345"]
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: [{', '.join(names)}]}}")

    client = start("--scheduler", cluster.address)  # it waits for workers
    cluster.add_worker()
    cluster.add_worker()
    open_gate("0")
    wait_for(lambda: recorded() == ["0"] and len(started()) >= 3, "the first record and two more runs", client)
    first = started()
    cluster.workers[0].kill()  # a worker: its run is one of those at the gate
    wait_for(lambda: sum(not alive(pid) for pid in first.values()) == 2, "the end of its run", client)
    cluster.add_worker()
    wait_for(lambda: sum(alive(pid) for pid in started().values()) == 2, "two runs at the gate again", client)

    left = [pid for pid in started().values() if alive(pid)]
    os.killpg(client.pid, signal.SIGKILL)  # the client: nobody waits for its runs any more
    wait_for(lambda: not any(alive(pid) for pid in left), "the end of its runs")
    assert recorded() == ["0"]

    open_gate("1", "2")
    client = start("--scheduler", cluster.address)
    wait_for(lambda: recorded() == ["0", "1", "2"] and started().keys() >= {"3", "4"}, "three records", client)
    wait_for(lambda: sum(alive(pid) for pid in started().values()) == 2, "two runs at the gate", client)
    os.killpg(client.pid, signal.SIGKILL)  # both
    cluster.workers[1].kill()
    wait_for(lambda: not any(alive(pid) for pid in started().values()), "the end of all runs")
    cluster.add_worker()

    for path in Path("results").glob("tiny/*/.*"):  # if the client was killed within a write
        os.utime(path, (1, 1))

    open_gate(*names)
    assert cli.main(["sweep", "s.yml", "--scheduler", cluster.address]) == 0
    assert "\ndone 3, skipped 3, failed 0, refused 0, in " in capsys.readouterr().out
    assert recorded() == names
    assert not list(Path("results").glob("tiny/*/.*"))
    assert len(list(Path("results/.logs").iterdir())) == len(names)
    assert cli.main(["sweep", "s.yml", "--scheduler", cluster.address]) == 0
    assert capsys.readouterr().out.startswith("done 0, skipped 6")


def test_a_sweep_whose_hours_are_over_begins_nothing_and_says_what_is_left(clone, capsys):
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: ['0', '1', '2']}}")
    assert cli.main(["sweep", "s.yml", "--workers", "1", "--hours", "0.00001"]) == 0
    out = capsys.readouterr().out
    assert not started() and not recorded()
    assert "\ndone 0, skipped 0, failed 0, refused 0, left 3, in " in out
    assert "\n3 to run, 0 finished\n" in out.split("left 3")[1]
    assert not list(Path("results/.logs").glob("*.log"))  # what did not begin has nothing to say


@pytest.mark.parametrize(("seconds", "begins"), [(None, True), (1.0, True), (1e6, False)])
def test_a_run_begins_if_it_can_end_in_time_and_is_cut_off_when_time_is_over(clone, monkeypatch, seconds, begins):
    (job,) = sweep_file.read(sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: ['0']}}"), {})
    task, status = SimpleNamespace(state="executing"), SimpleNamespace(name="running")
    dask_worker = SimpleNamespace(
        name=0, local_directory=clone, status=status, state=SimpleNamespace(tasks={"k": task})
    )
    monkeypatch.setattr("distributed.get_worker", lambda: dask_worker)
    limit = worker.Limit(time.time() + 10, seconds)
    real, seen = worker._wanted, []

    def until_it_has_begun(key, limit):  # however slow the machine is, it is cut off only then
        wanted = real(key, limit)
        return lambda: seen.append(wanted()) or not started() or wanted()

    monkeypatch.setattr(worker, "_wanted", until_it_has_begun)
    outcome = worker.run("k", "tiny", job.notebook.read_text(), job.text, limit=limit)
    assert outcome == (worker.LATER, outcome.log, {})
    assert bool(started()) == begins
    assert not any(alive(pid) for pid in started().values())


def test_what_never_fits_into_the_hours_is_begun_without_an_estimate(monkeypatch):
    monkeypatch.setattr(pending, "seconds", lambda todo: [5.0, 1e6, None])
    until = time.time() + 3600
    assert sweeps._limits(["a", "b", "c"], until) == [(until, 5.0), (until, None), (until, None)]
    assert sweeps._limits(["a"], None) == [None]


@pytest.mark.parametrize("hours", ["0", "-1", "soon", "nan", "inf"])
def test_hours_that_are_none_are_one_line(hours, capsys):
    sweep("grid: {class_name: ['0']}")
    assert cli.main(["sweep", "s.yml", f"--hours={hours}"]) == 2
    assert f"'{hours}' is no number of hours" in capsys.readouterr().err


GATE, BEGAN = threading.Event(), []


def only_begin(key: tuple[str, str], *_) -> None:
    """In place of a run, where the worker is a thread of this process."""
    GATE.wait(PATIENCE)
    BEGAN.append(key[1])


def test_runs_begin_in_the_order_of_the_file_whatever_data_they_are_of(monkeypatch):
    monkeypatch.setattr(worker, "run", only_begin)
    text = "grid: {dataset: [digits, mnist, cifar10, fashion_mnist], seed: [0, 1, 2, 3]}"
    jobs = sweep_file.read(sweep(text), {})
    with (
        distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        futures = list(sweeps._submitted(client, jobs, [], local=False, until=None))
        wait_for(lambda: len(local.scheduler.tasks) == len(jobs), "all runs to be known")
        GATE.set()
        client.gather(futures)
    assert [job.key for job in jobs] == BEGAN


def test_a_run_of_a_sweep_on_this_machine_keeps_its_checkpoints_beside_the_results():
    (job,) = sweep_file.read(sweep("grid: {class_name: ['0']}"), {})
    assert worker._environment(0, (), sweeps._checkpoints(job))["NOVELTY_CHECKPOINTS"] == str(
        Path("results/.checkpoints").absolute()
    )


def test_what_a_killed_write_left_is_tidied_and_a_write_that_goes_on_is_not(shared):
    sweep("grid: {seed: [0]}")
    old, young = Path("results/tiny/digits/.3-x.json.abc"), Path("results/tiny/digits/.3-x.json.def")
    for path in (old, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(old, (1, 1))
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address]) == 0
    assert (old.exists(), young.exists()) == (False, True)
    assert len(list(Path("results").rglob("*.json"))) == 1


def test_two_sweeps_at_once_on_one_folder_leave_one_record_per_run(start, shared):
    sweep("grid: {class_name: [0, 1, 2]}")
    both = [ended(process) for process in [start("--scheduler", shared.address), start("--workers", "1")]]
    assert [code for code, _, _ in both] == [0, 0], both
    assert recorded() == [*"012"]


def test_runs_without_a_record_are_reported_while_the_others_go_on(clone, shared, capsys):
    expected = [  # per class: what the run does, how that is called, how often it is tried, how its log ends
        ("fail", "failed", 3, "exit code 1"),
        ("die", "failed", 3, "killed by signal 9"),
        ("refuse", "refused", 1, "novelty: these data do not fit: take others"),
        ("newer", "failed", 1, "written by a newer version of novelty_utils: update the package to read it"),
        ("nothing", "failed", 1, "it left no record of what it was asked for"),
        ("work", "done", 1, ""),
        ("table", "recorded", 1, "restore it from git or delete it; its records are written, 1 in results/tiny"),
        ("tables", "recorded", 1, "failed: KeyError: 'table'; its records are written, 1 in results/tiny"),
    ]
    grids_ = [f"- {{parameters: {{act: {do}}}, grid: {{class_name: [{n}]}}}}" for n, (do, *_) in enumerate(expected)]
    sweep("\n".join([f"parameters: {{gate: {clone / 'gate'}}}\ngrids:", *grids_]))
    open_gate(*"01234567")
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address]) == 1
    out, err = capsys.readouterr()
    assert "novelty: 5 of 8 runs left no record; see their logs\n" in err
    assert "done 3, skipped 0, failed 4, refused 1, in " in out
    tried = [line.split()[0] for line in Path("gate/started").read_text().splitlines()]
    for n, (do, word, tries, last) in enumerate(expected):
        (log,) = Path("results/.logs").glob(f"tiny-digits-{n}-*.log")
        assert log.read_text().startswith(f"working on {n} with 1 thread\n")
        assert tried.count(str(n)) == tries
        report = out[out.index(f"{word:8} tiny act={do} class_name={n}\n") :].splitlines()
        if last:
            assert report[1] == f"         the last lines of {log}:"
            assert any(line.startswith(" " * 9) and line.endswith(last) for line in report[2:7])
    assert recorded() == [*"567"]  # what was recorded stays, whatever failed after it


def test_a_run_of_several_classes_has_a_record_for_each(shared):
    sweep("parameters: {class_name: all}\ngrids:\n- grid: {seed: [1]}\n- grid: {act: [draw]}")
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address]) == 0
    assert recorded() == [*"0123456789", "draw0", "draw1"]
    assert pending.unfinished(sweep_file.read(Path("s.yml"), {})) == []


def test_records_that_cannot_be_written_end_the_sweep(shared, capsys):
    sweep("grid: {class_name: [0, 1]}")
    Path("results/tiny").mkdir(parents=True)
    Path("results/tiny/digits").touch()
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("novelty: cannot write results/tiny/digits/")


NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
FULL = """
mount -t tmpfs -o size=128k none results && head -c 110000 /dev/zero > results/filler
"$@"; echo "exit code $?"
rm results/filler
"$@"; echo "exit code $?"
cp -r results kept
"""  # five pages of 4 KiB are left at first, and every record and every log takes one


def test_a_full_disk_ends_the_sweep_and_it_goes_on_when_there_is_room(clone):
    Path("results").mkdir()
    probe = [*NAMESPACE, "mount -t tmpfs none results"]
    if not shutil.which(NAMESPACE[0]) or subprocess.run(probe, capture_output=True).returncode:
        # Not without a test: test_files.py puts the error in the place of a full disk, and the test above ends a sweep
        # whose records cannot be written.
        pytest.skip("this system lets nobody mount a small file system")
    sweep("grid: {class_name: all}")
    command = [sys.executable, "-m", "novelty_utils.cli", "sweep", "s.yml", "--workers", "1"]
    done = subprocess.run([*NAMESPACE, FULL, "sh", *command], capture_output=True, text=True, env=environment())
    full, again = done.stdout.split("exit code ")[1:]
    assert (full[0], again[0]) == ("2", "0"), done.stdout + done.stderr
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("novelty: ")]
    assert re.fullmatch(r"novelty: cannot write results/.*: No space left on device; choose a folder .*", told)
    before = int(re.search(r"skipped (\d+)", full).group(1))
    assert 1 <= before < 10  # what was recorded before the disk was full is not repeated
    Path("results").rmdir()
    Path("kept").rename("results")
    assert recorded() == [*"0123456789"]


def test_a_scheduler_that_does_not_answer_is_one_line_and_nothing_is_written(start, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    sweep("grid: {seed: [0]}")
    line = "scheduler='tcp://127.0.0.1:1' does not answer: start one with `dask scheduler`, or leave --scheduler out"
    assert ended(start("--scheduler", "tcp://127.0.0.1:1")) == (2, "", f"novelty: {line}\n")
    assert not Path("results").exists()


def test_an_address_that_is_none_is_one_line(capsys):
    assert cli.main(["sweep", str(sweep("grid: {seed: [0]}")), "--scheduler", "nonsense://"]) == 2
    assert capsys.readouterr().err.startswith("novelty: scheduler='nonsense://' does not answer")


def test_a_port_that_answers_something_else_is_one_line(start, monkeypatch):
    """The usual slip is the port of the dashboard: a web server, which waits for a request and says nothing."""
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")
    sweep("grid: {seed: [0]}")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.server_port}"
        code, out, err = ended(start("--scheduler", address))
        server.shutdown()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"novelty: scheduler='{address}' does not answer")
    assert not Path("results").exists()


def test_dask_that_cannot_start_here_is_one_line(start, monkeypatch):
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", "/proc/nowhere")
    sweep("grid: {seed: [0]}")
    code, _, err = ended(start("--workers", "1"))
    assert code == 1
    assert err.splitlines()[-1].startswith("novelty: dask cannot start its workers here (")


def test_a_scheduler_may_be_named_without_its_scheme(shared, capsys):
    sweep("grid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml", "--scheduler", shared.address.removeprefix("tcp://")]) == 0
    assert recorded() == ["0"]


def test_the_address_of_a_worker_is_one_line(shared, start):
    def started_workers() -> list[Path]:
        return [path for path in sorted(shared.folder.glob("*.log")) if "Start worker at" in path.read_text()]

    log = wait_for(started_workers, "a worker")[0]
    address = re.search(r"Start worker at: +(tcp://\S+)", log.read_text()).group(1)
    sweep("grid: {seed: [0]}")
    code, _, err = ended(start("--scheduler", address))
    assert code == 2
    assert err.splitlines()[-1].startswith(f"novelty: scheduler='{address}' is a dask Worker, not a scheduler")


def test_a_damaged_record_elsewhere_stops_no_sweep(capsys):
    Path("results/tiny/digits").mkdir(parents=True)
    Path("results/tiny/digits/x.json").write_text("{")
    sweep("grid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml", "-p", "results=mine", "--workers", "1"]) == 0
    assert "no estimate (" in capsys.readouterr().out
    assert len(list(Path("mine").glob("*/*/*.json"))) == 1


def test_a_log_names_the_folder_that_the_record_is_in(capsys):
    sweep("grid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml", "-p", "results=mine", "--workers", "1"]) == 0
    (log,) = Path("mine/.logs").glob("*.log")
    assert "records:  mine" in log.read_text()
    assert "run-" not in log.read_text()


def test_a_late_gpu_takes_its_share_and_a_dead_scheduler_is_a_failure(clone, cluster, start):
    sweep(f"parameters: {{gate: {clone / 'gate'}, device: auto}}\ngrid: {{class_name: [0, 1, 2, 3]}}")
    client = start("--scheduler", cluster.address)
    cluster.add_worker("--resources", "GPU=1")
    wait_for(started, "the first run", client)
    cluster.add_worker("--resources", "GPU=1")  # it takes over a run that was meant for the first one
    open_gate("0")
    wait_for(lambda: recorded() == ["0"] and len(started()) == 3, "a record and two runs at the gate", client)
    cluster.scheduler.kill()
    code, out, err = ended(client)
    assert code == 1
    assert (
        err.splitlines()[-1] == "novelty: the scheduler is gone, 3 runs are not recorded: give the same command again"
    )
    assert "done 1, skipped 0, failed 0" in out
    wait_for(lambda: not any(alive(pid) for pid in started().values()), "the end of the runs")
    assert recorded() == ["0"]
    assert len(started()) == 3


# --- a cluster of different environments ---------------------------------------------------------------------------


def elsewhere(folder: Path, what: str) -> str:
    """A PYTHONPATH under which a worker has another version of something."""
    if what == "torch":
        about = folder / "torch-9.9.9.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n")
    else:
        ignore = shutil.ignore_patterns("__pycache__", "samples", *(["runs"] if what == "without runs" else []))
        shutil.copytree(ROOT / "novelty_utils", folder / "novelty_utils", ignore=ignore)
        (folder / "novelty_utils" / "errors.py").open("a").write("# another version\n")
    return f"{folder}{os.pathsep}{os.environ['PYTHONPATH']}"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("torch", r"torch 9\.9\.9 in place of \d[\d.]+"),
        ("package", "novelty_utils [0-9a-f]{16} in place of [0-9a-f]{16}"),
        ("without runs", "no novelty_utils, or an older one"),
    ],
)
def test_a_worker_with_another_version_is_refused_by_name_before_anything_starts(
    clone, cluster, start, monkeypatch, tmp_path, what, told
):
    cluster.add_worker()
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", elsewhere(tmp_path / "other", what))
        cluster.add_worker()
    log = cluster.folder / "2.log"
    wait_for(lambda: re.search("Registered to", log.read_text()), "the second worker")
    address = re.search(r"Start worker at: +(tcp://\S+)", log.read_text()).group(1)
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: [0, 1]}}")
    code, out, err = ended(start("--scheduler", cluster.address))
    assert (code, out) == (2, "")
    line = rf"novelty: {address} has {told}: install the same on every machine, or stop these workers"
    assert re.fullmatch(line, err.splitlines()[-1])
    assert not started() and not Path("results").exists()


def test_a_worker_with_another_version_cannot_join_while_a_sweep_is_running(
    clone, cluster, start, monkeypatch, tmp_path
):
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: [0, 1]}}")
    cluster.add_worker()
    client = start("--scheduler", cluster.address)
    wait_for(started, "the first run", client)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", elsewhere(tmp_path / "other", "torch"))
        cluster.add_worker()
    late = cluster.workers[-1]
    wait_for(lambda: late.poll() is not None, "the end of the late worker", client)
    assert (
        "ended: for the sweep that is running it has torch 9.9.9 in place of" in (cluster.folder / "2.log").read_text()
    )
    open_gate("0", "1")
    assert ended(client)[0] == 0
    assert recorded() == ["0", "1"]
    with monkeypatch.context() as patch:  # once the sweep has ended, it may
        patch.setenv("PYTHONPATH", elsewhere(tmp_path / "again", "torch"))
        cluster.add_worker()
    wait_for(lambda: "Registered to" in (cluster.folder / "3.log").read_text(), "the worker")


def test_ctrl_c_ends_all_runs_and_keeps_the_records(clone, start):
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: [0, 1, 2]}}")
    client = start("--workers", "2")
    open_gate("0")
    wait_for(lambda: recorded() == ["0"] and len(started()) == 3, "a record and two runs at the gate", client)
    os.killpg(client.pid, signal.SIGINT)  # as a terminal does: to the client and its workers
    code, out, err = ended(client)
    assert code == 130, err
    assert err == "novelty: interrupted; the same command goes on from the runs that are recorded\n"
    assert "done 1, skipped 0, failed 0" in out
    assert not any(alive(pid) for pid in started().values())
    assert recorded() == ["0"]


def pressed_until_it_ends(client: subprocess.Popen) -> None:
    """Ctrl-C again and again, as a terminal sends it: to the client and its workers."""
    deadline = time.monotonic() + PATIENCE
    while client.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGINT)
        time.sleep(0.02)


def catches(pid: int, number: int) -> bool:
    """Whether a process has said what a signal does."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def of_session(leader: int) -> list[str]:
    """The processes that a client and its workers are."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = file.read_text().rpartition(")")
            if rest.split()[3] == str(leader) and rest.split()[0] != "Z":
                found.append(name)
    return found


@pytest.mark.parametrize("moment", ["at once", "as the workers start", "at the gate"])
def test_any_number_of_ctrl_c_ends_a_sweep_with_one_line_and_no_process_left(moment, clone, start):
    sweep(f"parameters: {{gate: {clone / 'gate'}}}\ngrid: {{class_name: [0, 1, 2]}}")
    client = start("--workers", "2")
    open_gate("0")
    if moment == "at once":
        wait_for(lambda: catches(client.pid, signal.SIGTERM), "the beginning", client)
    elif moment == "as the workers start":
        wait_for(lambda: len(of_session(client.pid)) > 1, "a worker", client)
    else:
        wait_for(lambda: recorded() == ["0"] and len(started()) == 3, "a record and two runs at the gate", client)
    pressed_until_it_ends(client)
    code, _, err = ended(client)
    assert code == 130, err
    assert re.fullmatch(r"novelty: interrupted[^\n]*\n", err)
    wait_for(lambda: not of_session(client.pid), "the end of all workers")
    assert not any(alive(pid) for pid in started().values())
    assert moment != "at the gate" or recorded() == ["0"]


# --- the tables of the papers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yml")), ids=lambda file: file.stem)
def test_the_runs_of_a_published_table_are_allowed_and_as_many_as_its_first_line_says(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    listed = sweep_file.read(file, {})
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert int(re.search(r" (\d+) runs?\.$", first).group(1)) == len(listed)
    # no paper's table: in the tier that can be afforded
    if file.stem in ("leaderboard", "rivals", "solar_cells", "readings", "second_look", "ade_gan_length"):
        assert {job.parameters.tier for job in listed} == {"demo"}
    else:
        assert {job.parameters.tier for job in listed} == {"paper"}
        assert file.stem == "full_length" or all(
            file.stem.startswith(job.paper.removesuffix("_defects")) for job in listed
        )
    assert len({job.key for job in listed}) == len(listed)


def test_there_are_sweeps_for_all_papers():
    papers = {checking.find_notebook(str(path)).stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    papers = {paper for paper in papers if not paper.endswith("_evidence")}  # those train nothing
    named = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "sweeps").glob("*.yml"))
    assert {paper for paper in papers if f"notebook: {paper}\n" in named} == papers


def test_several_tables_differ_in_what_the_papers_vary(monkeypatch):
    monkeypatch.chdir(ROOT)
    asked = {
        name: sweep_file.read(ROOT / f"sweeps/{name}.yml", {})
        for name in ("ics_table5", "nln_table4", "ade_gan_table2")
    }
    assert {job.parameters.beta for job in asked["ics_table5"]} == {1e-7, 1e-5, 1e-3, 1e-1}
    assert {job.parameters.n_c for job in asked["ade_gan_table2"]} == {2, 4, 6, 8, 10, 12, 14}
    best = {(job.parameters.dataset, job.parameters.L, job.parameters.alpha) for job in asked["nln_table4"]}
    assert best == {("mnist", 128, 1.0), ("fashion_mnist", 32, 0.9), ("cifar10", 256, 0.75), ("mvtec_ad", 128, 0.8)}


def test_the_examples_of_the_page_are_true(clone, capsys):
    text = (ROOT / "book" / "howto-sweep.md").read_text(encoding="utf-8")
    counts = []
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        Path("page.yml").write_text(re.sub(r"notebook: (\w+)", rf"notebook: {ROOT}/notebooks/\1.ipynb", block))
        counts.append(len(sweep_file.read(Path("page.yml"), {})))
    assert counts == [180, 20]
    assert f"These are {counts[0]} runs." in text
    for seed, method in ((0, "ICS"), (1, "ICS"), (0, "CAE")):
        found = [store.Result(method=method, metric="auroc", value=0.5)]
        changes = {"paper": "ics", "tier": "demo", "seed": seed, "results": found}
        changes |= {"parameters": {"beta": 0.5, "protocol": "one_class"}}
        store.write(RECORD.model_copy(update=changes | {"class_name": method}), "my-sweep")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(block, {})
    assert re.search(r"digits +0\.5 +0\.5 +NaN +1$", capsys.readouterr().out, re.MULTILINE)


def test_own_records_are_set_beside_those_of_the_book_as_the_page_says(clone, capsys):
    text = (ROOT / "book" / "howto-papermill.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "whose" in block]
    for folder, value in (("sweep", 0.25), ("results", 0.75)):
        found = [store.Result(method="ICS", metric="auroc", value=value)]
        changes = {"paper": "ics", "results": found, "parameters": {"protocol": "one_class"}}
        store.write(RECORD.model_copy(update=changes), folder)
    exec(block, {})
    assert re.search(r"digits +0 +smoke +0\.25 +0\.75$", capsys.readouterr().out, re.MULTILINE)


def test_an_unknown_notebook_of_a_file_names_the_file():
    Path("s.yml").write_text("notebook: nobody\ngrid: {seed: [0]}")
    with pytest.raises(InputError, match=r"^s\.yml: .*nobody"):
        sweep_file.read(Path("s.yml"), {})


def test_a_wrong_value_of_the_command_line_is_told_as_one():
    with pytest.raises(InputError, match=r"^s\.yml -p beta=-1: beta='-1'"):
        sweep_file.read(sweep("grid: {seed: [0]}"), {"beta": "-1"})


def test_a_dry_run_does_not_pretend_to_ask_a_cluster(capsys):
    sweep("grid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "leave out --scheduler, or --dry-run" in capsys.readouterr().err


def test_a_dry_run_does_not_pretend_to_heed_the_hours(capsys):
    sweep("grid: {seed: [0]}")
    assert cli.main(["sweep", "s.yml", "--dry-run", "--hours", "2"]) == 2
    assert "leave out --hours, or --dry-run" in capsys.readouterr().err


def test_a_wrong_value_of_a_table_names_its_file():
    with pytest.raises(InputError, match=r"^s\.yml: beta='-1'"):
        sweep_file.read(sweep("grid: {beta: [-1]}"), {})
