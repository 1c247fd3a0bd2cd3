# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 2: NLN, the neighbours of a code
#
# About two hours. 20 points: 14 given by tests, 6 by a reader. Read the
# [NLN notebook](https://novelty-book.github.io/novelty-book/notebooks/nln.html) first, up to *Every setting from one model*.
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

from novelty_utils import data
from novelty_utils.data import protocols
from novelty_utils.evaluation import metrics

ds = data.load("digits")
split = protocols.miso(ds, 9, seed=0)  # nines are novel, all other digits normal


def pictures(index):
    """The indexed images as rows of pixels in [0, 1], float32 (n, 64)."""
    return ds.images[index].flatten(1).float() / 255


# The best linear autoencoder has a closed form: the first principal components of the training images.
train, held_out, test = (
    pictures(split.train),
    pictures(split.held_out),
    pictures(split.test),
)
centre = train.mean(0)
components = torch.linalg.svd(train - centre, full_matrices=False).Vh[:12]
y = split.reveal()  # test labels, 1 = novel: for metrics only


def encode(X):
    return (X - centre) @ components.T


def decode(z):
    return z @ components + centre


def noisy(X):
    """Pseudo-anomalies: each image with noise, always the same."""
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    return (X + 0.15 * noise).clamp(0, 1)


# %% [markdown]
# ## 1. The latent part (2 points)
#
# Return the mean Euclidean distance of each code to its $K$ nearest codes of the bank. The bank holds training images, the queries are
# others, so the nearest code of the bank *is* the first neighbour. Do not use `novelty_utils.evaluation.neighbours`.


# %% nbgrader={"kind": "solution", "grade_id": "latent-part"}
def latent_part(z, bank, K):
    """float32 (n, L) and (m, L) -> (n,): mean distance to the K nearest of the m codes."""
    ### BEGIN SOLUTION
    return torch.cdist(z, bank).topk(K, largest=False).values.mean(1)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "latent-part-test", "points": 2}
on_a_line = torch.tensor([[0.0], [3.0], [10.0]])
assert torch.allclose(
    latent_part(torch.tensor([[1.0]]), on_a_line, 3), torch.tensor([4.0])
), "(1 + 2 + 9) / 3"
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed, _K in ((0, 1), (1, 2), (2, 5)):
    _draw = _np.random.default_rng(100 + _seed)
    _z, _bank = (
        _draw.normal(size=(6, 3)).astype("float32"),
        _draw.normal(size=(11, 3)).astype("float32"),
    )
    _expected = [sorted(float(_np.linalg.norm(a - b)) for b in _bank)[:_K] for a in _z]
    _got = latent_part(_torch.from_numpy(_z), _torch.from_numpy(_bank), _K)
    assert _np.allclose(_np.asarray(_got), _np.mean(_expected, 1), atol=1e-3), (
        f"wrong for K = {_K}"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The image part (2 points)
#
# Write the first sum of the score $\eta_{nln}$, without the weight $\alpha$: how far, per pixel and in the mean over
# $K$ neighbours, is an image from what its neighbours decode to?


# %% nbgrader={"kind": "solution", "grade_id": "image-part"}
def image_part(X, decoded, nearest):
    """X: float32 (n, d) images. decoded: (m, d) decoded codes of the bank. nearest: int64 (n, K), rows of it -> (n,)."""
    ### BEGIN SOLUTION
    return (X[:, None] - decoded[nearest]).abs().mean((1, 2))
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "image-part-test", "points": 2}
assert image_part(train[:4], train, torch.tensor([[0], [1], [2], [3]])).shape == (4,)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch

for _seed, _K in ((0, 1), (1, 3), (2, 4)):
    _draw = _np.random.default_rng(200 + _seed)
    _X, _D = (
        _draw.uniform(size=(5, 7)).astype("float32"),
        _draw.uniform(size=(9, 7)).astype("float32"),
    )
    _near = _np.stack([_draw.permutation(9)[:_K] for _ in range(5)])
    _expected = [
        sum(
            abs(float(x) - float(_D[k][p]))
            for k in _near[i]
            for p, x in enumerate(_X[i])
        )
        / 7
        / _K
        for i in range(5)
    ]
    _got = image_part(*(_torch.from_numpy(array) for array in (_X, _D, _near)))
    assert _np.allclose(_np.asarray(_got), _expected, atol=1e-4), f"wrong for K = {_K}"
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** Take $K = 1$, the autoencoder above (orthonormal components) and *squared* errors. Show that
# $\lVert x - g(z^1) \rVert^2 = \lVert x - g(z) \rVert^2 + \lVert z - z^1 \rVert^2$, and say what $\alpha$ then trades
# against what. You may check the identity numerically first; a check is not a proof.

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "pythagoras", "points": 3}
# **Model answer.** Write $x - g(z^1) = (x - g(z)) + (g(z) - g(z^1))$. With $g(z) = W^\top z + c$ and $z = W(x - c)$, the vector
# $g(z)$ is the orthogonal projection of $x$ onto the plane of all decodings, so the first bracket is orthogonal to that
# plane. The second is $W^\top(z - z^1)$ and lies in its directions. So the squares add up (Pythagoras), and as $W W^\top = I$ the second
# has the length $\lVert z - z^1 \rVert$. The squared image part therefore already contains the latent part with the weight one:
# $\alpha = 1$ is reconstruction error plus latent distance, $\alpha = 0$ is latent distance alone, and in between only
# the share of the reconstruction error changes. No setting gives the reconstruction error alone.
#
# **Marks.** 1: the splitting with a reason for orthogonality (projection). 1: lengths preserved because rows are orthonormal.
# 1: what α does: it weighs the reconstruction error against a latent distance that is always there. Half a point for a numerical check
# only. No marks for restating the formula.

# %% [markdown]
# ## 3. The loss of the variational autoencoder (2 points)
#
# The VAE of the notebook charges for the distance of $q(z \mid x) = N(\mu, \operatorname{diag} \sigma^2)$ from $N(0, I)$. The unit of
# the code is arbitrary, so let the prior be $N(0, \tau^2 I)$ instead, and derive $\mathrm{KL}(q \Vert N(0, \tau^2 I))$: write the
# expectation of $\log q - \log p$ for one coordinate, where only $\mathbb E z = \mu$ and $\mathbb E z^2 = \mu^2 + \sigma^2$ are
# needed, and add up.


# %% nbgrader={"kind": "solution", "grade_id": "kl"}
def kl(mu, log_variance, tau):
    """KL(N(mu, exp(log_variance)) || N(0, tau² I)), a sum over coordinates: float32 (B, L) twice, a float -> (B,)."""
    ### BEGIN SOLUTION
    log_ratio = log_variance - 2 * np.log(tau)
    return 0.5 * ((mu / tau).square() + log_ratio.exp() - 1 - log_ratio).sum(1)
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "kl-test", "points": 2}
assert torch.allclose(kl(torch.zeros(2, 3), torch.zeros(2, 3), 1.0), torch.zeros(2)), (
    "nothing to pay at the prior itself"
)
### BEGIN HIDDEN TESTS
import torch as _torch
from torch import distributions as _distributions

for _seed in range(3):
    _of = _torch.Generator().manual_seed(300 + _seed)
    _mu, _lv = (
        _torch.randn(4, 5 + _seed, generator=_of),
        _torch.randn(4, 5 + _seed, generator=_of),
    )
    _pair = (
        _distributions.Normal(_mu.double(), (_lv.double() / 2).exp()),
        _distributions.Normal(0.0, (0.5, 1.0, 3.0)[_seed]),
    )
    _expected = _distributions.kl_divergence(*_pair).sum(1)
    _got = kl(_mu, _lv, (0.5, 1.0, 3.0)[_seed])
    assert _got.shape == (4,) and _torch.allclose(
        _got.double(), _expected, rtol=1e-4, atol=1e-4
    ), "not that divergence"
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Two parts on one scale (2 points)
#
# The two parts have no common unit. Bring each to zero mean and unit deviation *of the held-out normal images*, then
# add them with the weights $\alpha$ and $1 - \alpha$. An image must get the same score alone and in any company.


# %% nbgrader={"kind": "solution", "grade_id": "combine"}
def combine(parts, held_parts, alpha):
    """Scores, float64 (n,). parts: (image part, latent part) of n images; held_parts: the same of held-out normals."""
    ### BEGIN SOLUTION
    scaled = [
        (np.asarray(part) - np.mean(held)) / np.std(held)
        for part, held in zip(parts, held_parts, strict=True)
    ]
    return alpha * scaled[0] + (1 - alpha) * scaled[1]
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "combine-test", "points": 2}
easy = combine(
    (np.array([3.0]), np.array([50.0])),
    (np.array([0.0, 2.0]), np.array([20.0, 40.0])),
    0.5,
)
assert np.allclose(easy, [2.0]), "each is two deviations above its mean"
### BEGIN HIDDEN TESTS
import numpy as _np

for _seed in range(3):
    _draw = _np.random.default_rng(400 + _seed)
    _parts = _draw.gamma(2, size=30), 40 * _draw.gamma(3, size=30)
    _held = _draw.gamma(2, size=200), 40 * _draw.gamma(3, size=200)
    _alpha = _draw.uniform()
    _z = [
        (p - h.sum() / 200) / _np.sqrt(((h - h.mean()) ** 2).sum() / 200)
        for p, h in zip(_parts, _held)
    ]
    _got = _np.asarray(combine(_parts, _held, _alpha))
    assert _np.allclose(
        _got, _alpha * _z[0] + (1 - _alpha) * _z[1], rtol=0.01, atol=0.02
    ), "not on the scale of held-out images"
    _few = _np.asarray(combine(tuple(p[:4] for p in _parts), _held, _alpha))
    assert _np.allclose(_few, _got[:4]), "the score of an image depends on the others"
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Choose α without anomalies (4 points)
#
# The paper takes the $\alpha$ with the best AUROC *on the test set*. Choose it from $0, 0.1, \dots, 1$ without: take the one that best tells
# `pseudo`, made-up anomalies, from the held-out images, by AUROC. `metrics.auroc(y, scores)[0]` gives one. The function is
# offered the test set, too. Decide what to do with that.


# %% nbgrader={"kind": "solution", "grade_id": "choose-alpha"}
def choose_alpha(held_parts, pseudo_parts, test_parts, test_y):
    """One of 0, 0.1, ..., 1. Each of the parts is a pair (image part, latent part) as in `combine`."""
    ### BEGIN SOLUTION
    labels = np.repeat([0, 1], [len(held_parts[0]), len(pseudo_parts[0])])
    both = [
        np.concatenate([np.asarray(h), np.asarray(p)])
        for h, p in zip(held_parts, pseudo_parts, strict=True)
    ]
    return max(
        (a / 10 for a in range(11)),
        key=lambda a: metrics.auroc(labels, combine(both, held_parts, a))[0],
    )
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "choose-alpha-test", "points": 3}
some = np.random.default_rng(0).normal(size=(2, 50))
assert choose_alpha(some, some + [[3], [0]], some, np.arange(50) % 2) > 0.3, (
    "only the image part tells these apart"
)
### BEGIN HIDDEN TESTS
from types import FunctionType as _Function

import numpy as _np
from scipy.stats import rankdata as _rank


def _combine(parts, held_parts, alpha):
    weighted = zip((alpha, 1 - alpha), parts, held_parts)
    return sum(
        w * (_np.asarray(p, dtype=float) - _np.asarray(h).mean()) / _np.asarray(h).std()
        for w, p, h in weighted
    )


# With a right combine in its place, so that a mistake in exercise 4 costs its points there and not again. The name
# itself stays the student's.
_choose = choose_alpha
if isinstance(choose_alpha, _Function):
    _names = globals() | {"combine": _combine}
    _choose = _Function(
        choose_alpha.__code__,
        _names,
        "choose_alpha",
        choose_alpha.__defaults__,
        choose_alpha.__closure__,
    )

for _seed in range(3):
    _draw = _np.random.default_rng(500 + _seed)
    _held = _draw.normal(size=(2, 150)) * [[1], [20]]
    _pseudo = (_draw.normal(size=(2, 150)) + [[0.5 * _seed], [1.0 - 0.4 * _seed]]) * [
        [1],
        [20],
    ]
    _test_y = _draw.integers(0, 2, 200)
    _test = (
        _draw.normal(size=(2, 200))
        + _test_y * _np.array([[1.0 - 0.4 * _seed], [0.5 * _seed]])
    ) * [[1], [20]]

    def _quality(alpha):
        _z = [
            (p - h.mean()) / h.std()
            for p, h in zip(_np.hstack([_held, _pseudo]), _held)
        ]
        ranks = _rank(alpha * _z[0] + (1 - alpha) * _z[1])
        return (ranks[150:].mean() - 75.5) / 150

    _chosen = float(_choose(_held, _pseudo, _test, _test_y))
    assert min(abs(_chosen - a / 10) for a in range(11)) < 1e-9, (
        "not one of 0, 0.1, ..., 1"
    )
    assert _quality(_chosen) > max(_quality(a / 10) for a in range(11)) - 1e-3, (
        "another alpha tells them apart better"
    )
    assert float(_choose(_held, _pseudo, _test, 1 - _test_y)) == _chosen, (
        "the choice depends on the test labels"
    )
### END HIDDEN TESTS

# %% [markdown]
# Now for the digits, with $K = 3$ and the `noisy` held-out images as pseudo-anomalies: how much AUROC on the test set
# does the *best* $\alpha$ of the grid, which only an oracle knows, gain over the one you choose? (Noise is a poor model of a nine.) Put the difference, a number $\ge 0$, into
# `price`; 0.003 either way are accepted.

# %% nbgrader={"kind": "solution", "grade_id": "price"}
price = None


### BEGIN SOLUTION
def parts_of(X):
    bank, z = encode(train), encode(X)
    nearest = torch.cdist(z, bank).topk(3, largest=False).indices
    return image_part(X, decode(bank), nearest).numpy(), latent_part(z, bank, 3).numpy()


of_held, of_test = parts_of(held_out), parts_of(test)
by_alpha = {
    a / 10: metrics.auroc(y, combine(of_test, of_held, a / 10))[0] for a in range(11)
}
price = (
    max(by_alpha.values())
    - by_alpha[choose_alpha(of_held, parts_of(noisy(held_out)), of_test, y)]
)
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "price-test", "points": 1}
assert price is not None and 0 <= float(price) <= 1
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch
from scipy.stats import rankdata as _rank
from sklearn.decomposition import PCA as _PCA
from sklearn.neighbors import NearestNeighbors as _Neighbours

from novelty_utils import data as _data
from novelty_utils.data import protocols as _protocols

_ds = _data.load("digits")
_split = _protocols.miso(_ds, 9, seed=0)
_train, _held, _test = (
    _ds.images[i].flatten(1).double().numpy() / 255
    for i in (_split.train, _split.held_out, _split.test)
)
_pca = _PCA(12, svd_solver="full").fit(_train)
_bank = _pca.transform(_train)
_decoded = _pca.inverse_transform(_bank)


def _both(X):
    far, near = _Neighbours(n_neighbors=3).fit(_bank).kneighbors(_pca.transform(X))
    return _np.stack([_np.abs(X[:, None] - _decoded[near]).mean((1, 2)), far.mean(1)])


def _auroc(novel, scores):
    ranks, n = _rank(scores), int(novel.sum())
    return (ranks[novel].mean() - (n + 1) / 2) / (len(novel) - n)


_noise = _torch.randn(_held.shape, generator=_torch.Generator().manual_seed(0)).numpy()
_fakes = (_held + 0.15 * _noise).clip(0, 1)
_of_held, _of_pseudo, _of_test, _novel = (
    _both(_held),
    _both(_fakes),
    _both(_test),
    _split.reveal() == 1,
)
_mean, _spread = _of_held.mean(1, keepdims=True), _of_held.std(1, keepdims=True)
_scores = [
    [a / 10, 1 - a / 10] @ ((p - _mean) / _spread)
    for p in (_np.hstack([_of_held, _of_pseudo]), _of_test)
    for a in range(11)
]
_fake = _np.arange(2 * len(_held)) >= len(_held)
_on_fakes, _on_test = (
    [_auroc(_fake, s) for s in _scores[:11]],
    [_auroc(_novel, s) for s in _scores[11:]],
)
_fair = [
    t for f, t in zip(_on_fakes, _on_test) if f > max(_on_fakes) - 1e-6
]  # several may be best on the fakes
assert min(abs(float(price) - (max(_on_test) - t)) for t in _fair) < 0.003, (
    "not the price of not knowing"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Find the leak (1 point)
#
# 1. The autoencoder is trained on nine tenths of the normal training images; the bank holds the codes of all of them.
# 2. Both parts of the score are scaled by mean and deviation over the remaining tenth.
# 3. Which means that those images, too, find themselves in the bank.
# 4. $K$ is fixed to 1 before anything is run.
# 5. $\alpha$ is the value with the best AUROC on the test set.
# 6. Each part is stretched to $[0, 1]$ over the test set before both are plotted.
#
# In which step does a *label of a test image* decide about the score that is reported?

# %% nbgrader={"kind": "solution", "grade_id": "leaks"}
leaks = set()
### BEGIN SOLUTION
leaks = {5}
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "leaks-test", "points": 1}
assert leaks and set(leaks) < {1, 2, 3, 4, 5, 6}, "a set of step numbers"
### BEGIN HIDDEN TESTS
assert {int(step) for step in leaks} == {5}, (
    "a step is missing, or one too many: where do labels enter?"
)
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** Steps 1 to 3 contain a mistake that needs no label. What are the distances of the held-out images to
# their nearest code of the bank at $K = 1$, what does the scaling of the latent part do then, and what becomes of the score at
# $\alpha = 0$ and at $\alpha = \frac12$? What changes at $K = 3$?

# %% [markdown] nbgrader={"kind": "answer", "grade_id": "bank", "points": 3}
# **Model answer.** Each held-out image finds itself: distance 0. Mean and deviation of the latent part over them are both 0, and
# dividing by the deviation gives infinities (or, with a guard such as "take 1 instead", plain distances on an arbitrary scale).
# At α = 0 the ranking survives a guard, because any increasing map keeps it, but a threshold taken from held-out images
# is 0 and calls every test image novel. At α = ½ it matters for the ranking as well: the latent part is infinite or
# has the wrong unit, so the weight means nothing. At K = 3 the first of three distances is 0 and the others are not: nothing
# breaks visibly, but the mean and deviation come out too small, so the latent part weighs too much. That is the more dangerous case.
#
# **Marks.** 1: distance 0, hence a scale of 0. 1: consequences at α = 0 and ½ told apart (ranking against threshold or weight). 1: K = 3: no error
# message, still too small. Half a point where only "it leaks" is said. No marks for "the AUROC becomes 1".

# %% [markdown]
# ## 7. Read a row of the ledger (1 point)
#
# Three rows of [the ledger](https://novelty-book.github.io/novelty-book/book/claims.html) about orders, as they stood when this was written. The
# interval is that of the mean difference of AUROC, "more" minus "less", over classes.
#
# | claim | data | ours | low | high |
# |---|---|---|---|---|
# | AE: the score of NLN is better than the reconstruction error | MNIST, MISO | 0.097 | 0.050 | 0.145 |
# | the same | CIFAR-10 (JPEG), MISO | 0.014 | -0.017 | 0.045 |
# | AE-con: the whole score is better than its image part | Fashion-MNIST | 0.0021 | 0.0011 | 0.0031 |
#
# Read on the page how an order is judged; `no_difference` is the half point that it speaks of. Write the rule, and look at what
# it says about the third row, whose interval lies above zero.


# %% nbgrader={"kind": "solution", "grade_id": "order"}
def order(low, high, no_difference=0.005):
    """One of "reproduced", "not reproduced", "mixed within noise" for a claim that a mean difference is positive."""
    ### BEGIN SOLUTION
    too_small_to_matter = max(abs(low), abs(high)) <= no_difference
    if high < 0 or too_small_to_matter:
        return "not reproduced"
    return "reproduced" if low > 0 else "mixed within noise"
    ### END SOLUTION


# %% nbgrader={"kind": "test", "grade_id": "order-test", "points": 1}
assert order(0.050, 0.145) == "reproduced"
### BEGIN HIDDEN TESTS
assert order(-0.017, 0.045) == "mixed within noise"
assert order(0.0011, 0.0031) == "not reproduced", (
    "surely positive, and too small for anyone to choose by it"
)
assert order(0.0024, 0.0095) == "reproduced"
assert order(-0.004, 0.003) == "not reproduced"
assert order(-0.08, -0.01) == "not reproduced"
assert order(-0.004, 0.02) == "mixed within noise"
### END HIDDEN TESTS
