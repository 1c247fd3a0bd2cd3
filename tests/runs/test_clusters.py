"""The files for Slurm and Kubernetes: the one run with a stand-in for its commands, the other read as far as we can."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

pytestmark = pytest.mark.slow

CLUSTERS = Path(__file__).parents[2] / "sweeps" / "clusters"
# Jobs beyond the second stay in the queue, as they may.
SBATCH = """#!/usr/bin/env bash
set -eu
cp "$1" "$JOBS/$$.sh"
if mkdir "$JOBS.first" || mkdir "$JOBS.second"; then
  setsid bash "$JOBS/$$.sh" > "$JOBS.$$.log" 2>&1 & echo $! > "$JOBS.$$.pid"
fi 2> /dev/null
echo "Submitted batch job $$"
"""
SCANCEL = """#!/usr/bin/env bash
for n in "$@"; do
  echo "$n" >> "$JOBS.cancelled"
  [ ! -e "$JOBS.$n.pid" ] || kill -- -"$(cat "$JOBS.$n.pid")"
done
"""
CELLS = {
    "parameters": 'dataset = "digits"\nclass_name = "0"\ntier = "smoke"\nseed = 0\ndevice = "cpu"\nresults = "results"',
    "schema": "from novelty_utils.params import RunParameters\n\nclass P(RunParameters): ...\n\np = P.check(globals())",
    "work": """import json
from pathlib import Path
from novelty_utils.records import Record, Result, write
write(Record(version=1, paper="tiny", tier="smoke", dataset="digits", class_name=p.class_name, seed=0,
    parameters=p.model_dump(exclude={"device", "results", "class_name"}), data={"name": "digits", "checksum": "abc"},
    results=[Result(method="m", metric="auroc", value=0.5)], training={},
    machine={"gpu": None, "cpu": "c", "threads": 1}, code={"commit": None}, seconds=1.0, peak_memory_mb=1,
    created="2000-01-01T00:00:00Z"), p.results)""",
}


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder with a notebook that writes a record, a sweep of two runs, and the commands of Slurm."""
    cells = [{"cell_type": "code", "metadata": {"tags": [tag]}, "source": source} for tag, source in CELLS.items()]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "tiny.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5}))
    (tmp_path / "s.yml").write_text("notebook: tiny\ngrid: {class_name: [0, 1]}\n")
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "jobs").mkdir()
    return tmp_path


def test_a_sweep_runs_on_the_jobs_that_slurm_starts_and_cancels_them_at_its_end(clone):
    path = os.pathsep.join([str(clone / "bin"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "JOBS": str(clone / "jobs"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(CLUSTERS / "slurm.py"), "s.yml", "-p", "results=mine"]
    done = subprocess.run(words, cwd=clone, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "done 2, skipped 0, failed 0" in done.stdout
    assert sorted(path.name[0] for path in clone.glob("mine/tiny/digits/*.json")) == ["0", "1"]
    jobs = sorted((clone / "jobs").iterdir())
    assert len(jobs) == 8
    for job in jobs:
        assert subprocess.run(["bash", "-n", job], check=False).returncode == 0
        assert {"#SBATCH --gres=gpu:1", "#SBATCH -n 1"} <= set(job.read_text().splitlines())
    assert len((clone / "jobs.cancelled").read_text().split()) == 8


@pytest.fixture(scope="module")
def kubernetes() -> dict:
    return yaml.safe_load((CLUSTERS / "kubernetes.yaml").read_text(encoding="utf-8"))


def test_the_cluster_is_one_of_the_operator_and_its_parts_name_each_other(kubernetes):
    assert (kubernetes["apiVersion"], kubernetes["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    assert set(kubernetes["spec"]) == {"worker", "scheduler"}
    scheduler, service = kubernetes["spec"]["scheduler"]["spec"], kubernetes["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == kubernetes["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in scheduler["containers"][0]["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports == {
        "tcp-comm": 8786,
        "http-dashboard": 8787,
    }  # fmt: skip


def test_workers_and_scheduler_are_of_one_image_and_are_started_as_dask_understands(kubernetes):
    (worker,) = kubernetes["spec"]["worker"]["spec"]["containers"]
    (scheduler,) = kubernetes["spec"]["scheduler"]["spec"]["containers"]
    assert worker["image"] == scheduler["image"]
    assert worker["args"][:2] == ["dask", "worker"] and scheduler["args"] == ["dask", "scheduler"]
    understood = dask_worker.main.make_context("worker", worker["args"][2:]).params
    assert (understood["nthreads"], understood["resources"]) == (1, "GPU=1")
    dask_scheduler.main.make_context("scheduler", scheduler["args"][2:])
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"  # text: the operator's schema refuses a number
    volumes = {volume["name"] for volume in kubernetes["spec"]["worker"]["spec"]["volumes"]}
    assert {mount["name"] for mount in worker["volumeMounts"]} == volumes
