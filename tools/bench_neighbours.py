"""Measure the neighbour search against scikit-learn and faiss: a part of `make bench`.

    python tools/bench_neighbours.py    this table alone, some minutes

Every library gets the same number of threads; they take turns, and the fastest turn of each counts, because a busy
machine only ever adds time. The trees take minutes for all queries, so they get some and their time is scaled up.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from bench_table import Row, row, seconds, show
from novelty_utils import training
from novelty_utils.evaluation import neighbours
from novelty_utils.records import provenance

BANK, QUERIES, L, K = 54_000, 10_000, 128, 5  # nine tenths of MNIST's training part, and its test part
TREE_QUERIES, TURNS = 500, 4
SLOWEST = 1.2  # times the peer's time
CPU = torch.device("cpu")

Search = Callable[[], np.ndarray]  # gives the indices, int64 (queries, K)


def title() -> str:
    return f"Neighbours on the CPU: {QUERIES} queries, {BANK} codes, L = {L}, K = {K}"


def steps() -> int:
    """How often `table` moves the progress bar."""
    return 1 + TURNS * len(thread_counts()) + 2


def thread_counts() -> list[int]:
    return sorted({1, os.cpu_count() or 1})


def table(bar: tqdm) -> list[Row]:
    """All rows; the codes are drawn from a Gaussian mixture of ten classes."""
    queries, bank = codes(QUERIES, BANK)
    rows = memory()
    bar.update()
    found, best = {}, {}
    for threads in thread_counts():
        took, found = brute_force(queries, bank, threads, bar)
        rows += against_brute_force(took, threads)
        best[threads] = took["ours"]
    rows += against_trees(queries, bank, best[1], found["ours"], bar)
    rows.append(agreement("same neighbours: scikit-learn brute", found["ours"], found["scikit-learn brute"]))
    rows += against_rounding(queries, bank, found["ours"], found["faiss flat"])
    return rows + (on_the_gpu(queries, bank, found["ours"]) if torch.cuda.is_available() else [])


def codes(n: int, m: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(
        10, L, generator=generator
    )  # as far apart as they are wide; trees gain where they are farther
    classes = torch.randint(10, (n + m,), generator=generator)
    return (centres[classes] + torch.randn(n + m, L, generator=generator)).split([n, m])


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """The same number of threads for PyTorch, faiss, and the libraries below scikit-learn."""
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


def timed(search: Search) -> tuple[float, np.ndarray]:
    kept = []
    return seconds(lambda: kept.append(search()), CPU), kept[0]


# --- against other brute force -------------------------------------------------------------------------------------


def brute_force(
    queries: Tensor, bank: Tensor, threads: int, bar: tqdm
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Seconds of the fastest turn, and the indices, of each search; building an index counts."""
    searches: dict[str, Search] = {
        "ours": lambda: neighbours.nearest(queries, bank, K)[1].numpy(),
        "scikit-learn brute": lambda: scikit_learn("brute", queries, bank),
        "faiss flat": lambda: faiss_flat(queries, bank),
    }
    took: dict[str, list[float]] = {name: [] for name in searches}
    found = {}
    with limited(threads):
        for turn in range(TURNS):
            for name in sorted(searches, reverse=turn % 2 == 0):  # who comes first changes from turn to turn
                time, found[name] = timed(searches[name])
                took[name].append(time)
            bar.update()
    return {name: min(times) for name, times in took.items()}, found


def scikit_learn(algorithm: str, queries: Tensor, bank: Tensor) -> np.ndarray:
    fitted = NearestNeighbors(n_neighbors=K, algorithm=algorithm).fit(bank.numpy())
    return fitted.kneighbors(queries.numpy(), return_distance=False)


def faiss_flat(queries: Tensor, bank: Tensor) -> np.ndarray:
    index = faiss.IndexFlatL2(L)
    index.add(bank.numpy())
    return index.search(queries.numpy(), K)[1]


def against_brute_force(took: dict[str, float], threads: int) -> list[Row]:
    label = f", {threads} thread" + "s" * (threads > 1)
    rows = [row(name + label, time, "s") for name, time in took.items()]
    for peer in ("scikit-learn brute", "faiss flat"):
        ratio = took["ours"] / took[peer]
        rows.append(row(f"ours / {peer}{label}", ratio, "x", f"<= {SLOWEST}", ratio <= SLOWEST))
    return rows


def agreement(what: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    share = (ours[: len(theirs)] == theirs).mean()
    return row(what, share, "", "1", share == 1)


def against_rounding(queries: Tensor, bank: Tensor, ours: np.ndarray, theirs: np.ndarray) -> list[Row]:
    """faiss ranks in float32 and so exchanges codes that are almost equally near; none of its finds may be nearer."""
    nearer = (distances(queries, bank, theirs) < distances(queries, bank, ours)).mean()
    return [
        row("same neighbours: faiss flat, in float32", (ours == theirs).mean(), ""),
        row("faiss flat found a nearer one", nearer, "", "0", nearer == 0),
    ]


def distances(queries: Tensor, bank: Tensor, indices: np.ndarray) -> np.ndarray:
    """The distances to the codes of these indices, from the differences in float64, ascending."""
    pairs = zip(queries.split(500), torch.from_numpy(indices).split(500), strict=True)
    parts = [(q.double()[:, None] - bank[i].double()).square().sum(2).sqrt() for q, i in pairs]
    return torch.cat(parts).sort(dim=1).values.numpy()


# --- against trees -------------------------------------------------------------------------------------------------


def against_trees(queries: Tensor, bank: Tensor, best: float, ours: np.ndarray, bar: tqdm) -> list[Row]:
    """The paper's kind of search, on one thread, as scikit-learn's trees use only one."""
    rows, some = [], queries[:TREE_QUERIES]
    for algorithm, name in (("ball_tree", "ball tree"), ("kd_tree", "k-d tree")):
        with limited(1):
            build, _ = timed(lambda a=algorithm: scikit_learn(a, some[:1], bank))
            both, found = timed(lambda a=algorithm: scikit_learn(a, some, bank))
        time = build + max(0.0, both - build) * len(queries) / len(some)
        rows.append(row(f"{name}, scaled up from {len(some)} queries", time, "s"))
        rows.append(row(f"{name} (scaled up) / ours, 1 thread", time / best, "x"))
        rows.append(agreement(f"same neighbours: {name}, {len(some)} queries", ours, found))
        bar.update()
    return rows


# --- memory, and a GPU ---------------------------------------------------------------------------------------------


def memory() -> list[Row]:
    """What the search needs at most beyond the codes, measured in a process of its own; Linux alone tells."""
    if not Path("/proc/self/status").exists():
        return []
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        needed = pool.submit(extra_memory, QUERIES, BANK).result()
    matrix = QUERIES * BANK * 4 / 2**20
    limit = max(100, matrix / 10)  # a process that starts to compute takes some MB in any case
    return [
        row("memory beyond the codes", needed, "MB", f"<= {limit:.0f}", needed <= limit),
        row("the matrix of all distances would take", matrix, "MB"),
    ]


def extra_memory(n: int, m: int) -> float:
    queries, bank = codes(n, m)
    before = status("VmRSS")
    neighbours.nearest(queries, bank, K)
    return status("VmHWM") - before


def status(name: str) -> float:
    """A figure of this process in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024


def on_the_gpu(queries: Tensor, bank: Tensor, ours: np.ndarray) -> list[Row]:
    device = torch.device("cuda")
    queries, bank = queries.to(device), bank.to(device)
    times = [seconds(lambda: neighbours.nearest(queries, bank, K), device) for _ in range(TURNS + 1)]
    found = neighbours.nearest(queries, bank, K)[1].cpu().numpy()
    return [row("ours, on the GPU", min(times), "s"), agreement("same neighbours: ours, on the GPU", ours, found)]


def main() -> int:
    load = os.getloadavg()[0]
    with tqdm(total=steps(), desc="bench", unit="part") as bar:
        rows = table(bar)
    device = training.pick_device().type
    machine = provenance.machine() | {"device": device, "load_before": round(load, 2)}
    show({"machine": machine, "tables": {title(): rows}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
