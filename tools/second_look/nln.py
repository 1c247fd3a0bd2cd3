"""A second reading of NLN (Mesarcik et al. 2022), from the paper alone: AE-con on MNIST, VAE on Fashion-MNIST.

AE-con has one class novel (MISO, Table 6), the VAE one class normal (SIMO, Table 4).
Printed and followed: 3 convolutions and 3 transposed ones, 32 filters that double and halve, ReLU, Adam at 1e-4, a
discriminator like the encoder with a dense sigmoid, a second encoder f_con; K = 2, L = 32, α = 0.9 (Table 6).
For the VAE K = 3, L = 32, α = 0.9 (section 4.4, Fashion-MNIST) and 50 epochs.
Left open, chosen before any test number was seen:

* Kernel 3, stride 2, 28→14→7→4, then one dense layer to a linear code. LeNet's 5×5 costs 1.6 times as much here.
* Sigmoid at the end, images in [0, 1], because BCE is named as a possible loss and needs that range.
* Loss of AE-con: "trained as described in [8]", which is GANomaly: 50·L1(x, x̂) + 1·MSE(features of d) + 1·MSE of
  f(x) and f_con(x̂), means over elements. Features: the last convolution of d. The discriminator follows eq. 6 (BCE).
  With --con mse the first term is 50·MSE, the loss that section 3.2 and Fig. 7 name. It was added on 2026-11-29 because
  L1 had died on normal images (digit 1, 2 epochs: every image redrawn as black), before any test number of it was seen.
  With --last linear the decoder ends without a sigmoid. It was added on 2026-11-29 because MSE with a sigmoid ended as
  a constant too (digit 1, 2 epochs: every image redrawn as the mean image; its AUROC had been seen). Training images
  told: a plain autoencoder stays at the mean image's error, 0.070, for 300 steps with a sigmoid, under Glorot's and
  PyTorch's weights alike, and is at 0.056 and 0.046 without one. The paper names no activation at the end.
* Batch 64 and one step of d before each step of f, g, f_con, as in GANomaly. No batch norm: the paper names none.
* Glorot weights, zero biases: the authors say that they write TensorFlow, and these are its defaults.
* Test images: the standard test set. "Removing a class from the training set" changes only the training images.
* Eq. 8 as printed: |f(x) − f_con(g(z^k))|, mean over L and K. Section 3.3 can be read as f_con(x) in place of f(x):
  that is `con_of_f_con`.
* |z − z^k| is the Euclidean distance, what a k-d tree returns. Neighbours are exact, of the training codes.
* "Normalised" halves: min-max over the images scored, the usual meaning; labels play no part. `total_not_normalised`
  is eq. 8 taken literally.
* 2,000 normal training images are held out for losses only. 50 epochs are printed; fewer are run to fit a CPU.
* With bf16 (the default) the convolutions of training run in bfloat16; scores are always computed in float32.

Left open for the VAE, chosen before any test number of it was seen (layers, weights, batch, neighbours as above):

* Loss: the negative ELBO of Kingma and Welling, [32], one sample of z an image, mean over the batch.
* Reconstruction: BCE, the Bernoulli likelihood, summed over pixels; section 3.2 names BCE, and its slope survives the
  sigmoid. It is taken of the logits, in float32.
* KL to N(0, 1), summed over the L units, of weight 1 as in the ELBO. A mean over pixels would make it 784 times as
  heavy, and the posterior would collapse.
  Looked at on training images alone: after 150 steps at 1e-3 (t-shirt) the KL is 10 nats and all 32 units carry some.
* The encoder ends in one dense layer to 2·L numbers, mean and log of the variance, both linear.
* z is the posterior's mean wherever a score needs it: x̂, z^k and |z − z^k|. Eq. 1 has f as a function; a sample is not.
* Scores: eq. 3 and the halves of eq. 4 with |x − g(z^k)|. VAE as baseline could mean the reconstruction probability
  of [21]; the paper's own scores use |x − x̂|.
* 500 of the 6,000 images of the class are held out: 2,000 would be a third of what is trained on and searched.
* All 10,000 test images are scored, 1,000 of them normal.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import nn

L, ALPHA, BATCH = 32, 0.9, 64
WEIGHTS = {"con": 50.0, "adv": 1.0, "enc": 1.0}
FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
CLASSES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion_mnist": [
        *("t-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle_boot"),
    ],
}


def idx(path: Path) -> torch.Tensor:
    """The bytes of an IDX file: images as (N, 28, 28), labels as (N,)."""
    raw = path.read_bytes()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy())


def encoder(outputs: int) -> nn.Sequential:
    layers = []
    for a, b in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, outputs))


def decoder(last: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(L, 128 * 16),
        nn.ReLU(),
        nn.Unflatten(1, (128, 4, 4)),
        nn.ConvTranspose2d(128, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),
        {"sigmoid": nn.Sigmoid, "linear": nn.Identity}[last](),
    )


def glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


class AEcon(nn.Module):
    k, half, held_out = 2, "con", 2000  # half: the score that stands beside the latent distance

    def __init__(self, con: str, last: str) -> None:
        super().__init__()
        self.con = {"l1": F.l1_loss, "mse": F.mse_loss}[con]
        self.f, self.g, self.f_con, self.d = encoder(L), decoder(last), encoder(L), encoder(1)
        self.apply(glorot)

    def parts(self) -> list[nn.ModuleList]:
        """What has an optimiser of its own, one for each of `losses`."""
        return [nn.ModuleList([self.f, self.g, self.f_con]), nn.ModuleList([self.d])]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """q of d: the output of its last convolution."""
        return self.d[:-1](x)

    def losses(self, x: torch.Tensor) -> list[torch.Tensor]:
        """GANomaly's loss of f, g and f_con, and that of d."""
        self.d.requires_grad_(False)
        z = self.f(x)
        x_hat = self.g(z)
        con = self.con(x_hat.float(), x)
        with torch.no_grad():
            wanted = self.features(x).float()
        adv = F.mse_loss(self.features(x_hat).float(), wanted)
        enc = F.mse_loss(self.f_con(x_hat).float(), z.float())
        self.d.requires_grad_(True)
        real, fake = self.d(torch.cat([x, x_hat.detach()])).float().chunk(2)
        ones = torch.ones_like(real)
        loss_d = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(fake, 0 * ones)
        return [WEIGHTS["con"] * con + WEIGHTS["adv"] * adv + WEIGHTS["enc"] * enc, loss_d]

    def more(self, x: torch.Tensor, z: torch.Tensor, x_hat: torch.Tensor, x_k: torch.Tensor) -> dict[str, torch.Tensor]:
        """The scores that need f_con."""
        z_k = self.f_con(x_k).unflatten(0, (len(x), self.k))
        return {
            "con": (z[:, None] - z_k).abs().mean((1, 2)),
            "con_of_f_con": (self.f_con(x)[:, None] - z_k).abs().mean((1, 2)),
            "con_without_neighbours": (z - self.f_con(x_hat)).abs().mean(1),
        }


class VAE(nn.Module):
    k, half, held_out = 3, "nln", 500

    def __init__(self) -> None:
        super().__init__()
        self.posterior, self.g = encoder(2 * L), decoder("sigmoid")
        self.apply(glorot)

    def parts(self) -> list[nn.Module]:
        return [self]

    def f(self, x: torch.Tensor) -> torch.Tensor:
        """The posterior's mean."""
        return self.posterior(x)[:, :L]

    def losses(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The negative ELBO."""
        mean, log_var = self.posterior(x).float().chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        logits = self.g[:-1](z).float()
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = (mean**2 + log_var.exp() - 1 - log_var).sum() / 2
        return [(reconstruction + kl) / len(x)]

    def more(self, *_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}


def train_epoch(model: AEcon | VAE, optimisers: list, images: torch.Tensor, steps: int | None, bf16: bool) -> float:
    """One pass (or its first `steps` steps); the mean of the first loss."""
    losses = []
    for batch in torch.randperm(len(images)).split(BATCH)[:steps]:
        x = images[batch].float().div(255)[:, None]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            values = model.losses(x)
        # All gradients are taken before any step, so that one x̂ serves them.
        for optimiser, value in zip(optimisers, values, strict=True):
            optimiser.zero_grad()
            value.backward()
        for optimiser in optimisers:
            optimiser.step()
        losses.append(values[0].item())
    return float(np.mean(losses))


def fit(model: AEcon | VAE, train: torch.Tensor, held_out: torch.Tensor, args: argparse.Namespace) -> list[dict]:
    """Train; the losses of every epoch."""
    optimisers = [torch.optim.Adam(part.parameters(), 1e-4) for part in model.parts()]
    history = []
    for epoch in range(1, args.epochs + 1):
        loss = train_epoch(model, optimisers, train, args.steps, not args.float32)
        with torch.no_grad():
            held = model.losses(held_out.float().div(255)[:, None])[0].item()
        print(f"class {args.name}, epoch {epoch}: loss {loss:.3f}, held out {held:.3f}", flush=True)
        history.append({"epoch": epoch, "train": loss, "held_out": held})
    return history


@torch.no_grad()
def in_batches(function, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([function(part.float().div(255)[:, None]) for part in images.split(1000)])


@torch.no_grad()
def scores(model: AEcon | VAE, train: torch.Tensor, test: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every score of the paper for this model and its parts, (N,), higher = novel; no label comes near."""
    known = in_batches(model.f, train)
    neighbours = NearestNeighbors(n_neighbors=model.k, algorithm="brute").fit(known.numpy())
    out = {}
    for part in test.split(1000):
        x = part.float().div(255)[:, None]
        z = model.f(x)
        distance, index = (torch.from_numpy(found) for found in neighbours.kneighbors(z.numpy()))
        x_k = model.g(known[index.flatten()])
        x_hat = model.g(z)
        now = {
            "recon": (x - x_hat).abs().mean((1, 2, 3)),
            "nln": (x[:, None] - x_k.unflatten(0, (len(x), model.k))).abs().mean((1, 2, 3, 4)),
            **model.more(x, z, x_hat, x_k),
            "latent": distance.mean(1),
        }
        for name, value in now.items():
            out.setdefault(name, []).append(value)
    out = {name: torch.cat(values) for name, values in out.items()}
    unit = {name: (v - v.min()) / (v.max() - v.min()).clamp_min(1e-12) for name, v in out.items()}
    out["total"] = ALPHA * unit[model.half] + (1 - ALPHA) * unit["latent"]
    out["total_not_normalised"] = ALPHA * out[model.half] + (1 - ALPHA) * out["latent"]
    if model.half != "nln":
        out["nln_total"] = ALPHA * unit["nln"] + (1 - ALPHA) * unit["latent"]
    return out


def merge(path: Path, entry: dict) -> None:
    """Add the entry to the list in `path`, in place of one of the same run; written whole or not at all."""
    same = ("model", "dataset", "class", "seed", "epochs", "steps", "con", "last")
    first = {"model": "ae-con", "con": "l1", "last": "sigmoid"}  # what an entry without the field was made with
    entries = json.loads(path.read_text()) if path.exists() else []
    entries = [old for old in entries if any((first | old)[key] != entry[key] for key in same)] + [entry]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(entries, indent=1) + "\n")
    part.replace(path)


def where() -> dict:
    """The commit (with "+" if tools/second_look differs from it) and the machine."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True).stdout.strip()

    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = names[0].split(": ")[1] if names else platform.processor()
    commit = git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", ".") else "")
    return {"commit": commit, "cpu": cpu, "torch": torch.__version__}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["ae-con", "vae"], default="ae-con")
    parser.add_argument("--dataset", choices=FOLDERS, default="mnist")
    parser.add_argument("--class", dest="name", default="1", help="name or number: novel for ae-con, normal for vae")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, help="steps of an epoch, all by default")
    parser.add_argument("--con", choices=["l1", "mse"], help="the first term of AE-con's loss, l1 by default")
    parser.add_argument("--last", choices=["sigmoid", "linear"], help="the end of AE-con's decoder, sigmoid by default")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--data", default=os.environ.get("NOVELTY_DATA", "data"), help="holds MNIST/raw or another's")
    parser.add_argument("--output", default="results/second_look/nln.json")
    args = parser.parse_args(argv)
    if args.model == "vae" and (args.con or args.last):
        parser.error("--con and --last are for ae-con")
    args.con = args.con or {"ae-con": "l1", "vae": "bce"}[args.model]
    args.last = args.last or "sigmoid"
    numbers = [i for i, name in enumerate(CLASSES[args.dataset]) if args.name in (name, str(i))]
    if not numbers:
        parser.error(f"--class is one of {', '.join(CLASSES[args.dataset])}")
    args.number, args.name = numbers[0], CLASSES[args.dataset][numbers[0]]
    return args


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    start = time.process_time()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    raw = Path(args.data) / FOLDERS[args.dataset] / "raw"
    images, labels = idx(raw / "train-images-idx3-ubyte"), idx(raw / "train-labels-idx1-ubyte")
    test, test_labels = idx(raw / "t10k-images-idx3-ubyte"), idx(raw / "t10k-labels-idx1-ubyte")
    one = args.model == "vae"  # the class is the normal one, not the novel one
    novel = (test_labels == args.number) != one
    normal = images[(labels == args.number) == one]
    normal = normal[torch.randperm(len(normal))]
    model = VAE() if one else AEcon(args.con, args.last)
    count = min(model.held_out, len(normal) // 4)
    held_out, train = normal[:count], normal[count:]
    history = fit(model, train, held_out, args)
    seconds = time.process_time() - start

    spread = in_batches(lambda x: model.g(model.f(x)), held_out).std(0).mean().item()
    found = scores(model, train, test)
    auroc = {name: round(float(roc_auc_score(novel, value)), 4) for name, value in found.items()}
    entry = {"paper": "nln", "model": args.model, "dataset": args.dataset, "class": args.name, "seed": args.seed}
    entry |= {"epochs": args.epochs, "steps": args.steps, "con": args.con, "last": args.last}
    entry |= {"precision": "fp32" if args.float32 else "bf16"}
    entry |= {"checksum": hashlib.sha256((raw / "train-images-idx3-ubyte").read_bytes()).hexdigest()[:16]}
    entry |= where() | {"seconds": round(seconds, 1), "losses": history, "spread_of_outputs": spread}
    entry |= {"dead": spread < 1e-3, "method": "total", "auroc": auroc}
    merge(Path(args.output), entry)
    print(auroc, flush=True)


if __name__ == "__main__":
    main()
