# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 4: ADe-GAN, patterns and two ways to be novel
#
# About two hours. 20 points: 14 given by tests, 6 by a reader. Read the
# [notebook](https://novelty-book.github.io/novelty-book/notebooks/ade_gan.html) first, up to *The networks, block by block*.
#
# **Afterwards you can** write the losses of an extractor for patterns that are not equally frequent, say what mixing does to a
# prior, compute a score that keeps its digits, and tell a failed reproduction from a refuted claim.
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

release_seed = 0


def draw(purpose):
    """Random numbers of your own."""
    words = f"{release_seed} {student.strip().lower()} {purpose}"
    return np.random.default_rng(list(words.encode()))


ds = data.load("digits")
images = ds.images[:200].float() / 255  # (200, 1, 8, 8)


class SmallExtractor(nn.Module):
    """A little extractor with batch normalisation: images (B, 1, 8, 8) -> logits (B, n_c) and features (B, d)."""

    def __init__(self, n_c, d, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.n_c = n_c
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, n_c + d),
        )
        for _ in range(20):  # collects the statistics of batch normalisation
            self.body(images)

    def forward(self, X):
        return self.body(X).split([self.n_c, self.body[-1].out_features - self.n_c], 1)


# %% [markdown]
# ## 1. No opinion about a mixture (2 points, 15 minutes, easy)
#
# On the image of a *mixture* the extractor shall have no opinion. Eq. 6 takes that to mean that all $n_c$ patterns are equally likely. If patterns are
# not equally frequent, having no opinion means to predict their frequencies $w$. Write that loss, the cross entropy of $w$ with the extractor's prediction, averaged over the
# batch. What is its least value, and where is it reached? Logits may be as large as 1000; the loss has to stay finite.


# %% nbgrader={"kind": "solution", "grade_id": "mixture-penalty"}
def mixture_penalty(logits, w):
    """L_ip of logits, float32 (B, n_c), for frequencies w, float32 (n_c,) with sum 1: a scalar tensor."""
    ### BEGIN SOLUTION
    return -(logits.log_softmax(1) @ w).mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "mixture-penalty-test", "points": 2}
found = float(mixture_penalty(torch.zeros(3, 10), torch.full((10,), 0.1)))
assert abs(found - np.log(10)) < 1e-4, (
    f"equal logits for ten equal frequencies cost {found:.4f}; log 10 = 2.3026 was expected"
)
found = float(mixture_penalty(torch.tensor([[1000.0, 0.0]]), torch.tensor([0.5, 0.5])))
assert abs(found - 500) < 1e-2, f"logits 1000 and 0 cost {found}; 500 was expected"
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _l = (
        _np.random.default_rng(100 + _seed)
        .normal(size=(5, 3 + 2 * _seed))
        .astype("float32")
        * 2
    )
    _p = _np.exp(_l) / _np.exp(_l).sum(1, keepdims=True)
    _w = _np.random.default_rng(_seed).dirichlet(_np.ones(_l.shape[1]))
    _expected = -_np.average(_np.log(_p), axis=1, weights=_w).mean()
    _got = float(
        mixture_penalty(_torch.from_numpy(_l), _torch.tensor(_w, dtype=_torch.float32))
    )
    assert abs(_got - _expected) < 1e-3, (
        f"the loss is {_got:.4f}; {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Find the code again (2 points, 20 minutes, medium)
#
# The extractor shall return the code from which an image was made: cross entropy of the true pattern with the predicted one, plus the error of the features, both averaged over the batch. Patterns
# `z_c` may be soft. The printed error is a Euclidean length, whose size depends on the number of features and on their unit $\sigma$; take the *root mean square per feature, in units of*
# $\sigma$ instead, so that the two halves can be compared.


# %% nbgrader={"kind": "solution", "grade_id": "inversion"}
def inversion(logits, z_c, z_n_hat, z_n, sigma):
    """L_sl: logits and z_c float32 (B, n_c), z_n_hat and z_n float32 (B, d), sigma a float -> a scalar tensor."""
    ### BEGIN SOLUTION
    of_patterns = -(z_c * logits.log_softmax(1)).sum(1)
    of_features = ((z_n_hat - z_n) / sigma).square().mean(1).sqrt()
    return (of_patterns + of_features).mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "inversion-test", "points": 2}
one_hot, origin = torch.eye(4), torch.zeros(4, 2)
found = float(inversion(50 * one_hot, one_hot, origin + 0.3, origin, 0.1))
assert abs(found - 3) < 1e-4, (
    f"sure and right about the pattern, 0.3 off in each feature at sigma = 0.1 costs "
    f"{found:.4f}; 3 was expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(200 + _seed)
    _n, _d = 3 + _seed, 2 + _seed
    _l, _c = _draw.normal(size=(6, _n)), _draw.dirichlet(_np.ones(_n), 6)
    _hat, _true = _draw.normal(size=(2, 6, _d))
    _log_p = _l - _np.log(_np.exp(_l).sum(1, keepdims=True))
    _expected = _np.mean(
        [
            -(_c[i] @ _log_p[i])
            + _np.sqrt(((_hat[i] - _true[i]) ** 2).sum() / _d) / (0.1 + _seed)
            for i in range(6)
        ]
    )
    _got = float(
        inversion(
            *(_torch.tensor(a, dtype=_torch.float32) for a in (_l, _c, _hat, _true)),
            0.1 + _seed,
        )
    )
    assert abs(_got - _expected) < 1e-3, (
        f"the loss is {_got:.4f}; {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 3. What mixing does to the prior (2 points, 25 minutes, hard)
#
# Mix $t$ independent feature vectors $z_n^{(i)} \sim N(0, \sigma^2 I)$ with weights drawn uniformly from the simplex ($\lambda_i \ge 0$, sum 1). By which factor does the variance of a
# coordinate shrink on average? You need $\mathbb E \lambda_i^2$; for $t = 2$ the notebook finds two thirds.


# %% nbgrader={"kind": "solution", "grade_id": "shrinkage"}
def shrinkage(t):
    """The factor, a float in (0, 1], for t = 1, 2, ... codes; a formula, not a simulation."""
    ### BEGIN SOLUTION
    # lambda_i is Beta(1, t - 1): E lambda_i^2 = 2 / (t (t + 1)), and there are t of them
    return 2 / (t + 1)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "shrinkage-test", "points": 2}
found = [float(shrinkage(t)) for t in (1, 2)]
assert np.allclose(found, [1, 2 / 3]), (
    f"the factors for one and two codes are {found}; 1 and 2/3 were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np

for _t in (3, 5, 9, 20):
    _lam = _np.random.default_rng(_t).dirichlet(_np.ones(_t), 200_000)
    _expected = (_lam**2).sum(1).mean()
    _got = float(shrinkage(_t))
    assert abs(_got / _expected - 1) < 0.01, (
        f"the factor for {_t} codes is {_got:.4f}; a simulation gives {_expected:.4f}"
    )
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** You have found how the variance shrinks inside one pattern. A colleague repairs it: each mixture $z_n^{ip}$ is divided by $\sqrt{\sum_i \lambda_i^2}$,
# the pattern $z_c$ stays. Show which law the repaired codes have, also with random weights. The paper says two things of a mixture: it has the same pattern, and each of its coordinates
# lies between the least and the greatest of those mixed. Which of them is still true? And does the repair work if the features are uniform on $[-1, 1]$ instead of Gaussian?

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "inside", "points": 3}
# **Model answer.** For fixed weights $\sum_i \lambda_i z^{(i)}$ is a sum of independent Gaussians, so Gaussian with mean zero and variance $\sigma^2 \sum_i \lambda_i^2$; divided by the root it is
# $N(0, \sigma^2 I)$, whatever the weights are. A law that is the same for all weights is also the law with random ones, drawn independently of the codes. The pattern stays, since only the feature
# is divided. The second is lost: the root is below one, so the quotient can leave the range, for two equal codes $z, z$ with weights one half it is $\sqrt 2 z$. Between the least and the
# greatest, and distributed as the prior, are two demands that exclude each other. For uniform features the variance is restored, the law is not: the mean of two uniform numbers has a
# triangular density, and after the division it reaches beyond $[-1, 1]$. That sums keep the shape is special to the Gaussian.
#
# **Marks.** 1: the law is the prior's, with the variance worked out and a reason why random weights do no harm. 1: the pattern stays, the range is lost, with an example or an inequality.
# 1: uniform: right variance, another law, with a reason (triangle, or values beyond 1). Half a point where only the variance is compared.

# %% [markdown]
# ## 4. Which way does the score point? (4 points, 40 minutes, hard)
#
# Let $z$ be the error of an image in deviations of held-out normal errors and $m \in (1/n_c, 1]$ the confidence in a pattern. Reading R1 of eq. 11 takes the
# errors to be Gaussian. Take them to have heavier tails: a *logistic* law of scale $s$, $F(z) = 1 / (1 + e^{-z/s})$. Then
# $\mathcal A_{R1} = -\frac{1}{n_c} F(z) - (1 - F(z))\, m$. It rounds to $-1/n_c$ for every far image. Write a score that ranks *exactly* as this does and still tells
# $z = 60 s$ from $z = 800 s$. Any increasing function of $\mathcal A_{R1}$ will do.


# %% nbgrader={"kind": "solution", "grade_id": "r1"}
def r1(z, m, n_c, s):
    """Scores, float64 (n,), high for novel: z float64 (n,), m float64 (n,) in (1 / n_c, 1], s a float > 0."""
    ### BEGIN SOLUTION
    # A + 1/n_c = -(1 - F) (m - 1/n_c), so -log of what is in front is increasing in A;
    # -log(1 - F) = log(1 + exp(z / s)), which logaddexp computes without the exponential.
    return np.logaddexp(0, z / s) - np.log(m - 1 / n_c)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "r1-test", "points": 3}
rising = np.asarray(
    r1(np.array([0.0, 1.0, 3.0]), np.full(3, 0.9), 10, 0.5), dtype=float
)
assert (np.diff(rising) > 0).all(), (
    f"for rising errors the scores are {rising}; rising ones were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
from scipy.stats import logistic as _logistic
from scipy.stats import rankdata as _rank

for _seed, _n_c, _s in ((0, 10, 0.55), (1, 4, 1.0), (2, 7, 2.0)):
    _draw = _np.random.default_rng(400 + _seed)
    _z, _m = _draw.uniform(-3, 4, 400), _draw.uniform(1 / _n_c + 0.01, 1, 400)
    _F = _logistic.cdf(_z, scale=_s)
    _printed = -_F / _n_c - (1 - _F) * _m
    _got = _np.asarray(r1(_z, _m, _n_c, _s), dtype=float)
    assert _np.isfinite(_got).all(), (
        "some scores are not finite; finite ones were expected"
    )
    _alike = _np.corrcoef(_rank(_got), _rank(_printed))[0, 1]
    assert _alike > 1 - 1e-7, (
        f"the correlation of ranks with R1's is {_alike:.6f}; 1 was expected"
    )
    _far = _s * _np.array([30.0, 60.0, 100.0, 800.0, 2000.0])
    _tail = _np.asarray(r1(_far, _np.full(5, 0.7), _n_c, _s), dtype=float)
    assert _np.isfinite(_tail).all() and (_np.diff(_tail) > 0).all(), (
        f"far images score {_tail}; rising finite scores were expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# In single precision (`np.float32`) $F$ *equals* 1 much earlier. From which error $e$ on, to three digits? Held-out errors have the mean, the deviation and the
# scale $s$ that the cell prints; $z = (e - \text{mean}) / \text{deviation}$, and $1 + e^{-z/s}$ is what is rounded.

# %% nbgrader={"kind": "given", "grade_id": "some-errors"}
mean = float(round(draw("mean").uniform(0.01, 0.1), 4))
deviation = float(round(draw("deviation").uniform(0.005, 0.05), 4))
scale = float(round(draw("scale").uniform(0.4, 1.2), 2))
print(f"mean = {mean}, deviation = {deviation}, s = {scale}")

# %% nbgrader={"kind": "solution", "grade_id": "rounds"}
rounds_from = None
### BEGIN SOLUTION
# 1 + t rounds to 1 once t is at most half the spacing of numbers above 1, 2^-24
rounds_from = mean + deviation * scale * 24 * np.log(2)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "rounds-test", "points": 1}
assert rounds_from is not None and float(rounds_from) > mean, (
    f"rounds_from is {rounds_from}; an error above the mean was expected"
)
### BEGIN HIDDEN TESTS
_grid = np.linspace(0, 40, 400_001)  # z / s
_one = np.float32(1) + np.exp(-_grid).astype(np.float32) == 1
_expected = mean + deviation * scale * _grid[_one.argmax()]
assert abs(float(rounds_from) / _expected - 1) < 0.005, (
    f"rounds_from is {float(rounds_from):.4f}; for the numbers of {student!r} "
    f"{_expected:.4f} was expected: equal, not close"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Confidence in evaluation mode (2 points, 15 minutes, medium)
#
# Return the confidence of an extractor for each image. Whoever calls it may have left the extractor in training mode, or only some of its layers. The confidence is that in evaluation
# mode, the same alone and in any company (1 point). The extractor is found afterwards as it was before, the mode of *each* layer included (1 point).


# %% nbgrader={"kind": "solution", "grade_id": "confidence"}
def confidence(extractor, X):
    """m = max over patterns of the softmax of the logits: (n, 1, 8, 8) -> float32 (n,), without gradients."""
    ### BEGIN SOLUTION
    modes = {part: part.training for part in extractor.modules()}
    extractor.eval()
    with torch.no_grad():
        m = extractor(X)[0].softmax(1).amax(1)
    for part, mode in modes.items():
        part.training = mode
    return m
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "confidence-test", "points": 1}
found = confidence(SmallExtractor(5, 3, seed=0), images[:6])
assert np.shape(found) == (6,), (
    f"the confidences of six images have the shape {np.shape(found)}; (6,) was expected"
)
assert not getattr(found, "requires_grad", False), (
    "the confidences carry gradients; they were expected without"
)
### BEGIN HIDDEN TESTS
import copy as _copy

import torch as _torch

_X = _torch.cat(
    [
        images[40:50],
        _torch.rand(10, 1, 8, 8, generator=_torch.Generator().manual_seed(7)),
    ]
)
for _training in (True, False):
    _E = SmallExtractor(4, 2, seed=7).train(_training)
    with _torch.no_grad():
        _l = _copy.deepcopy(_E).eval()(_X)[0].double()
    _expected = (((_l - _l.max(1, keepdim=True).values).exp().sum(1)) ** -1).numpy()
    _got = np.asarray(confidence(_E, _X), dtype=float)
    _alone = [float(confidence(_E, _X[i : i + 1])[0]) for i in range(20)]
    for _how, _values in (("together", _got), ("alone", _alone)):
        assert np.allclose(_values, _expected, atol=1e-4), (
            f"with training={_training} the first confidences {_how} are {_values[:3]}; "
            f"{_expected[:3]} was expected"
        )
### END HIDDEN TESTS

# %% nbgrader={"kind": "test", "grade_id": "as-found-test", "points": 1}
E = SmallExtractor(5, 3, seed=0).train()
confidence(E, images[:6])
assert E.training, (
    "the extractor was in training mode before confidence and is not after it"
)
### BEGIN HIDDEN TESTS
import copy as _copy

for _frozen, _training in ((False, True), (False, False), (True, True)):
    _E = SmallExtractor(4, 2, seed=8).train(_training)
    if _frozen:
        _E.body[2].eval()
    _modes = [part.training for part in _E.modules()]
    _before = _copy.deepcopy(_E.state_dict())
    _got = np.asarray(confidence(_E, images[:9]), dtype=float)
    assert _got.shape == (9,) and np.ptp(_got) > 1e-4, (
        f"the confidences of nine images are {_got}; nine different ones were expected"
    )
    _after = [part.training for part in _E.modules()]
    assert _after == _modes, (
        f"the modes of the layers are {_after} afterwards; before it {_modes}"
    )
    _changed = [n for n, v in _E.state_dict().items() if not v.equal(_before[n])]
    assert not _changed, f"it changed {_changed}; nothing was expected to change"
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Find the leak (1 point, 10 minutes, medium)
#
# The cell below prints a protocol, your own. In which steps does a *label of a test image decide* about something that is reported, other than by measuring it at
# the end? (Too few seeds are a weakness, too, but of another kind.) Give the set of their numbers; it may be empty.

# %% tags=["hide-input"] nbgrader={"kind": "given", "grade_id": "protocol"}
VERSIONS = (
    (
        "Mean and deviation of the errors are those of held-out normal images.",
        "Mean and deviation of the errors are those of the normal images of the test set.",
    ),
    (
        "The reading of eq. 11 is the one of three with the best AUROC on the test set.",
        "The reading R1 is fixed before any run.",
    ),
    (
        "The number of patterns is ten, because the data have ten classes.",
        "Of 2, 4, ..., 14 patterns the number with the best mean AUROC is the default.",
    ),
    (
        "Training ends after the epoch with the highest AUROC on the test set.",
        "Training ends after as many epochs as the paper prints.",
    ),
    (
        "The other methods run with the settings of their papers.",
        "The other methods run with the settings that were best on the test set.",
    ),
    (
        "One seed is trained and reported.",
        "Of three seeds the one with the best AUROC is reported.",
    ),
)
picks = draw("leaks").integers(0, 2, len(VERSIONS))
for number, (pick, two) in enumerate(zip(picks, VERSIONS, strict=True), 1):
    print(f"{number}. {two[pick]}")

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = None
### BEGIN SOLUTION
leaks = {i for i, pick in enumerate(picks, 1) if pick == (1, 0, 1, 0, 1, 1)[i - 1]}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks is not None and set(leaks) <= {1, 2, 3, 4, 5, 6}, (
    f"leaks is {leaks}; a set of step numbers was expected"
)
### BEGIN HIDDEN TESTS
_leaky = (
    "of the test set",
    "one of three",
    "best mean",
    "highest",
    "that were best",
    "Of three",
)
_steps = enumerate((two[pick] for pick, two in zip(picks, VERSIONS)), 1)
_right = {i for i, step in _steps if any(word in step for word in _leaky)}
assert {int(step) for step in leaks} == _right, (
    f"leaks is {sorted(map(int, leaks))}; in the protocol of {student!r} these are "
    f"{sorted(_right)}: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Read a row of the ledger (1 point, 10 minutes, easy)
#
# The cell prints a row in the manner of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), with numbers of your own: a printed AUROC, and the interval of
# ours. It is not reproduced: the interval of the *difference*, ours minus printed, lies below minus the margin. By how much does it miss the margin? Give the distance from its
# nearest end to the nearest edge of the margin, a positive number; 0.002 either way are accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-row"}
printed = float(round(draw("printed").uniform(0.7, 0.95), 3))
high = float(round(draw("high").uniform(0.25, 0.45), 3))
low = float(round(high - draw("low").uniform(0.04, 0.1), 3))
margin = float(round(draw("margin").uniform(0.02, 0.06), 3))
print(f"printed {printed}   ours from {low} to {high}   margin {margin}")

# %% nbgrader={"kind": "solution", "grade_id": "missed-by"}
missed_by = None
### BEGIN SOLUTION
missed_by = -margin - (high - printed)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "missed-by-test", "points": 1}
assert missed_by is not None and float(missed_by) > 0, (
    f"missed_by is {missed_by}; a positive number was expected"
)
### BEGIN HIDDEN TESTS
_ends, _edges = (low - printed, high - printed), (-margin, margin)
_expected = min(abs(end - edge) for end in _ends for edge in _edges)
assert abs(float(missed_by) - _expected) < 0.002, (
    f"missed_by is {float(missed_by):.4f}; for the row of {student!r} {_expected:.4f} was "
    "expected"
)
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** In the ledger, with the digit 1 as the novel one, the paper's AUROC is 0.768 and ours was 0.258: far *below* one half. "Then turn the score around", says a colleague, "and we have 0.742, nearly the printed number." Explain what the 0.258 says about the detector and this
# digit, why the colleague's step is a leak, and name one legitimate way in which such a result may change the method.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "turned", "points": 3}
# **Model answer.** The score is informative but points the wrong way: ones get *lower* scores than the nine normal digits, because a thin vertical stroke is simple. It is redrawn with a small error, whether or not ones were seen,
# and it may well resemble some pattern. Turning the score for this digit uses its test labels to learn that it has to be turned; with other novel digits the score points the right way, and in use one
# does not know which novelty will come. A rule "turn it if below one half" gives at least one half for any score, random ones
# included. Legitimate: an error that does not favour simple images, for instance relative to the image's own norm or contrast or compared with
# images of the same complexity, motivated by the mechanism, fixed before the next test and tried on data not yet used, or checked with pseudo-anomalies; or report it as a limit.
#
# **Marks.** 1: what it says (ones are easy to redraw; systematic, not chance). 1: the sign is chosen by test labels, and would not hold for other novelties. 1: a change with a mechanism, judged on fresh data or without labels. Half a point for "it is
# cheating" without saying what is used.
