# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 1: ICS, one class split in two
#
# About two hours. 20 points: 14 given by tests, 6 by a reader. Read the
# [ICS notebook](https://novelty-book.github.io/novelty-book/notebooks/ics.html) up to *Stage 3* first.
#
# * Write between the line `# YOUR CODE HERE` and the end of its cell; delete `raise NotImplementedError()`.
# * The cell below each exercise tests it. What you see there is a part: when the assignment is graded, your functions also
#   meet inputs that you have not seen.
# * Test cells are restored before grading. Changing or deleting one changes nothing.
# * Before you hand in: restart the kernel and run all cells. One cell that loops for ever or kills the kernel costs the
#   points of every test from there on.
# * Hints unfold on the [course page](https://novelty-book.github.io/novelty-book/book/course.html).

# %% tags=["colab", "hide-input"]
# On Colab this cell installs the package; elsewhere it only checks that it is there.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("novelty_utils") is None:
    if not {"COLAB_RELEASE_TAG", "NOVELTY_UTILS_SOURCE"} & set(os.environ):
        raise ModuleNotFoundError(
            "novelty_utils is missing: run `make setup`, or `pip install .` in the clone"
        )
    source = "novelty-utils @ git+https://github.com/novelty-book/novelty-book@main"
    source = os.environ.get("NOVELTY_UTILS_SOURCE", source)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
    importlib.invalidate_caches()

# %% nbgrader={"kind": "given", "grade_id": "set-up"}
import numpy as np
import torch
from torch import nn

from novelty_utils import data
from novelty_utils.evaluation import metrics

ds = data.load("digits")
threes = (
    ds.images[(ds.labels == 3) & ~ds.is_test].float() / 255
)  # (n, 1, 8, 8), in [0, 1]
z_two, each_other = (
    torch.tensor([[0.0, 0.0], [3.0, 4.0]]),
    torch.tensor([1, 0]),
)  # two codes, each the partner of the other


def small_autoencoder(seed):
    """A little autoencoder with batch normalisation, trained on the threes for sixty steps."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 64),
        nn.Sigmoid(),
        nn.Unflatten(1, (1, 8, 8)),
    )
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        (model(threes) - threes).square().mean().backward()
        optimiser.step()
    return model


# %% [markdown]
# ## 1. Closeness (2 points)
#
# Normal images should have similar codes. Take the expected *root-mean-square* distance of the codes of two independent normal
# images, and estimate it from a batch in which image $j$ is paired with image `partner[j]`. Work out on paper what is averaged over
# what, then write it down. Two images of a batch may have the very same code; the gradient has to stay finite there, and
# the value may be off by a millionth for that.


# %% nbgrader={"kind": "solution", "grade_id": "closeness"}
def closeness(z, partner):
    """L_cls of the codes z, float32 (B, L), paired with z[partner]; partner: int64 (B,). A scalar tensor, >= 0."""
    ### BEGIN SOLUTION
    squares = (z - z[partner]).square().mean(1)
    return (squares + 1e-12).sqrt().mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "closeness-test", "points": 2}
assert abs(float(closeness(z_two, each_other)) - 12.5**0.5) < 1e-4, (
    "sqrt((9 + 16) / 2) for both pairs"
)
z_same = torch.ones(3, 2, requires_grad=True)
closeness(z_same, torch.tensor([1, 2, 0])).backward()
assert z_same.grad.isfinite().all(), "equal codes: the gradient is not finite"
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(700 + _seed)
    _z, _partner = (
        _draw.uniform(size=(9 + _seed, 5 + 2 * _seed)).astype("float32"),
        _draw.permutation(9 + _seed),
    )
    _pairs = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(_z[j], _z[k])) / _z.shape[1]
        for j, k in enumerate(_partner)
    ]
    _expected = sum(pair**0.5 for pair in _pairs) / len(_pairs)
    _got = float(closeness(_torch.from_numpy(_z), _torch.from_numpy(_partner)))
    assert abs(_got - _expected) < 1e-4, (
        f"closeness is {_got:.4f} where {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Dispersion (2 points)
#
# Something must push outwards. The atypical codes shall move apart from each other and from the typical ones; both
# terms are *minimised*, with a positive weight.


# %% nbgrader={"kind": "solution", "grade_id": "dispersion"}
def dispersion(z_aty, z_typ, partner):
    """The pair (L_disp1, L_disp2) of codes (B, L) and (B, L), as scalar tensors.

    L_disp1 pairs z_aty with z_aty[partner]; L_disp2 pairs row j of z_aty with row j of z_typ.
    """
    ### BEGIN SOLUTION
    apart = -closeness(z_aty, partner)
    away = -((z_aty - z_typ).square().mean(1) + 1e-12).sqrt().mean()
    return apart, away
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "dispersion-test", "points": 2}
both = dispersion(z_two, torch.zeros(2, 2), each_other)
assert len(both) == 2 and all(torch.as_tensor(term).ndim == 0 for term in both)
### BEGIN HIDDEN TESTS
from types import FunctionType as _Function

import numpy as _np
import torch as _torch


def _closeness(z, partner):
    return _torch.sqrt(_torch.pow(z - z[partner], 2).sum(1) / z.shape[1] + 1e-14).mean()


# With a right closeness in its place, so that a mistake in exercise 1 costs its points there and not again. The name
# itself stays the student's.
_dispersion = dispersion
if isinstance(dispersion, _Function):
    _names = globals() | {"closeness": _closeness}
    _dispersion = _Function(
        dispersion.__code__,
        _names,
        "dispersion",
        dispersion.__defaults__,
        dispersion.__closure__,
    )

for _seed in range(3):
    _draw = _np.random.default_rng(800 + _seed)
    _a, _t = _draw.uniform(size=(2, 7, 4 + _seed)).astype("float32")
    _partner = _np.roll(_np.arange(7), 1 + _seed)
    _expected = [
        -sum(_np.sqrt(_np.mean((_a[j] - other[j]) ** 2)) for j in range(7)) / 7
        for other in (_a[_partner], _t)
    ]
    _got = [
        float(term)
        for term in _dispersion(
            _torch.from_numpy(_a), _torch.from_numpy(_t), _torch.from_numpy(_partner)
        )
    ]
    assert _np.allclose(_got, _expected, atol=1e-4), (
        f"dispersion is {_got} where {_expected} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 3. When shrinking stops paying (3 points)
#
# The decoder's first layer normalises the codes, so replacing every code $z$ by $c + \varepsilon (z - c)$, $0 < \varepsilon < 1$,
# leaves $\mathcal L_{rec}$ as it was. With
# $\mathcal L = \mathcal L_{rec} + \alpha\mathcal L_{cls} + \beta(\mathcal L_{disp,1} + \mathcal L_{disp,2})$,
# for which $\beta$ does shrinking *all* codes, typical and atypical, lower the loss? Derive the border $\beta^*$ and return it.


# %% nbgrader={"kind": "solution", "grade_id": "critical-beta"}
def critical_beta(cls, disp1, disp2, alpha):
    """β*, a float: below it shrinking lowers the loss, above it shrinking raises it. The three losses are floats."""
    ### BEGIN SOLUTION
    # Each of the three is a mean of lengths, so each is multiplied by epsilon: the loss changes by
    # (epsilon - 1) (alpha cls + beta (disp1 + disp2)), which is negative as long as the bracket is positive.
    return -alpha * cls / (disp1 + disp2)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "critical-beta-test", "points": 2}
assert (
    np.isscalar(critical_beta(0.3, -0.2, -0.4, 1.0))
    and critical_beta(0.3, -0.2, -0.4, 1.0) > 0
)
### BEGIN HIDDEN TESTS
import numpy as _np

_draw = _np.random.default_rng(900)
for _ in range(5):
    _typ, _aty, _alpha, _c = (
        _draw.uniform(size=(6, 4)),
        _draw.uniform(size=(6, 4)),
        _draw.uniform(0.5, 3),
        _draw.uniform(size=4),
    )

    def _three(typ, aty):
        far = [
            _np.sqrt(((a - b) ** 2).mean(1)).mean()
            for a, b in (
                (typ, _np.roll(typ, 1, 0)),
                (aty, _np.roll(aty, 1, 0)),
                (aty, typ),
            )
        ]
        return far[0], -far[1], -far[2]

    def _gain(beta):
        before, after = (
            _three(_typ, _aty),
            _three(_c + 0.5 * (_typ - _c), _c + 0.5 * (_aty - _c)),
        )
        return sum(w * (x - y) for w, x, y in zip((_alpha, beta, beta), before, after))

    _border = float(critical_beta(*_three(_typ, _aty), _alpha))
    assert _gain(0.99 * _border) > 0 > _gain(1.01 * _border), (
        "just below the border shrinking must pay, just above not"
    )
### END HIDDEN TESTS

# %% [markdown]
# The paper sets $\alpha = 1$ and $\beta_1 = \beta_2 = 10^{-5}$. Pair the codes below with `.roll(1, 0)` and the atypical with the
# typical row by row. *How many times too small* is the paper's $\beta$ for them to stop the shrinking? Put the number into
# `times_too_small`; five percent either way are accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-codes"}
of_codes = torch.Generator().manual_seed(3)
z_typical = 0.5 + 0.05 * torch.randn(64, 16, generator=of_codes)
z_atypical = 0.5 + 0.15 * torch.randn(64, 16, generator=of_codes)

# %% nbgrader={"kind": "solution", "grade_id": "times-too-small"}
times_too_small = None
### BEGIN SOLUTION
shifted = torch.arange(64).roll(1)
terms = (
    float(term)
    for term in (
        closeness(z_typical, shifted),
        *dispersion(z_atypical, z_typical, shifted),
    )
)
times_too_small = critical_beta(*terms, 1.0) / 1e-5
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "times-too-small-test", "points": 1}
assert times_too_small is not None and float(times_too_small) > 0
### BEGIN HIDDEN TESTS
import torch as _torch

_of = _torch.Generator().manual_seed(3)
_t, _a = (
    0.5 + 0.05 * _torch.randn(64, 16, generator=_of),
    0.5 + 0.15 * _torch.randn(64, 16, generator=_of),
)
_far = [
    float((x - y).double().pow(2).mean(1).sqrt().mean())
    for x, y in ((_t, _t.roll(1, 0)), (_a, _a.roll(1, 0)), (_a, _t))
]
_expected = 1e5 * _far[0] / (_far[1] + _far[2])
assert abs(float(times_too_small) / _expected - 1) < 0.05, (
    "not the number that follows from these codes"
)
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** Suppose the decoder began with a plain linear layer, *without* a normalisation. Is
# $\mathcal L_{rec} + \alpha \mathcal L_{cls}$ then safe from shrinking? And does it help to add the penalty
# $10^{-6} \sum w^2$ on the weights? Three to six sentences.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "without-normalisation", "points": 3}
# **Model answer.** No. A linear layer can undo the shrinking as well: multiply its weights by $1/\varepsilon$ and move its
# bias, and every reconstruction is what it was, while closeness has fallen by the factor $\varepsilon$. So the infimum is
# again that of reconstruction alone, and it is not attained. The difference is that a normalisation undoes it at once and for
# nothing, a linear layer has to learn it. With the penalty it is no longer free: the weights cost $1/\varepsilon^2$, closeness
# gains only in proportion to $\varepsilon$, so a smallest size of the codes exists; with a weight of a millionth it is very small.
#
# **Marks.** 1: the next layer can absorb the factor $1/\varepsilon$ (weights named). 1: so the infimum is the same, or "not safe", as a
# consequence and not as a guess. 1: the penalty makes the growth of the weights cost something, so there is a finite size,
# though a small one. Half a point where the direction is right without a reason. No marks for "without batch normalisation it
# cannot happen".

# %% [markdown]
# ## 4. A score must not depend on its neighbours (3 points)
#
# Write the reconstruction error of each image. Whoever calls `scores` may have left the model in training mode; the
# score of an image must be the same alone and in any company, and afterwards the model has to be exactly as it was found, its
# mode and its buffers included.


# %% nbgrader={"kind": "solution", "grade_id": "scores"}
def scores(model, X):
    """Mean squared reconstruction error of each image, (n, 1, 8, 8) -> float32 (n,), without gradients."""
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        errors = (model(X) - X).square().flatten(1).mean(1)
    model.train(was_training)
    return errors
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "scores-test", "points": 3}
model = small_autoencoder(0).train()
assert (
    scores(model, threes[:5]).shape == (5,)
    and not scores(model, threes[:5]).requires_grad
)
### BEGIN HIDDEN TESTS
import copy as _copy

import torch as _torch

for _training in (True, False):
    _model = small_autoencoder(5).train(_training)
    _reference, _before = (
        _copy.deepcopy(_model).eval(),
        _copy.deepcopy(_model.state_dict()),
    )
    _X = _torch.cat(
        [
            threes[:20],
            _torch.rand(20, 1, 8, 8, generator=_torch.Generator().manual_seed(5)),
        ]
    )
    with _torch.no_grad():
        _expected = (_reference(_X) - _X).pow(2).sum((1, 2, 3)) / 64
    _together, _alone = (
        scores(_model, _X),
        _torch.cat([scores(_model, _X[i : i + 1]) for i in range(40)]),
    )
    assert _torch.allclose(_together, _expected, atol=1e-5), (
        "the scores are not those of the model in evaluation mode"
    )
    assert _torch.allclose(_alone, _expected, atol=1e-5), (
        "an image scored alone gets another score"
    )
    assert _model.training is _training, "the model was left in another mode"
    assert all(
        _torch.equal(_model.state_dict()[name], old) for name, old in _before.items()
    ), "scoring changed the model"
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** A classmate scores in training mode, one test image together with 63 others. Explain what batch
# normalisation then computes, why this changes the score of *this* image, and in which direction the scores of a batch full of
# novel images are likely to move. Then say why reporting such an AUROC is not only noisy but a leak.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "training-mode", "points": 3}
# **Model answer.** In training mode the layer subtracts the mean and divides by the deviation *of the batch at hand* instead of
# the averages collected in training. The hidden values of an image, and so its reconstruction and error, depend on which images
# come with it. A batch of novel images is brought to mean zero and deviation one like a batch of normal ones: just that shift which would
# have told them apart is removed, so their errors tend to fall towards those of normal images (and where normal and novel
# are mixed, normal ones are disturbed, too). It is a leak, because the score uses the distribution of the test set: how the test
# images are batched and in what proportion, which a detector that meets one image at a time cannot know. If batches are sorted by class, it
# even uses labels.
#
# **Marks.** 1: statistics of the batch instead of the running ones. 1: consequence for one image, and a reasoned direction for a
# batch of novel images (the shift is normalised away). 1: transductive: the score uses other test images or
# their proportions. Half a point for "it is random" alone. No marks for "the network keeps learning", which is wrong (only the
# buffers move).

# %% [markdown]
# ## 5. Find the leak (3 points)
#
# A protocol, step by step:
#
# 1. Four fifths of the normal training images train the network; the others are held out.
# 2. The scores of the held-out images give a mean and a deviation, by which all scores are standardised.
# 3. The threshold is the one with the best balanced accuracy on a random fifth of the test set, labels included.
# 4. The balanced accuracy is computed on the other four fifths of the test set.
# 5. The share $\rho$ is set to 10, because among five values it gave the best mean of step 4.
# 6. The AUROC is computed on the whole test set with that $\rho$, and printed beside those of methods without a $\rho$.
#
# In which steps is something *chosen* with the help of test labels? Give the set of their numbers.

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = set()
### BEGIN SOLUTION
leaks = {3, 5}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks and set(leaks) < {1, 2, 3, 4, 5, 6}, "a set of step numbers"
### BEGIN HIDDEN TESTS
assert {int(step) for step in leaks} == {3, 5}, (
    "a step is missing, or one too many: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# Now do it properly: choose the threshold so that a share of the *held-out normal* scores lies above it, and measure with
# it. The labels `y` are for the measurement.


# %% nbgrader={"kind": "solution", "grade_id": "evaluate"}
def evaluate(held_out, test, y, share):
    """(threshold, balanced accuracy on the test scores) when scores above the threshold are called novel.

    held_out: (m,) scores of normal images, of which about `share` are to lie above the threshold. test: (n,) scores with labels
    y, 1 = novel.
    """
    ### BEGIN SOLUTION
    threshold = np.quantile(held_out, 1 - share)
    return threshold, metrics.balanced_accuracy(y, test, threshold)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "evaluate-test", "points": 2}
found = evaluate(
    np.arange(100.0), np.array([10.0, 20.0, 95.0]), np.array([0, 0, 1]), 0.1
)
assert len(found) == 2 and found[1] == 1.0
### BEGIN HIDDEN TESTS
import numpy as _np

for _seed in range(4):
    _draw = _np.random.default_rng(1000 + _seed)
    _held, _y = _draw.normal(size=400), _draw.integers(0, 2, 300)
    _test, _share = _draw.normal(size=300) + 1.5 * _y, (0.05, 0.1, 0.2, 0.3)[_seed]
    _threshold, _accuracy = evaluate(_held, _test, _y, _share)
    assert abs((_held > _threshold).mean() - _share) <= 0.006, (
        "not that share of the held-out scores lies above"
    )
    _hit, _false = (
        (_test[_y == 1] > _threshold).mean(),
        (_test[_y == 0] > _threshold).mean(),
    )
    assert abs(_accuracy - (_hit + 1 - _false) / 2) < 1e-6, (
        "balanced accuracy is the mean of the two classes' accuracies"
    )
    assert evaluate(_held, _test, 1 - _y, _share)[0] == _threshold, (
        "the threshold depends on the test labels"
    )
    assert evaluate(_held, _test[:50], _y[:50], _share)[0] == _threshold, (
        "the threshold depends on the test images"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Read a row of the ledger (1 point)
#
# Two rows of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), as they stood when this was written.
# The interval is that of *our* value.
#
# | claim | data | printed | ours | low | high | margin |
# |---|---|---|---|---|---|---|
# | Table 1, ICS, balanced accuracy | MNIST, mean | 0.9156 | 0.9123 | 0.8999 | 0.9247 | 0.02 |
# | Table 1, PCA, balanced accuracy | MNIST, 0 | 0.832 | 0.8119 | 0.7727 | 0.8511 | 0.03 |
#
# Write the rule of the ledger, for a number of the method that a paper proposes, as a function that returns one of `"reproduced"`, `"better"`, `"not reproduced"`,
# `"mixed within noise"`. Try it on both rows before you run the test.


# %% nbgrader={"kind": "solution", "grade_id": "verdict"}
def verdict(printed, low, high, margin):
    """What the interval [low, high] of our value says about a printed number; everything is a fraction."""
    ### BEGIN SOLUTION
    least, most = low - printed, high - printed
    if -margin <= least and most <= margin:
        return "reproduced"
    if least > margin:
        return "better"
    return "not reproduced" if most < -margin else "mixed within noise"
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "verdict-test", "points": 1}
assert verdict(0.5, 0.49, 0.51, 0.02) == "reproduced"
### BEGIN HIDDEN TESTS
assert verdict(0.9156, 0.8999, 0.9247, 0.02) == "reproduced"
assert verdict(0.832, 0.7727, 0.8511, 0.03) == "mixed within noise"
assert verdict(0.7, 0.74, 0.79, 0.03) == "better"
assert verdict(0.7, 0.72, 0.79, 0.03) == "mixed within noise"
assert verdict(0.946, 0.74, 0.82, 0.03) == "not reproduced"
assert verdict(0.946, 0.84, 0.93, 0.03) == "mixed within noise"
assert verdict(0.5, 0.3, 0.7, 0.03) == "mixed within noise"
### END HIDDEN TESTS
