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
# **Afterwards you can** turn a requirement on features into a loss, see what a loss leaves open, score without the statistics of a
# test batch, and choose a threshold without novelties.
#
# * Write between the line `# YOUR CODE HERE` and the end of its cell; delete `raise NotImplementedError()`.
# * The cell below each exercise tests it. What you see there is a part: when the assignment is graded, your functions also
#   meet inputs that you have not seen. Values are compared, not types.
# * Test cells are restored before grading. Changing or deleting one changes nothing.
# * Before you hand in: restart the kernel and run all cells.
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
    source = "novelty-utils @ git+https://github.com/novelty-book/novelty-book@v0.1.0"
    source = os.environ.get("NOVELTY_UTILS_SOURCE", source)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
    importlib.invalidate_caches()

# %% [markdown]
# Some numbers of this assignment are yours alone. They follow from the name under which you hand in; your teacher says which
# that is. With another name they come out wrong.

# %% nbgrader={"kind": "solution", "grade_id": "who"}
student = ""
### BEGIN SOLUTION
student = "reference"
### END SOLUTION

# %% nbgrader={"kind": "given", "grade_id": "set-up"}
import numpy as np
import torch
from torch import nn

from novelty_utils import data
from novelty_utils.evaluation import metrics

release_seed = 0


def draw(purpose):
    """Random numbers of your own."""
    words = f"{release_seed} {student.strip().lower()} {purpose}"
    return np.random.default_rng(list(words.encode()))


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
    weights = list(model.parameters())
    for _ in range(60):
        loss = (model(threes) - threes).square().mean()
        with torch.no_grad():
            for w, slope in zip(
                weights, torch.autograd.grad(loss, weights), strict=True
            ):
                w -= 5 * slope
    return model


# %% [markdown]
# ## 1. Closeness (2 points, 20 minutes, easy)
#
# Normal images should have similar codes. Take the expected *root-mean-square* distance of the codes of two independent normal
# images, and estimate it from a batch in which image $j$ is paired with image `partner[j]`. An image may be its own partner. Such a pair
# says nothing about two *independent* images, so leave it out of the mean; at least one other pair is there. Two different
# images may have the very same code: that pair counts, the gradient has to stay finite there, and the value may be off by a
# millionth for it.


# %% nbgrader={"kind": "solution", "grade_id": "closeness"}
def closeness(z, partner):
    """L_cls of the codes z, float32 (B, L), paired with z[partner]; partner: int64 (B,). A scalar tensor, >= 0."""
    ### BEGIN SOLUTION
    others = partner != torch.arange(len(z))
    squares = (z - z[partner])[others].square().mean(1)
    return (squares + 1e-12).sqrt().mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "closeness-test", "points": 2}
found = float(closeness(z_two, each_other))
assert abs(found - 12.5**0.5) < 1e-4, (
    f"closeness of z_two is {found:.4f}; sqrt((9 + 16) / 2) = 3.5355 was expected"
)
z_same = torch.ones(3, 2, requires_grad=True)
closeness(z_same, torch.tensor([1, 2, 0])).backward()
assert z_same.grad.isfinite().all(), (
    "the gradient of closeness is not finite for equal codes; a finite one was expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(700 + _seed)
    _n = 9 + _seed
    _z, _partner = (
        _draw.uniform(size=(_n, 5 + 2 * _seed)).astype("float32"),
        _draw.permutation(_n),
    )
    _partner[_seed] = _seed
    _pairs = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(_z[j], _z[k])) / _z.shape[1]
        for j, k in enumerate(_partner)
        if j != k
    ]
    _expected = sum(pair**0.5 for pair in _pairs) / len(_pairs)
    _got = float(closeness(_torch.from_numpy(_z), _torch.from_numpy(_partner)))
    assert abs(_got - _expected) < 1e-4, (
        f"closeness is {_got:.4f} where {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Dispersion (2 points, 15 minutes, easy)
#
# Something must push outwards. The atypical codes shall move apart from each other and from the typical ones; both
# terms are *minimised*, with a positive weight. The second term shall waste no pair: it compares *every* atypical code with *every*
# typical one. There may be more of one kind than of the other.


# %% nbgrader={"kind": "solution", "grade_id": "dispersion"}
def dispersion(z_aty, z_typ, partner):
    """The pair (L_disp1, L_disp2) of codes (B, L) and (C, L), as scalar tensors.

    L_disp1 pairs z_aty with z_aty[partner] as `closeness` does; L_disp2 takes the mean over all B times C pairs.
    """
    ### BEGIN SOLUTION
    apart = -closeness(z_aty, partner)
    squares = (z_aty[:, None] - z_typ[None]).square().mean(2)
    return apart, -(squares + 1e-12).sqrt().mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "dispersion-test", "points": 2}
both = [float(term) for term in dispersion(z_two, torch.zeros(1, 2), each_other)]
assert np.allclose(both, [-(12.5**0.5), -(12.5**0.5) / 2], atol=1e-4), (
    f"(L_disp1, L_disp2) of z_two and one typical code in the origin are {both}; "
    "-sqrt(25 / 2) and half of it were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(800 + _seed)
    _a = _draw.uniform(size=(7, 4 + _seed)).astype("float32")
    _t = _draw.uniform(size=(5 + 2 * _seed, 4 + _seed)).astype("float32")
    _partner = _np.roll(_np.arange(7), 1 + _seed)
    _expected = [
        -_np.mean(
            [_np.sqrt(_np.mean((_a[j] - _a[_partner[j]]) ** 2)) for j in range(7)]
        ),
        -_np.mean([_np.sqrt(_np.mean((a - t) ** 2)) for a in _a for t in _t]),
    ]
    _got = [
        float(term)
        for term in dispersion(
            _torch.from_numpy(_a), _torch.from_numpy(_t), _torch.from_numpy(_partner)
        )
    ]
    assert _np.allclose(_got, _expected, atol=1e-4), (
        f"dispersion is {_got} where {_expected} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 3. When shrinking stops paying (3 points, 30 minutes, hard)
#
# The decoder's first layer normalises the codes, so replacing every code $z$ by $c + \varepsilon (z - c)$, $0 < \varepsilon < 1$,
# leaves $\mathcal L_{rec}$ as it was. With
# $\mathcal L = \mathcal L_{rec} + \alpha\mathcal L_{cls} + \beta(\mathcal L_{disp,1} + \mathcal L_{disp,2})$, where $\mathcal L_{cls}$ is over the *typical* codes,
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
border = float(critical_beta(0.3, -0.2, -0.4, 1.0))
assert border > 0, f"critical_beta(0.3, -0.2, -0.4, 1) is {border}; it must be positive"
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
# The paper sets $\alpha = 1$ and $\beta_1 = \beta_2 = 10^{-5}$. Pair the codes below with `.roll(1, 0)`, each kind within itself; the codes are your own.
# *How many times too small* is the paper's $\beta$ for them to stop the shrinking? Put the number into
# `times_too_small`; one percent either way is accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-codes"}
of_codes = draw("codes")
narrow, wide = of_codes.uniform(0.01, 0.1), of_codes.uniform(0.1, 0.4)
z_typical = torch.tensor(0.5 + narrow * of_codes.normal(size=(64, 16))).float()
z_atypical = torch.tensor(0.5 + wide * of_codes.normal(size=(64, 16))).float()

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
assert times_too_small is not None and float(times_too_small) > 0, (
    f"times_too_small is {times_too_small}; a positive number was expected"
)
### BEGIN HIDDEN TESTS
_t, _a = z_typical.double().numpy(), z_atypical.double().numpy()
_far = [
    np.sqrt(((x - y) ** 2).mean(-1)).mean()
    for x, y in (
        (_t, np.roll(_t, 1, 0)),
        (_a, np.roll(_a, 1, 0)),
        (_a[:, None], _t[None]),
    )
]
_expected = 1e5 * _far[0] / (_far[1] + _far[2])
assert abs(float(times_too_small) / _expected - 1) < 0.01, (
    f"times_too_small is {float(times_too_small):.5g}; from the codes of {student!r} "
    f"{_expected:.5g} follows"
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
# ## 4. A score must not depend on its neighbours (3 points, 20 minutes, medium)
#
# Write the reconstruction error of each image. Whoever calls `scores` may have left the model in training mode, or only some of its
# layers. The score is that of the model in evaluation mode (1 point). It is the same alone and in any company (1 point). Afterwards
# the model is exactly as it was found: the mode of *each* layer and the buffers (1 point).


# %% nbgrader={"kind": "solution", "grade_id": "scores"}
def scores(model, X):
    """Mean squared reconstruction error of each image, (n, 1, 8, 8) -> float32 (n,), without gradients."""
    ### BEGIN SOLUTION
    modes = {part: part.training for part in model.modules()}
    model.eval()
    with torch.no_grad():
        errors = (model(X) - X).square().flatten(1).mean(1)
    for part, mode in modes.items():
        part.training = mode
    return errors
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "scores-test", "points": 1}
found = scores(small_autoencoder(0).train(), threes[:5])
assert np.shape(found) == (5,), (
    f"the scores of five images have the shape {np.shape(found)}; (5,) was expected"
)
assert not getattr(found, "requires_grad", False), (
    "the scores carry gradients; they were expected without"
)
### BEGIN HIDDEN TESTS
import copy as _copy

import torch as _torch

_X = _torch.cat(
    [
        threes[:20],
        _torch.rand(20, 1, 8, 8, generator=_torch.Generator().manual_seed(5)),
    ]
)


def _right(model):
    with _torch.no_grad():
        difference = _copy.deepcopy(model).eval()(_X) - _X
    return difference.double().pow(2).sum((1, 2, 3)).numpy() / 64


for _training in (True, False):
    _model = small_autoencoder(5).train(_training)
    _expected = _right(_model)
    _got = np.asarray(scores(_model, _X), dtype=float)
    assert np.allclose(_got, _expected, atol=1e-5), (
        f"the first score of a model with training={_training} is {_got[0]:.5f}; in "
        f"evaluation mode it is {_expected[0]:.5f}"
    )
### END HIDDEN TESTS

# %% nbgrader={"kind": "test", "grade_id": "alone-test", "points": 1}
model = small_autoencoder(0).train()
alone, together = float(scores(model, threes[:1])[0]), float(scores(model, threes)[0])
assert abs(alone - together) < 1e-5, (
    f"the first image scores {alone:.5f} alone and {together:.5f} in company; "
    "the same was expected"
)
### BEGIN HIDDEN TESTS
import torch as _torch

_X = _torch.cat([threes[:9], 1 - threes[:9]])
for _training in (True, False):
    _model = small_autoencoder(6).train(_training)
    _together = np.asarray(scores(_model, _X), dtype=float)
    _alone = [float(scores(_model, _X[i : i + 1])[0]) for i in range(18)]
    assert np.ptp(_together) > 1e-3, (
        "all images have one score; different ones were expected"
    )
    assert np.allclose(_alone, _together, atol=1e-5), (
        f"with training={_training} scores alone are {_alone[:3]}, together "
        f"{_together[:3]}; the same was expected"
    )
### END HIDDEN TESTS

# %% nbgrader={"kind": "test", "grade_id": "as-found-test", "points": 1}
model = small_autoencoder(0).train()
scores(model, threes[:5])
assert model.training, (
    "the model was in training mode before scores and is not after it"
)
### BEGIN HIDDEN TESTS
import copy as _copy

import torch as _torch

for _frozen, _training in ((False, True), (False, False), (True, True)):
    _model = small_autoencoder(7).train(_training)
    if _frozen:
        _model[2].eval()
    _modes = [part.training for part in _model.modules()]
    _before = _copy.deepcopy(_model.state_dict())
    _got = np.asarray(scores(_model, threes[:9]), dtype=float)
    assert _got.shape == (9,), (
        f"nine images have {_got.shape} scores; (9,) was expected"
    )
    assert np.ptp(_got) > 1e-3, (
        "all images have one score; different ones were expected"
    )
    _after = [part.training for part in _model.modules()]
    assert _after == _modes, (
        f"the modes of the layers are {_after} after scoring; before it {_modes}"
    )
    _changed = [n for n, v in _model.state_dict().items() if not v.equal(_before[n])]
    assert not _changed, (
        f"scoring changed {_changed} of the model; nothing was expected to"
    )
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
# ## 5. Find the leak (3 points, 20 minutes, medium)
#
# The cell below prints a protocol, your own, step by step. In which steps does a *label of a test image decide* about something that is reported,
# other than by measuring it at the end? Give the set of their numbers; it may be empty.

# %% tags=["hide-input"] nbgrader={"kind": "given", "grade_id": "protocol"}
VERSIONS = (
    (
        "The network is trained for 50 epochs, a number fixed before the first run.",
        "The network of the epoch with the best AUROC on the test set is kept.",
    ),
    (
        "Scores are standardised by mean and deviation over the normal test images.",
        "Scores are standardised by mean and deviation over held-out normal images.",
    ),
    (
        "The share rho is 10: of five values it had the best accuracy on the test set.",
        "The share rho is 10, as in the paper.",
    ),
    (
        "The threshold lies above 95 % of the scores of held-out normal images.",
        "The threshold has the best balanced accuracy on a random fifth of the test set.",
    ),
    (
        "If the AUROC on the test set is below one half, the score is turned around.",
        "A high score means novel; that was fixed before the first run.",
    ),
    (
        "Balanced accuracy is reported as the mean over all ten classes.",
        "Of the classes those are reported in which the AUROC exceeds 0.6.",
    ),
)
picks = draw("leaks").integers(0, 2, len(VERSIONS))
for number, (pick, two) in enumerate(zip(picks, VERSIONS, strict=True), 1):
    print(f"{number}. {two[pick]}")

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = None
### BEGIN SOLUTION
leaks = {i for i, pick in enumerate(picks, 1) if pick == (1, 0, 0, 1, 0, 1)[i - 1]}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks is not None and set(leaks) <= {1, 2, 3, 4, 5, 6}, (
    f"leaks is {leaks}; a set of step numbers was expected"
)
### BEGIN HIDDEN TESTS
_leaky = (
    "epoch with",
    "over the normal test",
    "of five",
    "a random",
    "If the",
    "Of the",
)
_steps = enumerate((two[pick] for pick, two in zip(picks, VERSIONS)), 1)
_right = {i for i, step in _steps if any(word in step for word in _leaky)}
assert {int(step) for step in leaks} == _right, (
    f"leaks is {sorted(map(int, leaks))}; in the protocol of {student!r} these are "
    f"{sorted(_right)}: what is chosen, and by what?"
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
assert len(found) == 2 and abs(float(found[1]) - 1) < 1e-6, (
    f"evaluate gives {found}; a threshold from 89 to 90 and the accuracy 1 were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np

for _seed in range(4):
    _draw = _np.random.default_rng(1000 + _seed)
    _held, _y = _draw.normal(size=400), _draw.integers(0, 2, 300)
    _test, _share = _draw.normal(size=300) + 1.5 * _y, (0.05, 0.1, 0.2, 0.3)[_seed]
    _threshold, _accuracy = map(float, evaluate(_held, _test, _y, _share))
    _above = (_held > _threshold).mean()
    assert abs(_above - _share) <= 0.006, (
        f"{_above:.3f} of the held-out scores lie above the threshold; {_share} were "
        "expected to"
    )
    _hit, _false = (
        (_test[_y == 1] > _threshold).mean(),
        (_test[_y == 0] > _threshold).mean(),
    )
    _expected = (_hit + 1 - _false) / 2
    assert abs(_accuracy - _expected) < 1e-6, (
        f"the balanced accuracy is {_accuracy:.4f}; {_expected:.4f}, the mean over both "
        "classes, was expected"
    )
    for _others in ((_test, 1 - _y), (_test[:50], _y[:50])):
        _again = float(evaluate(_held, *_others, _share)[0])
        assert _again == _threshold, (
            f"the threshold is {_again} and not {_threshold} if only test images or "
            "their labels change; the same was expected"
        )
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Read a row of the ledger (1 point, 15 minutes, easy)
#
# Two rows of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), as they stood when this was written.
# The interval is that of *our* value.
#
# | claim | data | printed | ours | low | high | margin |
# |---|---|---|---|---|---|---|
# | Table 1, ICS, balanced accuracy | MNIST, mean | 0.9156 | 0.9123 | 0.8999 | 0.9247 | 0.02 |
# | Table 1, PCA, balanced accuracy | MNIST, 0 | 0.832 | 0.8119 | 0.7727 | 0.8511 | 0.03 |
#
# The rule of the ledger, for a number of the method that a paper proposes, looks at the interval of the *difference*, ours minus printed. It says `"reproduced"` if the whole interval
# lies between minus the margin and the margin, both edges included; `"better"` if all of it lies above the margin; `"not reproduced"` if all of it lies below minus
# the margin; else `"mixed within noise"`. (A short training cannot refute: there the ledger prints `"below so far"` for the third.) Write the rule. What does it say about both rows?


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
found = verdict(0.5, 0.49, 0.51, 0.02)
assert found == "reproduced", f"verdict is {found!r}; 'reproduced' was expected"
### BEGIN HIDDEN TESTS
for _row, _expected in {
    (0.9156, 0.8999, 0.9247, 0.02): "reproduced",
    (0.832, 0.7727, 0.8511, 0.03): "mixed within noise",
    (0.7, 0.74, 0.79, 0.03): "better",
    (0.7, 0.72, 0.79, 0.03): "mixed within noise",
    (0.946, 0.74, 0.82, 0.03): "not reproduced",
    (0.946, 0.84, 0.93, 0.03): "mixed within noise",
    (0.5, 0.3, 0.7, 0.03): "mixed within noise",
    (0.5, 0.25, 0.75, 0.25): "reproduced",
}.items():
    _got = verdict(*_row)
    assert _got == _expected, f"verdict{_row} is {_got!r}; {_expected!r} was expected"
### END HIDDEN TESTS
