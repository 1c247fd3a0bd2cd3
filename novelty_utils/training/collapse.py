"""Is a trained network dead? Told from normal images alone, by one rule for all papers.

A dead network makes nearly the same of every image. An optimiser can get stuck there: where most pixels are black, the
black image is a fair answer, and layers that have gone flat have no gradient to leave it. Such a training says nothing
about a method, so its numbers count neither for it nor against it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from novelty_utils.training.applying import apply

Loss = Literal["squared", "absolute", "entropy"]

# In the records of 2026-11-29, when this was set, no network ends between 0.65 and 1.1 times the error of the best
# constant image, and none between 0.001 and 0.7 of the spread: any values in between would decide in the same way.
LEARNED = 0.9  # of the error of the best constant: what stays above has learned nothing
VARIES = 0.1  # of the spread of the targets: outputs that stay below are all alike
RESTARTS = 2  # at most

Judged = dict[str, float | bool]
Key = Hashable  # mostly the number of a class


def judge(outputs: Tensor, targets: Tensor, loss: Loss = "squared") -> Judged:
    """The error of `outputs`, that of the best answer that is the same for all, the spread, and whether that is dead.

    Both (n, ...), of normal images, trained on or held out: reconstructions and images, or, for "entropy",
    probabilities of class 1 and labels 0 or 1. The best constant is the mean, and the median where errors are absolute
    (Charbonnier's are nearly). The spread is that of the outputs over that of the targets: roots of the variance over
    n, averaged over all else. Targets that are all the same cannot tell: then nothing is called dead.
    """
    outputs, targets = (part.detach().double().cpu().reshape(len(part), -1) for part in (outputs, targets))
    constant = (targets.median(0).values if loss == "absolute" else targets.mean(0)).expand_as(targets)
    error, constant_error = _error(outputs, targets, loss), _error(constant, targets, loss)
    of_targets = float(targets.var(0, correction=0).mean())
    spread = (float(outputs.var(0, correction=0).mean()) / of_targets) ** 0.5 if of_targets else 1.0
    alive = error < LEARNED * constant_error and spread >= VARIES  # false for an error that is no number, too
    return {
        "error": error,
        "constant_error": constant_error,
        "spread": spread,
        "collapsed": of_targets > 0 and not alive,
    }


def _error(outputs: Tensor, targets: Tensor, loss: Loss) -> float:
    if loss == "entropy":
        outputs = outputs.clamp(1e-12, 1 - 1e-12)
        return float(-(targets * outputs.log() + (1 - targets) * (1 - outputs).log()).mean())
    away = (outputs - targets).abs()
    return float((away if loss == "absolute" else away.square()).mean())


def of_autoencoder(network: nn.Module, images: Tensor, index: Tensor, loss: Loss = "squared") -> Judged:
    """The same of a network that redraws its input, on the indexed images; uint8 (n, c, h, w) as for `apply`."""
    return judge(apply(network, images, index), images[index].float() / 255, loss)


def part(label: str, judged: Judged) -> dict[str, Judged]:
    """{"collapse": judged} for the training entry of a record, and one line in print, for the reader of a run."""
    verdict = "COLLAPSED, it makes nearly the same of everything" if judged["collapsed"] else "trained"
    numbers = f"error {judged['error']:.4f}, best constant {judged['constant_error']:.4f}"
    print(f"{label}: {numbers}, spread {judged['spread']:.2f}: {verdict}")
    return {"collapse": judged}


def train_alive(
    train: Callable[[list[Key], int], tuple[dict[Key, nn.Module], dict[Key, Any]]],
    judge: Callable[[Key, nn.Module], Judged],
    keys: Sequence[Key],
    label: Callable[[Key], str],
) -> tuple[dict[Key, nn.Module], dict[Key, Any], dict[Key, dict]]:
    """Train a network for every key; what is dead at its end is begun again with other initial weights, at most twice.

    train(keys, restart) returns networks and histories by key. It draws initial weights by `seed_of(seed, restart)`,
    and nothing else depends on `restart`: a training that is alive at once is what it would be without this function.
    Returns the last networks and histories, and by key what the training entry of a record gets: "collapse" as judged,
    and "restarts", how often it was begun again. A line is printed for each training.
    """
    networks: dict[Key, nn.Module] = {}
    histories: dict[Key, Any] = {}
    parts: dict[Key, dict] = {}
    left = list(keys)
    for restart in range(RESTARTS + 1):
        trained, seen = train(left, restart)
        networks |= trained
        histories |= seen
        parts |= {key: part(label(key), judge(key, trained[key])) | {"restarts": restart} for key in left}
        left = [key for key in left if parts[key]["collapse"]["collapsed"]]
        if not left:
            break
    return networks, histories, parts


def seed_of(seed: int, restart: int) -> int:
    """For the initial weights of the first training, the seed of the run; for another one, another."""
    return seed + 1000 * restart
