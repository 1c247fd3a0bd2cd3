"""A second reading of ADe-GAN (Chai et al. 2022), written from the paper alone: MNIST, nine digits normal, one novel.

Printed and followed: eqs. 1, 3, 6-8 with (α, β, γ) = (1, 1, 10), n_c = 10, Adam at 2e-4, two optimisations in turn
(G and D by eq. 1, G and E by eq. 8), the score of eqs. 9-11. Left open, chosen before any test number was seen:

* Networks: DCGAN's, the only convolutional generator that the paper cites ([16]): 4×4 kernels, stride 2, batch norm,
  LeakyReLU 0.2 in D and E, tanh, weights N(0, 0.02), Adam's β1 = 0.5, images in [-1, 1]. Two levels (28→14→7) with
  32 and 64 channels, half of DCGAN's, to fit a CPU. Batch 64 (DCGAN: 128), for more steps in the same time.
* z_n has 30 dimensions and σ = 0.1: one-hot plus small Gaussian, in these symbols, is ClusterGAN's code, and these are
  its values on MNIST. With σ = 1 a code of 30 numbers would drown a one-hot vector of length 1.
* Eq. 1: G maximises log D(G(z)), as DCGAN and GAN do, not the saturating form.
* The two optimisations alternate in each step; each has its own Adam.
* Interpolation takes two codes with λ ~ U(0, 1). Among the same pattern: half of the generated batch of eqs. 1 and 3,
  between two draws of z_n (such a sum has less variance, as eq. 5 says). Among different patterns: eq. 6.
* Eq. 6, with c = n_c, is the cross entropy between the uniform distribution and ẑ_c; G and E both follow it.
* ‖·‖₂ is the Euclidean norm of each image or code, as printed, not its square and not a mean over pixels. With
  --norm mean-square the losses (not the score) take the mean of squares, PyTorch's MSELoss. It was added on 2026-11-29
  after the first run, digit 1, whose AUROC had been seen by then. The ground is a training loss: with the norms
  γ·L_recon drowns L_sl, which rose to 4.1 in 1,000 steps, where an E that always answers (1/n_c, 0) has 2.8.
* G(E(X)) gets ẑ_c as probabilities (softmax).
* P_N is the distribution function of the normal law with mean and deviation of the errors of held-out normal images.
  Only so does eq. 11 rise with the error for every ẑ_c: A = -P/n_c - (1 - P)·max ẑ_c. arg max means max.
* Test images: the standard test set. 2,000 normal training images are held out, for losses, P_N and nothing else.
* Batch norm uses its running averages at test time (PyTorch's default). Steps: not printed, as many as a CPU allows.
* With --plain-code L: an autoencoder with the same E and G, L numbers as its code, mean square error, same Adam.
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
from torch import nn

N_C, D_N, SIGMA, BATCH, WIDTH, HELD_OUT = 10, 30, 0.1, 64, 32, 2000
ALPHA, BETA, GAMMA = 1.0, 1.0, 10.0


def idx(path: Path) -> torch.Tensor:
    """The bytes of an IDX file: images as (N, 28, 28), labels as (N,)."""
    raw = path.read_bytes()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy())


def scaled(images: torch.Tensor) -> torch.Tensor:
    return images.float().div(127.5)[:, None] - 1


def down(outputs: int) -> nn.Sequential:
    """D with one output, E with n_c + d."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * WIDTH * 49, outputs),
    )


def up(inputs: int) -> nn.Sequential:
    """G."""
    return nn.Sequential(
        nn.Linear(inputs, 2 * WIDTH * 49, bias=False),
        nn.Unflatten(1, (2 * WIDTH, 7, 7)),
        nn.BatchNorm2d(2 * WIDTH),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1),
        nn.Tanh(),
    )


def dcgan_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


class ADeGAN(nn.Module):
    def __init__(self, size: str) -> None:
        super().__init__()
        self.size = {"norm": norm, "mean-square": mean_square}[size]
        self.G, self.D, self.E = up(N_C + D_N), down(1), down(N_C + D_N)

    def extract(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log ẑ_c and ẑ_n."""
        out = self.E(x).float()
        return out[:, :N_C].log_softmax(1), out[:, N_C:]

    def redraw(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """G(E(x)) and ẑ_c."""
        log_c, z_n = self.extract(x)
        return self.G(torch.cat([log_c.exp(), z_n], 1)).float(), log_c.exp()


class Plain(nn.Module):
    def __init__(self, length: int) -> None:
        super().__init__()
        self.E, self.G = down(length), up(length)

    def redraw(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.G(self.E(x)).float(), None


def norm(difference: torch.Tensor) -> torch.Tensor:
    return difference.flatten(1).norm(dim=1)


def mean_square(difference: torch.Tensor) -> torch.Tensor:
    return difference.flatten(1).square().mean(1)


def codes(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patterns, codes with one pattern each (the second half interpolated in z_n), codes between two patterns."""
    c = torch.randint(N_C, (count,))
    other = (c + torch.randint(1, N_C, (count,))) % N_C
    z_n, z_m = SIGMA * torch.randn(2, count, D_N)
    λ = torch.rand(count, 1)
    between = λ * z_n + (1 - λ) * z_m
    one_hot, two_hot = F.one_hot(c, N_C).float(), F.one_hot(other, N_C).float()
    same = torch.where(torch.arange(count)[:, None] < count // 2, z_n, between)
    return c, torch.cat([one_hot, same], 1), torch.cat([λ * one_hot + (1 - λ) * two_hot, between], 1)


def step(model: nn.Module, optimisers: list, x: torch.Tensor, bf16: bool) -> dict[str, float]:
    """The two optimisations on one batch; for a plain autoencoder its only one."""

    def descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        if isinstance(model, Plain):
            loss = F.mse_loss(model.redraw(x)[0], x)
            descend(optimisers[0], loss)
            return {"mse": loss.item()}
        opt_d, opt_g, opt_ge = optimisers
        c, z, z_ip = codes(len(x))
        fake = model.G(z)
        real_logit, fake_logit = model.D(x).float(), model.D(fake.detach()).float()
        loss_d = (F.softplus(-real_logit) + F.softplus(fake_logit)).mean()
        descend(opt_d, loss_d)
        loss_g = F.softplus(-model.D(fake).float()).mean()
        descend(opt_g, loss_g)

        log_c, z_n = model.extract(model.G(z))
        loss_sl = F.nll_loss(log_c, c) + model.size(z_n - z[:, N_C:]).mean()
        loss_ip = -model.extract(model.G(z_ip))[0].mean()
        recon = model.size(x - model.redraw(x)[0]).mean()
        descend(opt_ge, ALPHA * loss_ip + BETA * loss_sl + GAMMA * recon)
    return {n: v.item() for n, v in (("D", loss_d), ("G", loss_g), ("sl", loss_sl), ("ip", loss_ip), ("recon", recon))}


@torch.no_grad()
def errors(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, float]:
    """‖x − G(E(x))‖₂ and max ẑ_c of each image, and how much the redrawn images differ among each other."""
    model.eval()
    parts = [(scaled(part), *model.redraw(scaled(part))) for part in images.split(1000)]
    model.train()
    error = torch.cat([norm(x - x_hat) for x, x_hat, _ in parts])
    spread = torch.cat([x_hat for _, x_hat, _ in parts]).std(0).mean().item()
    return error, torch.cat([z_c for *_, z_c in parts]) if parts[0][2] is not None else None, spread


def merge(path: Path, entry: dict) -> None:
    """Add the entry to the list in `path`, in place of one of the same run; written whole or not at all."""
    same = ("dataset", "class", "seed", "epochs", "steps", "method", "norm")
    entries = json.loads(path.read_text()) if path.exists() else []
    entries = [old for old in entries if any(old.get(key, "norm") != entry[key] for key in same)] + [entry]
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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--class", dest="novel", default="1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="in place of --steps")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--plain-code", type=int, help="train a plain autoencoder with this code length instead")
    parser.add_argument("--norm", choices=["norm", "mean-square"], default="norm", help="‖·‖₂ in the losses")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--data", default=os.environ.get("NOVELTY_DATA", "data"), help="folder that holds MNIST/raw")
    parser.add_argument("--output", default="results/second_look/ade_gan.json")
    args = parser.parse_args(argv)
    start = time.process_time()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    raw = Path(args.data) / "MNIST/raw"
    images, labels = idx(raw / "train-images-idx3-ubyte"), idx(raw / "train-labels-idx1-ubyte")
    normal = images[labels != int(args.novel)]
    normal = normal[torch.randperm(len(normal))]
    count = min(HELD_OUT, len(normal) // 4)
    held_out, train = normal[:count], normal[count:]
    test, novel = idx(raw / "t10k-images-idx3-ubyte"), idx(raw / "t10k-labels-idx1-ubyte") == int(args.novel)

    model = (Plain(args.plain_code) if args.plain_code else ADeGAN(args.norm)).apply(dcgan_weights)
    shares = ["EG"] if args.plain_code else ["D", "G", "EG"]  # what each optimiser moves
    optimisers = [
        torch.optim.Adam([p for name in share for p in getattr(model, name).parameters()], 2e-4, (0.5, 0.999))
        for share in shares
    ]
    steps = args.epochs * (len(train) // BATCH) if args.epochs else args.steps
    history, recent, order = [], [], torch.empty(0, dtype=torch.long)
    for done in range(1, steps + 1):
        if len(order) < BATCH:
            order = torch.randperm(len(train))
        batch, order = order[:BATCH], order[BATCH:]
        recent.append(step(model, optimisers, scaled(train[batch]), not args.float32))
        if done % 250 == 0 or done == steps:
            mean = {name: round(float(np.mean([loss[name] for loss in recent])), 4) for name in recent[0]}
            error, z_c, spread = errors(model, held_out)
            history.append({"step": done, "train": mean, "held_out": {"recon": round(error.mean().item(), 4)}})
            print(f"digit {args.novel}, step {done}: {mean}, held out {error.mean().item():.3f}", flush=True)
            recent = []
    seconds = time.process_time() - start

    found, use = {}, None
    found["recon"], test_c, _ = errors(model, test)
    if z_c is not None:
        P = torch.special.ndtr((found["recon"] - error.mean()) / error.std())
        top = test_c.max(1).values
        found |= {"pattern": -top, "total": -P / N_C - (1 - P) * top}
        use = torch.bincount(z_c.argmax(1), minlength=N_C).div(len(z_c)).tolist()
    auroc = {name: round(float(roc_auc_score(novel, value)), 4) for name, value in found.items()}
    entry = {"paper": "ade_gan", "dataset": "mnist", "class": args.novel, "seed": args.seed}
    entry |= {"epochs": args.epochs, "steps": steps, "norm": args.norm, "precision": "fp32" if args.float32 else "bf16"}
    entry |= {"checksum": hashlib.sha256((raw / "train-images-idx3-ubyte").read_bytes()).hexdigest()[:16]}
    entry |= where() | {"seconds": round(seconds, 1), "losses": history, "spread_of_outputs": spread}
    if use is not None:
        top = z_c.max(1).values
        entry |= {"share_of_patterns": [round(u, 4) for u in use], "max_pattern_held_out": round(top.mean().item(), 4)}
    entry |= {"dead": spread < 1e-3, "method": f"plain_{args.plain_code}" if args.plain_code else "total"}
    merge(Path(args.output), entry | {"auroc": auroc})
    print(auroc, flush=True)


if __name__ == "__main__":
    main()
