"""CRBND (connective reconstruction-based novelty detection), a second reading, written from the paper's text alone.

What the paper leaves open, what is taken here, and why. All of it was written down before any test number was seen.

* Width and depth of the "refined U-Net" (only a drawing): U-Net's own depth of four halvings, so images get a border
  of two zero pixels (28 -> 32); a quarter of U-Net's width (16 to 256 channels), for a CPU. No skip connections from
  encoder to decoder, as the text says.
* Residual blocks: two 3 x 3 convolutions with batch normalisation and ReLU, a 1 x 1 convolution as the shortcut where
  the channels change (He et al., the usual block). One block at each level; upwards a 2 x 2 transposed convolution.
* Output: 1 x 1 convolution as in U-Net, then a sigmoid, because pixels lie in [0, 1]. torch's default initialisation.
* Corruption, equations 1 and 2: its two hyperparameters, "dropout probability" and "low-resolution image size", are
  those of imgaug's CoarseDropout, so imgaug's defaults: p uniform in [0.02, 0.1] and a mask of 3 to 8 cells a side,
  enlarged to the image. The noise has a standard deviation of 0.2, the example in imgaug's documentation; its default
  of at most 15/255 would hardly be seen. Noisy pixels are clipped to [0, 1].
* epsilon of the Charbonnier loss: 0.001, customary. The mean over pixels and images.
* x'_d: three sentences differ on whether the original or the reconstruction is blurred or made noisy. The most explicit
  one says "one of the two operations ... applied to one of the original or reconstructed samples": a coin for each.
  Motion blur with imgaug's defaults, a line of 3 to 7 pixels at any angle; noise of 0.2 as above.
* Label of the negatives: printed as 1 as well, taken as a slip for 0.
* Classifier ("a convolutional neural network"): the MNIST example that came with Keras (two convolutions, pooling,
  dropout, 128 units), the plainest that a reader of 2022 would take. Binary cross-entropy.
* The classifier sees reconstructions of clean images, as in the test phase. Fresh negatives in every epoch; a batch of
  128 holds 64 images as positive and the same 64 as negative.
* Optimiser: Adam, learning rate 0.001, torch's defaults. Epochs: `--epochs` for each of the two networks, fixed.
* Score: minus the classifier's logit. For the autoencoder alone the mean squared error of the clean image; its
  Charbonnier error beside it.
* F1: "positive" is the normal class, as the paper calls it (only then does F1 fall with the share of outliers).
  Threshold: the classifier's own, probability 0.5. Beside it two for both scores: the one that lets through 95 % of the
  held-out normal images, and the best for the draw's labels, called an oracle's. Every normal test image and as
  many random novel ones as the share asks for; mean of five draws.
* A tenth of the training images is held out. It chooses nothing but the 95 % threshold.

Training runs under bf16 autocast, scoring in float32.
"""

import argparse
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score
from torch import nn
from torchvision import datasets

LAMBDA, SIGMA, EPSILON, BATCH = 0.5, 0.2, 1e-3, 128
WIDTHS = (16, 32, 64, 128, 256)  # one for each level, so one halving fewer than numbers
SETS = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)
        self.two, self.norm2 = nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)
        self.short = nn.Identity() if i == o else nn.Conv2d(i, o, 1)

    def forward(self, x):
        return F.relu(self.short(x) + self.norm2(self.two(F.relu(self.norm1(self.one(x))))))


class Autoencoder(nn.Module):
    def __init__(self, widths):
        super().__init__()
        layers, before = [], 1
        for c in widths:
            layers += [nn.MaxPool2d(2)] * (before > 1) + [Residual(before, c)]
            before = c
        for c in widths[-2::-1]:
            layers += [nn.ConvTranspose2d(before, c, 2, stride=2), Residual(c, c)]
            before = c
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))

    def forward(self, x):
        return torch.sigmoid(self.layers(F.pad(x, (2, 2, 2, 2))).float())[..., 2:-2, 2:-2]


def classifier():
    convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    return nn.Sequential(
        *convolutions, nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 1)
    )


def noisy(x):
    return (x + SIGMA * torch.randn_like(x)).clamp(0, 1)


def corrupted(x):
    """Equations 1 and 2: noise, then rectangles set to zero, another mask for every image."""
    beta = torch.zeros_like(x)
    for mask in beta:
        low = torch.rand(1, 1, *torch.randint(3, 9, (2,)).tolist()) < torch.empty(1).uniform_(0.02, 0.1)
        mask.copy_(F.interpolate(low.float(), size=x.shape[-2:])[0])
    noise = noisy(x)
    return noise - beta * noise


def blurred(x):
    """Motion blur: the mean along a line of 3, 5 or 7 pixels at any angle, another one for every image."""
    kernels = torch.zeros(len(x), 1, 7, 7)
    for kernel in kernels:
        half, angle = int(torch.randint(1, 4, (1,))), float(torch.rand(1)) * np.pi
        for t in np.linspace(-half, half, 8 * half + 1):
            kernel[0, round(3 + t * np.sin(angle)), round(3 + t * np.cos(angle))] = 1
    kernels /= kernels.sum((2, 3), keepdim=True)
    return F.conv2d(x.transpose(0, 1), kernels, padding=3, groups=len(x)).transpose(0, 1)


def connected(x, x_):
    return LAMBDA * x + (1 - LAMBDA) * x_


def negative(x, x_):
    """Equation 5: the original and a blurred or noisy copy, of itself or of its reconstruction."""
    coins = torch.rand(2, len(x), 1, 1, 1) < 0.5
    source = torch.where(coins[0], x, x_)
    return connected(x, torch.where(coins[1], blurred(source), noisy(source)))


def fit(network, loss, inputs, epochs, batch, what):
    """Adam over shuffled batches of `inputs`; returns the mean loss of the last epoch and the number of steps."""
    network.train().to(memory_format=torch.channels_last)
    optimiser, steps, start = torch.optim.Adam(network.parameters(), lr=1e-3), 0, time.time()
    for epoch in range(epochs):
        losses = []
        for rows in torch.randperm(len(inputs[0])).split(batch):
            with torch.autocast("cpu", torch.bfloat16):
                value = loss(network, *(x[rows] for x in inputs))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses.append(float(value.detach()))
            steps += 1
        print(f"{what} epoch {epoch + 1}: loss {np.mean(losses):.4f}, {time.time() - start:.0f} s", flush=True)
    network.eval()
    return float(np.mean(losses)), steps


def charbonnier(x, x_):
    return ((x - x_) ** 2 + EPSILON**2).sqrt()


def rebuild_loss(network, x):
    return charbonnier(x, network(corrupted(x))).mean()


def tell_loss(network, x, x_):
    out = network(torch.cat([connected(x, x_), negative(x, x_)])).float().flatten()
    return F.binary_cross_entropy_with_logits(out, (torch.arange(2 * len(x)) < len(x)).float())


@torch.no_grad()
def apply(network, x):
    return torch.cat([network(part) for part in x.split(500)])


def scored(network, x, x_):
    """Higher is more novel."""
    return {
        "classifier": -apply(network, connected(x, x_)).flatten(),
        "autoencoder": ((x - x_) ** 2).mean((1, 2, 3)),
        "autoencoder_charbonnier": charbonnier(x, x_).mean((1, 2, 3)),
    }


def f1_scores(scores, novel, threshold, draws):
    """F1 of the normal class at 10 to 50 % outliers, at a fixed threshold (None: the best for the labels)."""
    means = {}
    for share in (10, 20, 30, 40, 50):
        values = []
        for draw in range(draws):
            inliers = np.flatnonzero(~novel)
            count = min(round(len(inliers) * share / (100 - share)), int(novel.sum()))
            outliers = np.random.default_rng(draw).choice(np.flatnonzero(novel), count, replace=False)
            rows = np.concatenate([inliers, outliers])
            if threshold is None:
                precision, recall, _ = precision_recall_curve(~novel[rows], -scores[rows])
                values.append(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
            else:
                values.append(f1_score(~novel[rows], scores[rows] <= threshold))
        means[str(share)] = float(np.mean(values))
    return means


def spread(values):
    """How much the outputs differ between images: the mean deviation of an output unit."""
    return float(values.flatten(1).std(0).mean())


def run(images, tests, labels, name, epochs, seed, widths=WIDTHS):
    """`images`: normal training images; `tests`, `labels`: test images with their class; all uint8, n x 28 x 28."""
    torch.manual_seed(seed)
    images, test = images[:, None].float() / 255, tests[:, None].float() / 255
    order = torch.randperm(len(images))
    hold, x = images[order[: len(order) // 10]], images[order[len(order) // 10 :]]
    autoencoder = Autoencoder(widths)
    rebuild, steps = fit(autoencoder, rebuild_loss, [x], epochs, BATCH, "autoencoder")
    x_, hold_, test_ = (apply(autoencoder, part) for part in (x, hold, test))
    network = classifier()
    tell, more = fit(network, tell_loss, [x, x_], epochs, BATCH // 2, "classifier")
    scores, held = scored(network, test, test_), scored(network, hold, hold_)
    bad = -apply(network, negative(hold, hold_)).flatten()
    out = torch.cat([held["classifier"], bad])
    losses = {"autoencoder_train": rebuild, "autoencoder_held_out": float(charbonnier(hold, hold_).mean())}
    losses["classifier_train"] = tell
    losses["classifier_held_out"] = float(F.softplus(torch.cat([held["classifier"], -bad])).mean())
    losses["classifier_held_out_accuracy"] = float(torch.cat([held["classifier"] < 0, bad > 0]).float().mean())
    novel = (labels != name).numpy()
    f1 = {"classifier, probability 0.5": f1_scores(scores["classifier"].numpy(), novel, 0.0, 5)}
    for part in ("classifier", "autoencoder"):
        threshold = float(held[part].quantile(0.95))
        f1[f"{part}, 95 % of held-out normals"] = f1_scores(scores[part].numpy(), novel, threshold, 5)
        f1[f"{part}, oracle"] = f1_scores(scores[part].numpy(), novel, None, 5)
    return {
        "steps": {"autoencoder": steps, "classifier": more},
        "losses": losses,
        "dead": {"autoencoder": spread(hold_) < 1e-3, "classifier": spread(out[:, None]) < 1e-3},
        "spread": {"autoencoder": spread(hold_), "classifier": spread(out[:, None])},
        "auroc": {part: float(roc_auc_score(novel, values.numpy())) for part, values in scores.items()},
        "f1_of_the_normal_class_at_percent_of_outliers": f1,
    }


def add(path, entry):
    """Put the entry into the list at `path`, in place of one of the same run; written whole or not at all."""
    same = ("paper", "dataset", "class", "seed", "epochs", "widths")
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries = [e for e in old if [e.get(k) for k in same] != [entry.get(k) for k in same]] + [entry]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def provenance(train):
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":")[1].strip() for line in cpus.splitlines() if line.startswith("model name")), "unknown")
    file = Path(train.raw_folder, "train-images-idx3-ubyte")
    return {
        "checksum": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "cpu": name,
        "torch": torch.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description="CRBND, a second reading")
    parser.add_argument("--dataset", choices=SETS, default="mnist")
    parser.add_argument("--class", dest="name", required=True, help="the normal class, as the data set calls it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--widths", help="channels at each level, such as 16,32,16: other depths, kept in a file apart")
    parser.add_argument("--output", type=Path, default=Path("results/second_look/crbnd.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = os.environ["NOVELTY_DATA"]
    train, test = (SETS[args.dataset](root, train=part) for part in (True, False))
    number = next(i for i, name in enumerate(train.classes) if args.name in (str(i), name))
    entry = {"paper": "crbnd", "dataset": args.dataset, "class": args.name, "seed": args.seed, "epochs": args.epochs}
    widths = tuple(map(int, args.widths.split(","))) if args.widths else WIDTHS
    if args.widths:
        narrowest = widths[-1] * (32 >> (len(widths) - 1)) ** 2
        entry |= {"widths": list(widths), "halvings": len(widths) - 1, "narrowest": narrowest}
        args.output = args.output.with_name(f"{args.output.stem}_depth.json")
    entry |= provenance(train)
    start = time.time()
    entry |= run(train.data[train.targets == number], test.data, test.targets, number, args.epochs, args.seed, widths)
    entry["seconds"] = round(time.time() - start, 1)
    entry["cpu_seconds"] = round(time.process_time(), 1)
    add(args.output, entry)
    print(json.dumps(entry))


if __name__ == "__main__":
    main()
