"""Measure the trainer and the neighbour search, as ratios within one run: `make bench`.

The trainer against a bare PyTorch loop of the same network, bf16 against fp32, against PyOD's AutoEncoder, and against
what the device can do at most: everything compared is repeated in turns, and the median of the ratios is shown,
because a busy machine slows down one turn as a whole. On a GPU also the ten networks of a table, recorded or not.
The search as bench_neighbours.py says. Writes nothing, unless `--output FILE` asks for the table as JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder as PyODAutoEncoder
from pyod.models.auto_encoder import AutoEncoderModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

import bench_neighbours
from bench_table import Row, row, seconds, show
from novelty_utils import detectors, files, training
from novelty_utils.data import datasets, protocols
from novelty_utils.errors import InputError
from novelty_utils.evaluation import metrics
from novelty_utils.records import provenance
from novelty_utils.training import backends

BATCH, IMAGES, REPEATS = 64, 512, 5
AUROC_CLASSES, AUROC_SEEDS, AUROC_EPOCHS, AUROC_BATCH = (0, 3, 8), (0, 1), 40, 16
PYOD_EPOCHS, PYOD_BATCH, PYOD_LAYERS = 100, 32, [64, 32]
TABLE_STEPS = (50, 250)
WAYS = {  # to train the detectors of a table on a GPU
    "replayed": {},
    "launched": {"replay": False},
}
SIDE = {"cpu": 1536, "cuda": 8192}  # of the matrices whose product shows what the device can do


# --- what is trained -----------------------------------------------------------------------------------------------


def ics_autoencoder() -> nn.Module:
    """The network of the ICS notebook, for one channel."""
    return detectors.load("ics").Autoencoder(channels=1)


def squared_error(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"loss": (model(batch["all"]).float() - batch["all"]).square().mean()}


def ours(model: nn.Module, images: Tensor, index: Tensor, precision: str, epochs: int = 1, batch: int = BATCH) -> None:
    one = training.Job(model, {"all": index}, seed=0)
    training.fit([one], images, [training.Objective(squared_error)], epochs=epochs, batch=batch, precision=precision)


def bare(model: nn.Module, images: Tensor, precision: str) -> None:
    """What one would write by hand for one epoch; images float32 in [0, 1], already on the device."""
    model = model.to(images.device, memory_format=torch.channels_last).train()
    adam = torch.optim.Adam(model.parameters(), fused=True)
    for part in torch.randperm(len(images), device=images.device).split(BATCH):
        X = images[part]
        with backends.autocast(images.device, precision):
            loss = (model(X).float() - X).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()


# --- the measurements of the trainer -------------------------------------------------------------------------------


def throughput(make: Callable[[], nn.Module], device: torch.device, bar: tqdm) -> tuple[list[Row], dict[str, float]]:
    """Ours against the bare loop, and bf16 against fp32: rows, and our images per second by precision."""
    images = torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
    resident = (images.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
    model, index = training.build(make, 0), torch.arange(IMAGES)
    took: dict[tuple[str, str], list[float]] = {}
    for turn in range(REPEATS + 1):
        for precision in ("fp32", "bf16"):
            works = {
                "ours": lambda p=precision: ours(copy.deepcopy(model), images, index, p),
                "bare": lambda p=precision: bare(copy.deepcopy(model), resident, p),
            }
            for name in sorted(works, reverse=turn % 2 == 0):  # who comes first changes from turn to turn
                took.setdefault((name, precision), []).append(seconds(works[name], device))
        bar.update()
    took = {key: times[1:] for key, times in took.items()}  # the first turn only warms up
    rows = []
    for precision in ("fp32", "bf16"):
        rows.append(row(f"ours, {precision}", IMAGES / median(took["ours", precision]), "images/s"))
        rows.append(row(f"bare PyTorch loop, {precision}", IMAGES / median(took["bare", precision]), "images/s"))
        ratio = median_ratio(took["bare", precision], took["ours", precision])
        rows.append(row(f"ours / bare loop, {precision}", ratio, "x", ">= 0.95", ratio >= 0.95))
    rows.append(row("bf16 / fp32, ours", median_ratio(took["ours", "fp32"], took["ours", "bf16"]), "x"))
    return rows, {precision: IMAGES / median(took["ours", precision]) for precision in ("fp32", "bf16")}


def median_ratio(one: list[float], other: list[float]) -> float:
    return median(a / b for a, b in zip(one, other, strict=True))


def auroc(network: nn.Module, images: Tensor, split: protocols.Split) -> float:
    """AUROC of the reconstruction error on the test images."""
    copies = training.apply(network.eval(), images, split.test)
    errors = (copies - images[split.test].float() / 255).square().flatten(1).sum(1)
    return metrics.auroc(split.reveal(), errors.numpy())[0]


def precision_and_auroc(make: Callable[[], nn.Module], bar: tqdm) -> list[Row]:
    """What bf16 does to the AUROC on digits: mean difference over classes and seeds."""
    digits = datasets.load("digits")
    images = datasets.to_side(digits.images, 32)
    found: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for normal in AUROC_CLASSES:
        for seed in AUROC_SEEDS:
            split = protocols.one_class(digits, normal, 4000, seed)
            for precision, values in found.items():
                model = training.build(make, seed)
                ours(model, images, split.train, precision, AUROC_EPOCHS, AUROC_BATCH)
                values.append(auroc(model, images, split))
            bar.update()
    differences = np.subtract(found["bf16"], found["fp32"])
    change, error = differences.mean(), stdev(differences) / len(differences) ** 0.5
    return [
        *(row(f"AUROC on digits, {precision}", mean(values), "") for precision, values in found.items()),
        row("AUROC bf16 - fp32, mean", change, "", "within 0.005", abs(change) <= 0.005),
        row("AUROC bf16 - fp32, standard error of it", error, ""),
    ]


class TimedPyOD(PyODAutoEncoder):
    """PyOD's detector; `seconds` is its training alone, without the scoring that its `fit` adds."""

    def train(self, train_loader: object) -> None:
        self.seconds = seconds(lambda: super(TimedPyOD, self).train(train_loader), torch.device(self.device))


def pyod_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), AutoEncoderModel(64, PYOD_LAYERS), nn.Unflatten(1, (1, 8, 8)))


def against_pyod(device: torch.device, bar: tqdm) -> list[Row]:
    """PyOD's network on the same images, trained by PyOD and by us in turns: same layers, batch, epochs, Adam, loss."""
    digits = datasets.load("digits")
    splits = [protocols.one_class(digits, normal, 4000, seed=0) for normal in range(10)]
    took: dict[str, list[float]] = {"PyOD": [], "alone": []}
    found: dict[str, list[float]] = {"PyOD": [], "alone": []}
    for split in splits:
        peer = pyod(split, digits, device)
        took["PyOD"].append(peer.seconds)
        found["PyOD"].append(metrics.auroc(split.reveal(), peer.decision_function(flat(digits, split.test)))[0])
        model = training.build(pyod_model, 0)
        work = lambda m=model, s=split: ours(m, digits.images, s.train, "fp32", PYOD_EPOCHS, PYOD_BATCH)  # noqa: E731
        took["alone"].append(seconds(work, device))
        found["alone"].append(auroc(model, digits.images, split))
        bar.update()
    ratio = median_ratio(took["PyOD"], took["alone"])
    return [
        row("PyOD, per detector", median(took["PyOD"]), "s"),
        row("ours, per detector", median(took["alone"]), "s"),
        row("PyOD / ours", ratio, "x", ">= 3", ratio >= 3),
        row("AUROC of PyOD", mean(found["PyOD"]), ""),
        row("AUROC of ours", mean(found["alone"]), ""),
    ]


def flat(digits: datasets.Dataset, index: Tensor) -> np.ndarray:
    return digits.images[index].flatten(1).numpy() / 255


def pyod(split: protocols.Split, digits: datasets.Dataset, device: torch.device) -> TimedPyOD:
    peer = TimedPyOD(
        preprocessing=False,
        epoch_num=PYOD_EPOCHS,
        batch_size=PYOD_BATCH,
        hidden_neuron_list=PYOD_LAYERS,
        optimizer_params={"weight_decay": 0.0},
        device=device,
        random_state=0,
        verbose=0,
    )
    return peer.fit(flat(digits, split.train))


def arithmetic(make: Callable[[], nn.Module], device: torch.device, rate: dict[str, float], bar: tqdm) -> list[Row]:
    """FLOP/s that our training achieves beside what a large matrix product achieves on this device."""
    model = training.build(make, 0).to(device)
    with FlopCounterMode(display=False) as counter:
        squared_error(model, {"all": torch.rand(BATCH, 1, 32, 32, device=device)})["loss"].backward()
    per_image = counter.get_total_flops() / BATCH
    rows = [row("work per training image", per_image / 1e9, "GFLOP")]
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        peak = matrix_product(device, dtype)
        rows.append(row(f"ours, {precision}", rate[precision] * per_image / 1e9, "GFLOP/s"))
        rows.append(row(f"matrix product, {precision}", peak / 1e9, "GFLOP/s"))
        rows.append(row(f"share of the matrix product, {precision}", rate[precision] * per_image / peak, ""))
        bar.update()
    return rows


def joined_maps(make: Callable[[], nn.Module], device: torch.device, bar: tqdm) -> list[Row]:
    """The step of ICS's autoencoder with its block 11 as the paper writes it, on enlarged maps, against ours."""
    model = training.build(make, 0).to(device, memory_format=torch.channels_last)
    X = torch.rand(BATCH, 1, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    ways = {"sooner": type(model.decoder).join_and_double, "as written": enlarge_and_join}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS + 1):
        for name, way in ways.items():
            model.decoder.join_and_double = partial(way, model.decoder)
            took[name].append(seconds(lambda: squared_error(model, {"all": X})["loss"].backward(), device))
    bar.update()
    ratio = median_ratio(took["as written"][1:], took["sooner"][1:])
    return [row("enlarged maps / maps multiplied first, fp32", ratio, "x", ">= 1.3", ratio >= 1.3)]


def enlarge_and_join(decoder: nn.Module, maps: list[Tensor]) -> Tensor:
    return decoder.block11(torch.cat([nn.functional.interpolate(r, maps[-1].shape[2:]) for r in maps], 1))


def one_by_one(jobs: list[training.Job], images: Tensor, how: dict[str, bool]) -> None:
    training.fit(jobs, images, [training.Objective(squared_error)], epochs=1, batch=BATCH, **how)


def table_of_ten(make: Callable[[], nn.Module], images: Tensor, bar: tqdm) -> list[Row]:
    """Milliseconds that one step of all ten networks takes, in both ways, and whether replaying changes a weight."""
    rows, took, ends = [], {}, {}
    for name, how in WAYS.items():
        times = []
        for steps in (TABLE_STEPS[0], *TABLE_STEPS):  # the first only warms up
            index = torch.arange(len(images)).repeat(steps * BATCH // len(images) + 1)[: steps * BATCH]
            ones = [training.Job(training.build(make, seed), {"all": index}, seed) for seed in range(10)]
            times.append(seconds(partial(one_by_one, ones, images, how), training.pick_device()))
            ends[name] = torch.cat([w.detach().float().flatten().cpu() for w in ones[0].model.parameters()])
        took[name] = 1000 * (times[2] - times[1]) / (TABLE_STEPS[1] - TABLE_STEPS[0])
        rows.append(row(name, took[name], "ms/step"))
        bar.update()
    replayed, launched = list(WAYS)[:2]
    ratio, moved = took[launched] / took[replayed], float((ends[launched] - ends[replayed]).abs().max())
    rows.append(row("launched / replayed", ratio, "x", ">= 5", ratio >= 5))
    return [*rows, row("largest change of a weight by replaying", moved, "", "0", moved == 0)]


def matrix_product(device: torch.device, dtype: torch.dtype) -> float:
    """The best of some products of square matrices, in FLOP/s."""
    n = SIDE[device.type]
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(12))


# --- in one run ----------------------------------------------------------------------------------------------------


def measure() -> dict[str, object]:
    """All rows, under the titles of the table, with the machine they were measured on."""
    device = training.pick_device()
    make = ics_autoencoder
    load = os.getloadavg()[0]
    gpu = device.type == "cuda"
    total = len(WAYS) * gpu + REPEATS + 1 + len(AUROC_CLASSES) * len(AUROC_SEEDS) + 10 + 3 + bench_neighbours.steps()
    with tqdm(total=total, desc="bench", unit="part") as bar:
        speed, rate = throughput(make, device, bar)
        accuracy = precision_and_auroc(make, bar)
        peer = against_pyod(device, bar)
        work = joined_maps(make, device, bar) + arithmetic(make, device, rate, bar)
        search = bench_neighbours.table(bar)
        pictures = torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
        ten = {f"Ten ICS autoencoders, batch {BATCH}": table_of_ten(make, pictures, bar)} if gpu else {}
    tables = ten | {
        f"Training the ICS autoencoder, batch {BATCH}, 1 x 32 x 32": speed,
        f"bf16 and the AUROC: {len(AUROC_CLASSES)} digits as normal class, {len(AUROC_SEEDS)} seeds": accuracy,
        f"PyOD's AutoEncoder 64-64-32-64-64, each digit normal, batch {PYOD_BATCH}, {PYOD_EPOCHS} epochs": peer,
        "Arithmetic": work,
        bench_neighbours.title(): search,
    }
    return {"machine": provenance.machine() | {"device": device.type, "load_before": round(load, 2)}, "tables": tables}


def main() -> int:
    """Exit codes: 0 measured, 2 the input was refused. A missed target is shown, it is not a failure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there as JSON too")
    output = parser.parse_args().output
    try:
        if output and (output.is_dir() or not output.absolute().parent.is_dir()):
            raise InputError(f"--output {output}: give a file in a folder that exists")
        report = measure()
        show(report)
        if output:
            text = json.dumps(report, indent=1) + "\n"
            files.write_atomically(output, lambda file: file.write(text.encode()))
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
