# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 3: CRBND, averages with a reconstruction
#
# About two hours. 20 points: 14 given by tests, 6 by a reader. Read the
# [notebook](https://novelty-book.github.io/novelty-book/notebooks/crbnd.html) first, up to *The network and its loss*.
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

from novelty_utils.evaluation import metrics

# %% [markdown]
# ## 1. A loss with two regimes (3 points)
#
# The reconstruction is judged by a loss that behaves like $e^2 / 2\varepsilon$ (plus a constant) for errors much smaller than $\varepsilon$ and like $|e|$
# for much larger ones, smooth in between: the Charbonnier loss. Write its mean over all pixels of all images.


# %% nbgrader={"kind": "solution", "grade_id": "charbonnier"}
def charbonnier(x, x_prime, epsilon):
    """The loss of images x and reconstructions x_prime, float32 (B, c, h, w) each: a scalar tensor."""
    ### BEGIN SOLUTION
    return ((x - x_prime).square() + epsilon**2).sqrt().mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "charbonnier-test", "points": 2}
assert (
    abs(
        float(charbonnier(torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5), 1e-3))
        - 0.5
    )
    < 1e-4
), "far from 0: |e|"
### BEGIN HIDDEN TESTS
import math as _math

import torch as _torch

for _seed, _epsilon in ((0, 1e-3), (1, 0.1), (2, 0.5)):
    _of = _torch.Generator().manual_seed(100 + _seed)
    _a, _b = (
        _torch.rand(3, 1, 4, 4, generator=_of),
        _torch.rand(3, 1, 4, 4, generator=_of),
    )
    _each = [
        _math.hypot(p - q, _epsilon)
        for p, q in zip(_a.flatten().tolist(), _b.flatten().tolist())
    ]
    _got = float(charbonnier(_a, _b, _epsilon))
    assert abs(_got - sum(_each) / len(_each)) < 1e-4, (
        f"not that loss for epsilon = {_epsilon}"
    )
### END HIDDEN TESTS

# %% [markdown]
# Derive its slope at one pixel, $\partial \mathcal L / \partial e$ with $e = x - x'$, by hand and not by autograd. What pulls harder, one pixel with an error of 1 or one with 0.01, if
# $\varepsilon = 0.001$? And under the squared error?


# %% nbgrader={"kind": "solution", "grade_id": "slope"}
def slope(e, epsilon):
    """The derivative at the error e, a float or an array of any shape -> the same shape."""
    ### BEGIN SOLUTION
    return e / np.sqrt(np.square(e) + epsilon**2)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "slope-test", "points": 1}
assert slope(0.0, 0.1) == 0 and np.shape(slope(np.ones(3), 0.1)) == (3,)
### BEGIN HIDDEN TESTS
import numpy as _np

_e = _np.linspace(-1, 1, 41) + 0.003
for _epsilon in (0.01, 0.1, 1.0):
    _step = 1e-6
    _numeric = (_np.hypot(_e + _step, _epsilon) - _np.hypot(_e - _step, _epsilon)) / (
        2 * _step
    )
    assert _np.allclose(slope(_e, _epsilon), _numeric, atol=1e-4), (
        f"not the slope for epsilon = {_epsilon}"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Connective pairs (2 points)
#
# Make the positive and the negative that the classifier is trained on. At $\lambda = 1$ both are the image itself.


# %% nbgrader={"kind": "solution", "grade_id": "connective"}
def connective(x, x_prime, x_d, lam):
    """(x_CP, x_CN) from images, reconstructions and degraded images, float32 (B, c, h, w) each."""
    ### BEGIN SOLUTION
    return lam * x + (1 - lam) * x_prime, lam * x + (1 - lam) * x_d
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "connective-test", "points": 2}
image, copy_of_it, spoiled = (
    torch.full((1, 1, 2, 2), 0.2),
    torch.full((1, 1, 2, 2), 0.4),
    torch.full((1, 1, 2, 2), 0.8),
)
assert all(
    torch.equal(part, image) for part in connective(image, copy_of_it, spoiled, 1.0)
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(200 + _seed)
    _three, _lam = (
        _draw.uniform(size=(3, 2, 1, 3, 3)).astype("float32"),
        _draw.uniform(),
    )
    _cp, _cn = (
        _np.asarray(part) for part in connective(*map(_torch.from_numpy, _three), _lam)
    )
    assert _np.allclose(
        _cp, _np.average(_three[:2], axis=0, weights=[_lam, 1 - _lam]), atol=1e-5
    ), "x_CP"
    assert _np.allclose(_cp - _cn, (1 - _lam) * (_three[1] - _three[2]), atol=1e-5), (
        "x_CP - x_CN"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 3. What the classifier's logit is (4 points)
#
# A perfect classifier of positives against negatives, equally frequent, has the logit $\log \bigl( p_+(u) / p_-(u) \bigr)$. Let both be
# Gaussian with the same covariance $\Sigma$, positives with mean $m$, negatives with mean $m + \delta$. Work out the logit: the
# quadratic terms in $u$ cancel.


# %% nbgrader={"kind": "solution", "grade_id": "logit"}
def logit(u, m, delta, covariance):
    """The logit at the points u, float64 (n, d) -> (n,); high for positives. m, delta: (d,). covariance: (d, d)."""
    ### BEGIN SOLUTION
    # log p+ - log p- = (|u - m - delta|^2 - |u - m|^2) / 2 in the metric of the inverse covariance
    direction = np.linalg.solve(covariance, delta)
    return -(u - m - delta / 2) @ direction
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "logit-test", "points": 3}
half_way = logit(
    np.array([[0.5, 0.0], [0.0, 0.0]]), np.zeros(2), np.array([1.0, 0.0]), np.eye(2)
)
assert abs(half_way[0]) < 1e-9 and half_way[1] > 0, (
    "undecided half way, positive at the mean of the positives"
)
### BEGIN HIDDEN TESTS
import numpy as _np
from scipy.stats import multivariate_normal as _gaussian

for _seed in range(3):
    _draw = _np.random.default_rng(300 + _seed)
    _d = 2 + _seed
    _root, _m, _delta = (
        _draw.normal(size=(_d, _d)),
        _draw.normal(size=_d),
        _draw.normal(size=_d),
    )
    _S, _u = _root @ _root.T + 0.5 * _np.eye(_d), 2 * _draw.normal(size=(6, _d))
    _expected = _gaussian(_m, _S).logpdf(_u) - _gaussian(_m + _delta, _S).logpdf(_u)
    assert _np.allclose(logit(_u, _m, _delta, _S), _expected, rtol=1e-4, atol=1e-4), (
        "not the logarithm of the ratio"
    )
### END HIDDEN TESTS

# %% [markdown]
# The score of an image is *minus* this logit. Find a novel point, as far away as anyone likes, that gets exactly the
# logit `t`. (So no threshold on the score is safe.)


# %% nbgrader={"kind": "solution", "grade_id": "far-point"}
def far_point(m, delta, covariance, t, distance):
    """A point (d,), d >= 2, with the logit t, at least `distance` away from m and from m + delta (Euclidean)."""
    ### BEGIN SOLUTION
    direction = np.linalg.solve(covariance, delta)
    on_it = m + delta / 2 - t * direction / (direction @ direction)
    sideways = np.eye(len(m))[np.argmin(np.abs(direction))]
    sideways = sideways - (sideways @ direction) / (direction @ direction) * direction
    far = 2 * (distance + np.linalg.norm(on_it - m) + np.linalg.norm(delta))
    return on_it + far * sideways / np.linalg.norm(sideways)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "far-point-test", "points": 1}
assert np.shape(far_point(np.zeros(2), np.array([1.0, 0.0]), np.eye(2), 2.0, 10.0)) == (
    2,
)
### BEGIN HIDDEN TESTS
import numpy as _np
from scipy.stats import multivariate_normal as _gaussian

for _seed, _t in ((0, 0.0), (1, 5.0), (2, -3.0)):
    _draw = _np.random.default_rng(400 + _seed)
    _d = 2 + _seed
    _root, _m, _delta = (
        _draw.normal(size=(_d, _d)),
        _draw.normal(size=_d),
        _draw.normal(size=_d),
    )
    _S = _root @ _root.T + 0.5 * _np.eye(_d)
    _p = _np.asarray(far_point(_m, _delta, _S, _t, 30.0))
    _value = _gaussian(_m, _S).logpdf(_p) - _gaussian(_m + _delta, _S).logpdf(_p)
    assert abs(_value - _t) < 1e-2, f"its logit is {_value:.3f}, not {_t}"
    assert (
        min(_np.linalg.norm(_p - _m), _np.linalg.norm(_p - _m - _delta)) >= 30 - 1e-6
    ), "too near"
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** A run with `x_d="input"`: positives average an image with its *reconstruction*, negatives average it with its *blurred self*.
# On held-out normal images the classifier tells the two apart perfectly. Your colleague is pleased. Explain why the perfect accuracy may be bad news, which rule
# the classifier may have found, what it would say about a novel image, and how you would find out.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "too-good", "points": 3}
# **Model answer.** Only positives contain a reconstruction, so "bears the marks of the autoencoder" separates training positives from negatives perfectly, without a look at
# what is shown. At test time *every* image is averaged with its reconstruction and bears these marks, novel ones included: all are called normal. More generally
# a perfect score means that the two sets hardly overlap, so the boundary is anywhere in the empty space between them, and where novel
# images lie relative to it is an accident of extrapolation (exercise 3). To find out: degrade the reconstruction instead
# (`rec`), so that both carry the marks, and compare; feed the classifier held-out *normal* images averaged with a reconstruction
# of a blurred copy; look at the logits of novel test images *after* all choices are made.
#
# **Marks.** 1: a shortcut named (marks of A, or anything that positives have and negatives lack, other than being sound). 1: consequence: at
# test all images have it, so novel ones pass. 1: an experiment that would tell, without choosing anything by test labels. Half a point for
# "overfitting" with no rule named; held-out accuracy is perfect, so it is not that.

# %% [markdown]
# ## 4. F1 and its trivial value (3 points)
#
# In this paper the *inlier* is the positive class of F1. Call every image normal. At which share of outliers among the test images is the F1 of that
# exactly 0.8? Put the share, a fraction, into `share_for_08`; 0.005 either way are accepted.

# %% nbgrader={"kind": "solution", "grade_id": "trivial"}
share_for_08 = None
### BEGIN SOLUTION
# precision 1 - r, recall 1: F1 = 2 (1 - r) / (2 - r), which is 0.8 where 2 - 2 r = 1.6 - 0.8 r
share_for_08 = 1 / 3
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "trivial-test", "points": 1}
assert share_for_08 is not None and 0 < float(share_for_08) < 1
### BEGIN HIDDEN TESTS
import numpy as _np
from sklearn.metrics import f1_score as _f1

_labels = _np.arange(3000) >= round(3000 * float(share_for_08))  # True = inlier
assert abs(_f1(_labels, _np.ones(3000, bool)) - 0.8) < 0.004, (
    "calling everything normal gives another F1 there"
)
### END HIDDEN TESTS

# %% [markdown]
# Measure honestly: a threshold that calls a given share of *held-out normal* images novel, and the F1 of the inliers with it. High scores mean novel, as everywhere
# in the book. `y` is 1 for novel images.


# %% nbgrader={"kind": "solution", "grade_id": "honest-f1"}
def honest_f1(held_out, test, y, rejected):
    """(threshold, F1 of the inliers) when test scores up to the threshold are called normal. held_out: (m,). test, y: (n,)."""
    ### BEGIN SOLUTION
    threshold = np.quantile(held_out, 1 - rejected)
    return threshold, metrics.f1(y, test, threshold)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "honest-f1-test", "points": 2}
found = honest_f1(
    np.arange(100.0), np.array([10.0, 20.0, 99.5]), np.array([0, 0, 1]), 0.05
)
assert len(found) == 2 and found[1] == 1.0
### BEGIN HIDDEN TESTS
import numpy as _np

for _seed in range(4):
    _draw = _np.random.default_rng(500 + _seed)
    _held, _y = (
        _draw.normal(size=400),
        (_draw.uniform(size=300) < 0.2 + 0.1 * _seed).astype(int),
    )
    _test, _share = _draw.normal(size=300) + 1.5 * _y, (0.05, 0.1, 0.2, 0.3)[_seed]
    _threshold, _value = honest_f1(_held, _test, _y, _share)
    assert abs((_held > _threshold).mean() - _share) <= 0.006, (
        "not that share of the held-out images is called novel"
    )
    _called, _inlier = _test <= _threshold, _y == 0
    assert (
        abs(_value - 2 * (_called & _inlier).sum() / (_called.sum() + _inlier.sum()))
        < 1e-6
    ), "not the F1 of the inliers"
    assert honest_f1(_held, _test, 1 - _y, _share)[0] == _threshold, (
        "the threshold depends on the test labels"
    )
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** A method reports a best F1 of 0.95 at ten percent of outliers, "above 0.9 for every share up to fifty percent" for its best thresholds. Say what must stand beside
# each of these statements before you can judge it, and which of the two impresses you more.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "beside", "points": 3}
# **Model answer.** Beside the first: the trivial F1, 0.947 at ten percent, so 0.95 may be no detection at all; and that "best" is over all thresholds, chosen with labelled
# outliers, so it is an oracle's, never below the trivial value by construction. Beside the second: the trivial value falls to 2/3 at fifty percent, so 0.9 there
# is far above it and says something; but again the threshold of each share was fitted to that share. One wants the F1 at a
# threshold from held-out normals, the AUROC (which does not depend on the share), and the number of seeds. The second impresses more.
#
# **Marks.** 1: trivial F1 with its value near 0.947 for ten percent. 1: best over thresholds is an oracle; a threshold from normals or an AUROC is wanted. 1: the second statement is stronger
# *because* the trivial value falls with the share. Half a point for the right choice without the reason.

# %% [markdown]
# ## 5. Find the leak (1 point)
#
# 1. The autoencoder is trained on the normal training images.
# 2. After each epoch its AUROC is computed on a part of the test set; the epoch with the best one is kept.
# 3. $\lambda$ is one half, as in the paper's text.
# 4. The classifier is trained on positives and negatives made of normal images.
# 5. The threshold is the 95 % quantile of the scores of held-out normal images.
# 6. F1 is reported at that threshold and, as an oracle's, at the best one.
#
# Which steps make the *honest* number of step 6 dishonest?

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = set()
### BEGIN SOLUTION
leaks = {2}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks and set(leaks) < {1, 2, 3, 4, 5, 6}, "a set of step numbers"
### BEGIN HIDDEN TESTS
assert {int(step) for step in leaks} == {2}, (
    "a step is missing, or one too many: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Read a row of the ledger (1 point)
#
# A row of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), as it stood when this was written:
#
# | claim | data | ours | low | high | margin | verdict |
# |---|---|---|---|---|---|---|
# | The F1 falls only slowly with the share of outliers: best F1 at 10 % minus best F1 at 50 % is below the margin | MNIST, all classes, demo tier | 0.211 | 0.190 | 0.233 | 0.1 | not reproduced |
#
# The method that calls everything normal loses F1 between these two shares as well. How much? Put it into `trivial_fall`, and compare.
# 0.005 either way are accepted.

# %% nbgrader={"kind": "solution", "grade_id": "trivial-fall"}
trivial_fall = None
### BEGIN SOLUTION
trivial_fall = metrics.trivial_f1(0.1) - metrics.trivial_f1(0.5)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "trivial-fall-test", "points": 1}
assert trivial_fall is not None and 0 < float(trivial_fall) < 1
### BEGIN HIDDEN TESTS
import numpy as _np
from sklearn.metrics import f1_score as _f1

_of = [_f1(_np.arange(1000) >= novel, _np.ones(1000, bool)) for novel in (100, 500)]
assert abs(float(trivial_fall) - (_of[0] - _of[1])) < 0.005, (
    "not the difference of the two trivial values"
)
### END HIDDEN TESTS
