"""A sweep on a cluster with Slurm: workers are jobs that dask-jobqueue submits, one GPU each.

    .venv/bin/pip install dask-jobqueue
    .venv/bin/python sweeps/clusters/slurm.py sweeps/ics_table1.yml -p results=mine

Start it where jobs can be submitted and compute nodes can connect to, from a clone that all nodes see: a login node in
tmux, or a small job of its own. What follows after the file is for `novelty sweep`. Change the values below to those
of your cluster. We have no Slurm: this file was tried with a stand-in for sbatch that starts the job on one machine.
"""

import subprocess
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster

WORKERS = 8
cluster = SLURMCluster(
    cores=1,  # a worker runs one notebook at a time
    processes=1,
    memory="16GB",
    walltime="08:00:00",  # a run that this cuts off starts again on another worker
    queue=None,  # the partition, where there is more than one
    account=None,
    interface=None,  # of the network between the nodes, such as "ib0", where there are several
    job_extra_directives=["--gres=gpu:1"],  # leave these two out for processors alone
    worker_extra_args=["--resources", "GPU=1"],
    python=sys.executable,  # the same environment everywhere: `novelty sweep` refuses workers of another
    log_directory="slurm-logs",
)
with cluster:
    cluster.scale(jobs=WORKERS)
    command = [Path(sys.executable).with_name("novelty"), "sweep", *sys.argv[1:], "--scheduler"]
    sys.exit(subprocess.call([*command, cluster.scheduler_address]))
