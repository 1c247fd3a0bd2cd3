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
from scipy.stats import norm
from torch import nn

from novelty_utils import data

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
# ## 1. No opinion about a mixture (2 points)
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
assert (
    abs(float(mixture_penalty(torch.zeros(3, 10), torch.full((10,), 0.1))) - np.log(10))
    < 1e-4
), "for equal frequencies the floor is log n_c"
assert mixture_penalty(
    torch.tensor([[1000.0, 0.0]]), torch.tensor([0.5, 0.5])
).isfinite()
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
        f"{_got:.4f} where {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Find the code again (2 points)
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
one_hot = torch.eye(4)
assert (
    abs(
        float(
            inversion(50 * one_hot, one_hot, torch.zeros(4, 2), torch.zeros(4, 2), 0.1)
        )
    )
    < 1e-4
), "sure and right: nothing to pay"
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
        f"{_got:.4f} where {_expected:.4f} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 3. What mixing does to the prior (2 points)
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
assert abs(shrinkage(1) - 1) < 1e-9 and abs(shrinkage(2) - 2 / 3) < 1e-9
### BEGIN HIDDEN TESTS
import numpy as _np

for _t in (3, 5, 9, 20):
    _lam = _np.random.default_rng(_t).dirichlet(_np.ones(_t), 200_000)
    _expected = (_lam**2).sum(1).mean()
    assert abs(shrinkage(_t) / _expected - 1) < 0.01, (
        f"for {_t} codes a simulation gives {_expected:.3f}"
    )
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** The paper concludes from its eqs. 4 and 5 that mixtures *inside* one pattern have the law of normal images, so that training on them augments the data. Say what is true in that, what does not
# follow, what $G$ is in fact trained on when many codes are mixed, and how you would repair it.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "inside", "points": 3}
# **Model answer.** True: the mixture has the same pattern, and each of its coordinates lies between the least and the greatest of those mixed. It does not follow that it has the same
# *distribution*: being in the range is not being distributed alike. For independent Gaussians the mixture is Gaussian with a smaller variance, by 2/(t+1) on average; for large t all
# mixtures are near the centre, where the prior hardly ever draws in many dimensions (lengths concentrate around σ√d). So G sees a nearly constant code
# and is asked to make every image of a pattern from it: less variety, not more, and too little training where the prior lives. Repair: divide by
# √Σλ², which restores the variance, or mix few codes with λ near 0 or 1.
#
# **Marks.** 1: same pattern and range are true, the law does not follow. 1: shrinking variance and its consequence (centre, less variety). 1: a repair that restores the law, with the
# reason. Half a point for "it is only an interpolation". No marks for "mixtures are anomalies"; that is the other kind of mixing.

# %% [markdown]
# ## 4. Which way does the score point? (4 points)
#
# Let $z$ be the error of an image in deviations of held-out normal errors, $\Phi$ the Gaussian distribution function, $m \in [1/n_c, 1]$ the confidence in a pattern. Reading R1 of eq. 11 is
# $\mathcal A_{R1} = -\frac{1}{n_c}\Phi(z) - (1 - \Phi(z))\, m$. It rounds to $-1/n_c$ for every far image. Write a score that ranks *exactly* as R1 does and still
# tells $z = 12$ from $z = 15$. Any increasing function of R1 will do.


# %% nbgrader={"kind": "solution", "grade_id": "r1"}
def r1(z, m, n_c):
    """Scores, float64 (n,), high for novel: z float64 (n,), m float64 (n,) in (1 / n_c, 1]."""
    ### BEGIN SOLUTION
    # A + 1/n_c = -(1 - Phi) (m - 1/n_c), so -log of what is in front is increasing in A; logsf keeps its digits.
    return -norm.logsf(z) - np.log(m - 1 / n_c)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "r1-test", "points": 3}
rising = np.asarray(r1(np.array([0.0, 1.0, 3.0]), np.array([0.9, 0.9, 0.9]), 10))
assert (np.diff(rising) > 0).all(), "the score has to rise with the error"
### BEGIN HIDDEN TESTS
import numpy as _np
from scipy.stats import norm as _norm
from scipy.stats import rankdata as _rank

for _seed, _n_c in ((0, 10), (1, 4)):
    _draw = _np.random.default_rng(400 + _seed)
    _z, _m = _draw.uniform(-3, 4, 400), _draw.uniform(1 / _n_c + 0.01, 1, 400)
    _printed = -_norm.cdf(_z) / _n_c - (1 - _norm.cdf(_z)) * _m
    _far = _np.abs(_np.diff(_np.sort(_printed))).min() > 1e-13
    _got = _np.asarray(r1(_z, _m, _n_c), dtype=float)
    assert _np.isfinite(_got).all()
    assert _np.corrcoef(_rank(_got), _rank(_printed))[0, 1] > 1 - 1e-7 or not _far, (
        "another ranking than R1's"
    )
    _tail = _np.asarray(
        r1(_np.array([8.0, 12.0, 15.0, 30.0]), _np.full(4, 0.7), _n_c), dtype=float
    )
    assert (_np.diff(_tail) > 0).all(), "far images are no longer told apart"
### END HIDDEN TESTS

# %% [markdown]
# From which whole number of deviations on is `norm.cdf(z)` *equal* to 1 in double precision, so that the printed form has nothing left to tell?

# %% nbgrader={"kind": "solution", "grade_id": "rounds"}
rounds_from = None
### BEGIN SOLUTION
rounds_from = next(z for z in range(1, 40) if norm.cdf(z) == 1)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "rounds-test", "points": 1}
assert rounds_from is not None and int(rounds_from) == rounds_from
### BEGIN HIDDEN TESTS
import math as _math

_first = next(z for z in range(1, 40) if 1 - _math.erfc(z / 2**0.5) / 2 == 1)
assert abs(rounds_from - _first) < 0.5, "look again: equal, not close"
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Confidence in evaluation mode (2 points)
#
# Return the confidence of an extractor for each image. Whoever calls it may have left the extractor in training mode. The confidence of an image has to be the same alone and in any company, and
# the extractor must be found afterwards as it was before.


# %% nbgrader={"kind": "solution", "grade_id": "confidence"}
def confidence(extractor, X):
    """m = max over patterns of the softmax of the logits: (n, 1, 8, 8) -> float32 (n,), without gradients."""
    ### BEGIN SOLUTION
    was_training = extractor.training
    extractor.eval()
    with torch.no_grad():
        m = extractor(X)[0].softmax(1).amax(1)
    extractor.train(was_training)
    return m
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "confidence-test", "points": 2}
E = SmallExtractor(5, 3, seed=0)
assert (
    confidence(E, images[:6]).shape == (6,)
    and not confidence(E, images[:6]).requires_grad
)
### BEGIN HIDDEN TESTS
import copy as _copy

import torch as _torch

for _training in (True, False):
    _E = SmallExtractor(4, 2, seed=7).train(_training)
    _reference, _before = _copy.deepcopy(_E).eval(), _copy.deepcopy(_E.state_dict())
    _X = _torch.cat(
        [
            images[40:50],
            _torch.rand(10, 1, 8, 8, generator=_torch.Generator().manual_seed(7)),
        ]
    )
    with _torch.no_grad():
        _l = _reference(_X)[0].double()
    _expected = ((_l - _l.max(1, keepdim=True).values).exp().sum(1)) ** -1
    _together, _alone = (
        confidence(_E, _X).double(),
        _torch.cat([confidence(_E, _X[i : i + 1]) for i in range(20)]).double(),
    )
    assert _torch.allclose(_together, _expected, atol=1e-4), (
        "not the confidence in evaluation mode"
    )
    assert _torch.allclose(_alone, _expected, atol=1e-4), (
        "an image alone gets another confidence"
    )
    assert _E.training is _training, "the extractor was left in another mode"
    assert all(
        _torch.equal(_E.state_dict()[name], old) for name, old in _before.items()
    ), "looking changed the extractor"
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Find the leak (1 point)
#
# 1. Mean and deviation of the errors come from held-out normal images.
# 2. The reading R1 is fixed before any run.
# 3. The networks are trained with 2, 4, ..., 14 patterns.
# 4. The number of patterns with the best mean AUROC is called the default.
# 5. The method with that default is compared with six others on the same test sets.
# 6. One seed is trained and reported.
#
# Which step chooses something with test labels, so that step 5 flatters? (Step 6 is a weakness, too, but of another kind.)

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = set()
### BEGIN SOLUTION
leaks = {4}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks and set(leaks) < {1, 2, 3, 4, 5, 6}, "a set of step numbers"
### BEGIN HIDDEN TESTS
assert {int(step) for step in leaks} == {4}, (
    "a step is missing, or one too many: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Read a row of the ledger (1 point)
#
# A row of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), as it stood when this was written; the digit 1 is the novel one.
#
# | claim | data | printed | ours | low | high | margin | verdict |
# |---|---|---|---|---|---|---|---|
# | Table 1, ADe-GAN, AUROC | MNIST, 1, demo tier | 0.768 | 0.258 | 0.217 | 0.299 | 0.03 | not reproduced |
#
# By how much does the interval of the *difference*, ours minus printed, miss the margin? Give the distance from its nearest end to the nearest edge of the margin, a positive number;
# 0.005 either way are accepted.

# %% nbgrader={"kind": "solution", "grade_id": "missed-by"}
missed_by = None
### BEGIN SOLUTION
missed_by = -0.03 - (0.299 - 0.768)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "missed-by-test", "points": 1}
assert missed_by is not None and float(missed_by) > 0
### BEGIN HIDDEN TESTS
_low, _high = 0.217 - 0.768, 0.299 - 0.768
_gap = min(abs(end - edge) for end in (_low, _high) for edge in (-0.03, 0.03))
assert abs(float(missed_by) - _gap) < 0.005, "not that distance"
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** An AUROC of 0.258 is far *below* one half. "Then turn the score around", says a colleague, "and we have 0.742, nearly the printed number." Explain what the 0.258 says about the detector and this
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
