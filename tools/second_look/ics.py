"""ICS (one-class feature learning by intra-class splitting), a second reading, written from the paper's text alone.

What the paper leaves open, what is taken here, and why. All of it was written down before any test number was seen.

* Optimiser: Adam, Keras's defaults (0.001, epsilon 1e-7), because the paper names Keras and nothing else; a new one in
  the third stage. Likewise Glorot's uniform initialisation, zero biases, batch normalisation with momentum 0.99 and
  epsilon 0.001, transposed convolutions with "same" padding (the last row and column are cut off).
* Epochs: `--epochs` for the first stage and as many for the third; fixed, nothing is chosen by a score.
* Reconstruction loss: equation 2 is a sum over pixels; the text calls it mean squared error, in Keras a mean.
  The equation, because equations 3 and 4 print their 1/L and this one none. `--reconstruction mean` is the other.
* Batch of the third stage: equation 4 pairs the j-th atypical with the j-th typical image and divides both by B, so
  64 typical and 64 atypical images a step, in one pass through the network (one set of batch statistics). An epoch goes
  once through the typical images; the atypical ones are drawn anew for every step. A partner i != j is
  the neighbour in the shuffled batch. The reconstruction loss is the mean over all 128.
* Where text and tables differ (batch normalisation after the fifth convolution, "almost symmetric"), Tables 2 and 3.
* L2 of 1e-6: Keras's way, 1e-6 times the sum of squared kernels, transposed convolutions too, no biases.
* SSIM: TensorFlow's `tf.image.ssim` (a Gaussian of 11 pixels and deviation 1.5, as Wang et al.), on the padded images
  of 32 x 32, of which the network is in its test mode. The worst rho = 10 % are atypical.
* CAE and CLS "share the architecture": all three go on from the same first stage for the same number of epochs,
  CAE with reconstruction alone, CLS with closeness of all images added (batches of 64), ICS as above.
* Training images: 4000 normal ones at random; the other 2000 are held out, for losses only. Test images: the official
  ones (the paper's text swaps "9000 normal" and "1000 abnormal" once; its first sentence is taken).
* One-class SVM: scikit-learn's, nu 0.1, gamma 1/features, fitted on the codes of all 4000 images, unscaled. PCA:
  64 components of the training images, not whitened.
* Balanced accuracy: the threshold is the best on a random 20 % of the test images, labels included, as footnote 3 says.
  It is read off the other 80 %. An oracle's, therefore; beside it, on the same 80 %, the SVM's own threshold.
* AUROC: all test images.

Training runs under bf16 autocast except for the codes, which a bf16 sigmoid would round to 1/256; scoring in float32.
"""

import argparse
import copy
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve
from sklearn.svm import OneClassSVM
from torch import nn
from torchvision import datasets

ALPHA, BETA1, BETA2, RHO, BATCH, L = 1.0, 1e-5, 1e-5, 10, 64, 64
SETS = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def up(layer, h):
    """A transposed convolution that doubles the side, as Keras's "same" padding does."""
    return F.relu(layer(h)[..., :-1, :-1])


class Network(nn.Module):
    """Tables 2 and 3, layer by layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, dilation=2)
        self.conv3, self.conv4 = nn.Conv2d(64, 64, 3, dilation=2), nn.Conv2d(64, 128, 3, dilation=2)
        self.conv5, self.conv6 = nn.Conv2d(128, 256, 3), nn.Conv2d(512, L, 1)
        self.up7, self.up8 = nn.ConvTranspose2d(L, 256, 3, 2), nn.ConvTranspose2d(256, 128, 3, 2)
        self.up9, self.up10 = nn.ConvTranspose2d(128, 64, 3, 2), nn.ConvTranspose2d(64, 64, 3, 2)
        self.up11, self.conv12 = nn.ConvTranspose2d(512, 32, 3, 2), nn.Conv2d(32, 1, 3, padding=1)
        self.bn = nn.ModuleList(norm(c) for c in (32, 64, 64, 128, L, 256, 128, 64, 32))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def encode(self, x):
        h = self.bn[0](F.max_pool2d(F.relu(self.conv1(x)), 2))
        h2 = F.relu(self.conv2(h))
        h3 = F.relu(self.conv3(self.bn[1](h2)))
        h4 = F.relu(self.conv4(self.bn[2](h3)))
        h5 = F.max_pool2d(F.relu(self.conv5(self.bn[3](h4))), 2)
        h = torch.cat([*(h.mean((2, 3), keepdim=True) for h in (h2, h3, h4)), h5], 1)
        with torch.autocast("cpu", enabled=False):
            return torch.sigmoid(self.conv6(h.float())).flatten(1)

    def error(self, x):
        return squares(x, self.decode(self.encode(x)))

    def decode(self, z):
        h7 = up(self.up7, self.bn[4](z[:, :, None, None]))
        h8 = up(self.up8, self.bn[5](h7))
        h9 = up(self.up9, self.bn[6](h8))
        h10 = up(self.up10, self.bn[7](h9))
        parts = [F.interpolate(h, scale_factor=s) for h, s in ((h7, 8), (h8, 4), (h9, 2))]
        h11 = up(self.up11, torch.cat([*parts, h10], 1))
        return torch.sigmoid(self.conv12(self.bn[8](h11)).float())


def squares(x, x_):
    return ((x - x_) ** 2).sum((1, 2, 3))


def distance(z1, z2):
    """The mean of sqrt(|z1 - z2|^2 / L), in equations 3 and 4; 1e-12 keeps the root's slope finite."""
    return (((z1 - z2) ** 2).mean(1) + 1e-12).sqrt().mean()


def fit(network, typical, atypical, weights, epochs, pixels, what):
    """Equation 1. `weights` are alpha, beta1, beta2; without `atypical`, reconstruction and closeness of all."""
    network.train().to(memory_format=torch.channels_last)
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    optimiser, steps, start = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-7), 0, time.time()
    for epoch in range(epochs):
        losses = []
        for rows in torch.randperm(len(typical)).split(BATCH):
            x, n = typical[rows], len(rows)
            if atypical is not None:
                pool = torch.cat([torch.randperm(len(atypical)) for _ in range(n // len(atypical) + 1)])
                x = torch.cat([x, atypical[pool[:n]]])
            with torch.autocast("cpu", torch.bfloat16):
                z = network.encode(x)
                rec = squares(x, network.decode(z)).mean() / pixels
            cls = distance(z[:n], z[:n].roll(1, 0))
            loss = rec + weights[0] * cls + 1e-6 * sum((w**2).sum() for w in kernels)
            disp1 = disp2 = torch.zeros(())
            if atypical is not None:
                disp1, disp2 = -distance(z[n:], z[n:].roll(1, 0)), -distance(z[n:], z[:n])
                loss = loss + weights[1] * disp1 + weights[2] * disp2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append([float(v.detach()) for v in (rec, cls, disp1, disp2)])
            steps += 1
        means = dict(zip(("rec", "cls", "disp1", "disp2"), np.mean(losses, 0).round(5).tolist(), strict=True))
        print(f"{what} epoch {epoch + 1}: {means}, {time.time() - start:.0f} s", flush=True)
    network.eval()
    return means | {"steps": steps}


def ssim(x, y):
    """One value for each pair of images with pixels in [0, 1], over windows that lie inside."""
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    mx, my, mxy, mxx_yy = (F.conv2d(v, window) for v in (x, y, x * y, x * x + y * y))
    both, own = mxy - mx * my, mxx_yy - mx**2 - my**2
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (own + c2))).mean((1, 2, 3))


@torch.no_grad()
def apply(function, x):
    return torch.cat([function(part) for part in x.split(500)])


def judged(features, test_features, novel, seed):
    """The one-class SVM on these features: AUROC, and balanced accuracy on 80 % of the test images."""
    svm = OneClassSVM(nu=0.1, gamma=1 / features.shape[1]).fit(features)
    score = -svm.decision_function(test_features)
    order = np.random.default_rng(seed).permutation(len(novel))
    few, rest = order[: len(order) // 5], order[len(order) // 5 :]
    false, true, thresholds = roc_curve(novel[few], score[few])
    best = thresholds[np.argmax(true - false)]
    accuracies = [float(balanced_accuracy_score(novel[rest], score[rest] >= t)) for t in (best, 0.0)]
    return float(roc_auc_score(novel, score)), *accuracies


def run(images, tests, labels, name, epochs, seed, reconstruction):
    """`images`: normal training images; `tests`, `labels`: test images with their class; all uint8, n x 28 x 28."""
    torch.manual_seed(seed)
    images, test = (F.pad(part[:, None].float() / 255, (2, 2, 2, 2)) for part in (images, tests))
    order, count = torch.randperm(len(images)), min(4000, 2 * len(images) // 3)
    x, hold = images[order[:count]], images[order[count:]]
    pixels = x[0].numel() if reconstruction == "mean" else 1
    first = Network()
    losses = {"stage1": fit(first, x, None, (0, 0, 0), epochs, pixels, "stage 1")}
    rank = apply(lambda v: ssim(v, first.decode(first.encode(v))), x).argsort()
    few = round(count * RHO / 100)
    novel = (labels != name).numpy()
    features = {"original": [part[..., 2:-2, 2:-2].flatten(1).numpy() for part in (x, test)]}
    pca = PCA(min(L, count - 1), random_state=seed).fit(features["original"][0])
    features["PCA"] = [pca.transform(part) for part in features["original"]]
    dead, error = {}, {}
    for what, weights in (("CAE", (0, 0, 0)), ("CLS", (ALPHA, 0, 0)), ("ICS", (ALPHA, BETA1, BETA2))):
        torch.manual_seed(seed + 1)
        network = copy.deepcopy(first)
        parts = (x[rank[few:]], x[rank[:few]]) if what == "ICS" else (x, None)
        losses[what] = fit(network, *parts, weights, epochs, pixels, what)
        codes = apply(network.encode, hold)
        losses[what]["held_out_rec"] = float(apply(network.error, hold).mean() / pixels)
        losses[what]["held_out_cls"] = float(distance(codes, codes.roll(1, 0)))
        losses[what]["held_out_deviation_of_codes"] = float(codes.std(0).mean())
        dead[what] = losses[what]["held_out_deviation_of_codes"] < 1e-3
        features[what] = [apply(network.encode, part).numpy() for part in (x, test)]
        if what == "CAE":
            error = apply(network.error, test).numpy()
    results = {what: judged(*pair, novel, seed) for what, pair in features.items()}
    return {
        "losses": losses,
        "dead": dead,
        "auroc": {what: v[0] for what, v in results.items()} | {"CAE, error": float(roc_auc_score(novel, error))},
        "balanced_accuracy, threshold from 20 % of the test labels": {what: v[1] for what, v in results.items()},
        "balanced_accuracy, threshold of the SVM": {what: v[2] for what, v in results.items()},
    }


def add(path, entry):
    """Put the entry into the list at `path`, in place of one of the same run; written whole or not at all."""
    same = ("paper", "dataset", "class", "seed", "epochs", "reconstruction")
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries = [e for e in old if [e[k] for k in same] != [entry[k] for k in same]] + [entry]
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
    parser = argparse.ArgumentParser(description="ICS, a second reading")
    parser.add_argument("--dataset", choices=SETS, default="fashion_mnist")
    parser.add_argument("--class", dest="name", required=True, help="the normal class, as the data set calls it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--reconstruction", choices=("sum", "mean"), default="sum", help="over pixels")
    parser.add_argument("--output", type=Path, default=Path("results/second_look/ics.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = os.environ["NOVELTY_DATA"]
    train, test = (SETS[args.dataset](root, train=part) for part in (True, False))
    number = next(i for i, name in enumerate(train.classes) if args.name in (str(i), name.lower().split("/")[0]))
    entry = {"paper": "ics", "dataset": args.dataset, "class": args.name, "seed": args.seed, "epochs": args.epochs}
    entry["reconstruction"] = args.reconstruction
    entry |= provenance(train)
    start = time.time()
    entry |= run(
        train.data[train.targets == number],
        test.data,
        test.targets,
        number,
        args.epochs,
        args.seed,
        args.reconstruction,
    )
    entry["seconds"] = round(time.time() - start, 1)
    entry["cpu_seconds"] = round(time.process_time(), 1)
    add(args.output, entry)
    print(json.dumps(entry))


if __name__ == "__main__":
    main()
