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
# **Afterwards you can** derive what a classifier of two kinds of images estimates and where it knows nothing, read an F1 beside its
# trivial value, and choose a threshold without novelties.
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

from novelty_utils.evaluation import metrics

release_seed = 0


def draw(purpose):
    """Random numbers of your own."""
    words = f"{release_seed} {student.strip().lower()} {purpose}"
    return np.random.default_rng(list(words.encode()))


# %% [markdown]
# ## 1. A loss with two regimes (3 points, 25 minutes, medium)
#
# Judge the reconstruction by a loss that behaves like $e^2 / 2\varepsilon$ for errors much smaller than $\varepsilon$ and like $|e|$ for much larger ones
# (up to a constant), smooth in between: a Charbonnier loss. A perfect copy shall cost *nothing*. Write its mean over all pixels of all images. Single precision has seven
# digits: an error of a thousandth of $\varepsilon$ must still cost what it should, to one percent.


# %% nbgrader={"kind": "solution", "grade_id": "charbonnier"}
def charbonnier(x, x_prime, epsilon):
    """The loss of images x and reconstructions x_prime, float32 (B, c, h, w) each: a scalar tensor."""
    ### BEGIN SOLUTION
    squares = (x - x_prime).square()
    # sqrt(e^2 + epsilon^2) - epsilon, without the difference of two nearly equal numbers
    return (squares / ((squares + epsilon**2).sqrt() + epsilon)).mean()
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "charbonnier-test", "points": 2}
nothing, half = torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5)
found = float(charbonnier(nothing, half, 1e-3))
assert abs(found - 0.499) < 1e-4, (
    f"an error of 0.5 costs {found:.5f} at epsilon = 0.001; 0.499 was expected"
)
found = float(charbonnier(half, half, 1e-3))
assert found == 0, f"a perfect copy costs {found}; 0 was expected"
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
        _math.hypot(p - q, _epsilon) - _epsilon
        for p, q in zip(_a.flatten().tolist(), _b.flatten().tolist())
    ]
    _got, _expected = float(charbonnier(_a, _b, _epsilon)), sum(_each) / len(_each)
    assert abs(_got - _expected) < 1e-4, (
        f"the loss is {_got:.4f} at epsilon = {_epsilon}; {_expected:.4f} was expected"
    )
    _small = _torch.full((1, 1, 2, 2), 1e-3 * _epsilon)
    _got = float(charbonnier(_small, 0 * _small, _epsilon)) / (0.5e-6 * _epsilon)
    assert abs(_got - 1) < 0.01, (
        f"an error of epsilon / 1000 costs {_got:.3f} times e² / 2 epsilon; once was "
        "expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# The slope of the loss is the pull on a pixel. It grows from 0 to 1 with the error. At which error does a pixel pull with a given share of the
# greatest pull? Derive the slope, and give the error for the numbers that the cell prints; one percent either way is accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-pull"}
epsilon = float(round(draw("slope").uniform(0.001, 0.01), 4))
share = float(round(draw("share").uniform(0.3, 0.95), 3))
print(f"epsilon = {epsilon}, share of the greatest pull = {share}")

# %% nbgrader={"kind": "solution", "grade_id": "slope"}
error = None
### BEGIN SOLUTION
# the slope is e / sqrt(e^2 + epsilon^2); it is q where e = epsilon q / sqrt(1 - q^2)
error = epsilon * share / (1 - share**2) ** 0.5
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "slope-test", "points": 1}
assert error is not None and float(error) > 0, (
    f"error is {error}; a positive number was expected"
)
### BEGIN HIDDEN TESTS
from scipy.optimize import brentq as _root

_angle = _root(lambda a: np.sin(a) - share, 0, np.pi / 2)
_expected = epsilon * np.tan(_angle)
assert abs(float(error) / _expected - 1) < 0.01, (
    f"error is {float(error):.6f}; for epsilon and share of {student!r} {_expected:.6f} "
    "was expected"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Connective pairs (2 points, 10 minutes, easy)
#
# Make the positive and the negative that the classifier is trained on. Each image of the batch has a weight $\lambda$ *of its own*. At $\lambda = 1$ both are the image
# itself.


# %% nbgrader={"kind": "solution", "grade_id": "connective"}
def connective(x, x_prime, x_d, lam):
    """(x_CP, x_CN) from images, reconstructions and degraded images, float32 (B, c, h, w) each; lam: float32 (B,)."""
    ### BEGIN SOLUTION
    lam = lam.view(-1, 1, 1, 1)
    return lam * x + (1 - lam) * x_prime, lam * x + (1 - lam) * x_d
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "connective-test", "points": 2}
three = [torch.full((2, 1, 2, 2), value) for value in (0.2, 0.4, 0.8)]
found = [
    [float(part[i].mean()) for i in range(2)]
    for part in connective(*three, torch.tensor([1.0, 0.5]))
]
assert np.allclose(found, [[0.2, 0.3], [0.2, 0.5]], atol=1e-5), (
    f"the means of x_CP and x_CN are {found}; [[0.2, 0.3], [0.2, 0.5]] was expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed in range(3):
    _draw = _np.random.default_rng(200 + _seed)
    _three = _draw.uniform(size=(3, 4, 1, 3, 3)).astype("float32")
    _lam = _draw.uniform(size=4).astype("float32")
    _got = connective(*map(_torch.from_numpy, _three), _torch.from_numpy(_lam))
    for _name, _part, _other in zip(("x_CP", "x_CN"), _got, _three[1:]):
        _expected = [
            _np.average([a, b], axis=0, weights=[w, 1 - w])
            for a, b, w in zip(_three[0], _other, _lam)
        ]
        _far = _np.abs(_np.asarray(_part, dtype=float) - _expected).max()
        assert _far < 1e-5, f"{_name} is off by {_far:.3g}; 0 was expected"
### END HIDDEN TESTS

# %% [markdown]
# ## 3. What the classifier's logit is (4 points, 40 minutes, hard)
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
assert np.allclose(half_way, [0, 0.5]), (
    f"half way and at the mean of the positives the logits are {half_way}; "
    "[0, 0.5] was expected"
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
    _got = _np.asarray(logit(_u, _m, _delta, _S), dtype=float)
    assert _np.allclose(_got, _expected, rtol=1e-4, atol=1e-4), (
        f"the first logit is {_got[0]:.4f}; log p+ - log p- = {_expected[0]:.4f} was "
        "expected"
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
found = far_point(np.zeros(2), np.array([1.0, 0.0]), np.eye(2), 2.0, 10.0)
assert np.shape(found) == (2,) and np.linalg.norm(found) >= 10, (
    f"far_point gives {found}; a point (2,) of length 10 or more was expected"
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
    assert abs(_value - _t) < 1e-2, f"its logit is {_value:.3f}; {_t} was expected"
    _near = min(_np.linalg.norm(_p - _m), _np.linalg.norm(_p - _m - _delta))
    assert _near >= 30 - 1e-6, f"it is {_near:.3f} away; 30 was expected"
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** Suppose a run with `x_d="again"`: positives average an image with its reconstruction $A(x)$, negatives with $A(d(x))$, where $d$ adds the noise that $A$ was trained on.
# On held-out normal images the classifier is right in 52 % of the cases. A colleague doubles the network and trains it twice as long: 53 %. Explain why. Say what this classifier's score
# is worth on a novel image. And name one number, computed without any label before the classifier is trained, that would have told.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "undone", "points": 3}
# **Model answer.** $A$ was trained to turn $d(x)$ back into $x$. On normal images it does just that, so $A(d(x))$ is nearly $A(x)$, and the averages differ by $1 - \lambda$ times nearly nothing.
# Both densities are nearly the same, their ratio is one and the best logit is zero: no classifier can be right in more than about half of the cases, however large it is and however long it is
# trained. It is a property of the task and not of the network. On a novel image the training data say nothing; what is left of the logit rests on whatever tiny difference between the two kinds
# was found (a little more smoothing, say) and goes on outside the data by accident, so no ranking can be expected of it. The number: the mean distance of $A(d(x))$ from $A(x)$ on held-out
# normal images, beside the distance of $d(x)$ from $x$: close to zero means that nothing is left to tell apart.
#
# **Marks.** 1: $A$ undoes just this degradation, so positives and negatives nearly agree. 1: the ratio is one and the best logit zero for *any* classifier, so size and time do not help,
# and the score on novel images is an accident. 1: a number from normal images alone, with what to compare it with. Half a point for "underfitting" with a measurement that would refute it.

# %% [markdown]
# ## 4. F1 and its trivial value (3 points, 25 minutes, medium)
#
# In this paper the *inlier* is the positive class of F1. Call every image normal. At which share of outliers among the test images is the F1 of that
# exactly the number that the cell prints? Put the share, a fraction, into `share_for_f1`; 0.003 either way are accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-f1"}
target = float(round(draw("trivial").uniform(0.55, 0.97), 3))
print(f"F1 = {target}")

# %% nbgrader={"kind": "solution", "grade_id": "trivial"}
share_for_f1 = None
### BEGIN SOLUTION
# precision 1 - r, recall 1: F1 = 2 (1 - r) / (2 - r), so r = (2 - 2 F1) / (2 - F1)
share_for_f1 = (2 - 2 * target) / (2 - target)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "trivial-test", "points": 1}
assert share_for_f1 is not None and 0 < float(share_for_f1) < 1, (
    f"share_for_f1 is {share_for_f1}; a fraction was expected"
)
### BEGIN HIDDEN TESTS
from sklearn.metrics import f1_score as _f1

_few, _many = 0, 4000  # novel ones of 4000; the F1 falls with them
while _many - _few > 1:
    _half = (_few + _many) // 2
    _above = _f1(np.arange(4000) >= _half, np.ones(4000, bool)) > target
    _few, _many = (_half, _many) if _above else (_few, _half)
_expected = _few / 4000
assert abs(float(share_for_f1) - _expected) < 0.003, (
    f"share_for_f1 is {float(share_for_f1):.4f}; for the F1 of {student!r} "
    f"{_expected:.3f} was expected"
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
assert len(found) == 2 and abs(float(found[1]) - 1) < 1e-6, (
    f"honest_f1 gives {found}; a threshold from 94 to 95 and the F1 1 were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np

for _seed in range(4):
    _draw = _np.random.default_rng(500 + _seed)
    _held, _y = (
        _draw.normal(size=400),
        (_draw.uniform(size=300) < 0.2 + 0.1 * _seed).astype(int),
    )
    _test, _share = _draw.normal(size=300) + 1.5 * _y, (0.05, 0.1, 0.2, 0.3)[_seed]
    _threshold, _value = map(float, honest_f1(_held, _test, _y, _share))
    _above = (_held > _threshold).mean()
    assert abs(_above - _share) <= 0.006, (
        f"{_above:.3f} of the held-out images are called novel; {_share} was expected"
    )
    _called, _inlier = _test <= _threshold, _y == 0
    _expected = 2 * (_called & _inlier).sum() / (_called.sum() + _inlier.sum())
    assert abs(_value - _expected) < 1e-6, (
        f"the F1 of the inliers is {_value:.4f}; {_expected:.4f} was expected"
    )
    _again = float(honest_f1(_held, _test, 1 - _y, _share)[0])
    assert _again == _threshold, (
        f"the threshold is {_again} and not {_threshold} if only test labels change; the "
        "same was expected"
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
# ## 5. Find the leak (1 point, 10 minutes, medium)
#
# The cell below prints a protocol, your own. Which steps make the honest number of the last step dishonest, because a *label of a test image* has decided
# something before it? Give the set of their numbers; it may be empty.

# %% tags=["hide-input"] nbgrader={"kind": "given", "grade_id": "protocol"}
VERSIONS = (
    (
        "The autoencoder of the epoch with the best AUROC on the test set is kept.",
        "The autoencoder is trained for 100 epochs, fixed before the first run.",
    ),
    (
        "The four poolings are those of the paper that is cited.",
        "Four poolings: with two the AUROC on the test set was lower.",
    ),
    (
        "lambda is 0.5, as in the paper's text.",
        "lambda is 0.4, where the F1 on the test set was best.",
    ),
    (
        "The classifier is stopped when the AUROC on the test set no longer rises.",
        "The classifier is stopped when the loss on held-out normal images no longer falls.",
    ),
    (
        "The threshold is the 95 % quantile of the scores of held-out normal images.",
        "The threshold is the best one on every tenth test image.",
    ),
    (
        "The F1 is reported at that threshold, and as an oracle's at the best one.",
        "The F1 is reported at that threshold, of the seed with the best AUROC.",
    ),
)
picks = draw("leaks").integers(0, 2, len(VERSIONS))
for number, (pick, two) in enumerate(zip(picks, VERSIONS, strict=True), 1):
    print(f"{number}. {two[pick]}")

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = None
### BEGIN SOLUTION
leaks = {i for i, pick in enumerate(picks, 1) if pick == (0, 1, 1, 0, 1, 1)[i - 1]}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks is not None and set(leaks) <= {1, 2, 3, 4, 5, 6}, (
    f"leaks is {leaks}; a set of step numbers was expected"
)
### BEGIN HIDDEN TESTS
_leaky = ("epoch with", "with two", "was best", "rises", "every tenth", "seed with")
_steps = enumerate((two[pick] for pick, two in zip(picks, VERSIONS)), 1)
_right = {i for i, step in _steps if any(word in step for word in _leaky)}
assert {int(step) for step in leaks} == _right, (
    f"leaks is {sorted(map(int, leaks))}; in the protocol of {student!r} these are "
    f"{sorted(_right)}: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Read a row of the ledger (1 point, 10 minutes, easy)
#
# A row of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html), as it stood when this was written:
#
# | claim | data | ours | low | high | margin | verdict |
# |---|---|---|---|---|---|---|
# | The F1 falls only slowly with the share of outliers: best F1 at 10 % minus best F1 at 50 % is below the margin | MNIST, all classes, demo tier | 0.211 | 0.190 | 0.233 | 0.1 | not reproduced |
#
# The method that calls everything normal loses F1 as well when the share rises. How much, between the two shares that the cell prints? Put it into `trivial_fall`;
# 0.003 either way are accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-shares"}
few = float(round(draw("few").uniform(0.02, 0.3), 3))
many = float(round(few + draw("many").uniform(0.1, 0.5), 3))
print(f"share of outliers: {few} and {many}")

# %% nbgrader={"kind": "solution", "grade_id": "trivial-fall"}
trivial_fall = None
### BEGIN SOLUTION
trivial_fall = metrics.trivial_f1(few) - metrics.trivial_f1(many)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "trivial-fall-test", "points": 1}
assert trivial_fall is not None and 0 < float(trivial_fall) < 1, (
    f"trivial_fall is {trivial_fall}; a fraction was expected"
)
### BEGIN HIDDEN TESTS
from sklearn.metrics import f1_score as _f1

_of = [
    _f1(np.arange(4000) >= round(4000 * novel), np.ones(4000, bool))
    for novel in (few, many)
]
_expected = _of[0] - _of[1]
assert abs(float(trivial_fall) - _expected) < 0.003, (
    f"trivial_fall is {float(trivial_fall):.4f}; for the shares of {student!r} "
    f"{_expected:.4f} was expected"
)
### END HIDDEN TESTS
