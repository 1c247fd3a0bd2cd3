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
# **Afterwards you can** build a score from neighbours, put two parts on one scale, choose a weight without test anomalies, and say
# what that costs.
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

from novelty_utils import data
from novelty_utils.data import protocols
from novelty_utils.evaluation import metrics

release_seed = 0


def draw(purpose):
    """Random numbers of your own."""
    words = f"{release_seed} {student.strip().lower()} {purpose}"
    return np.random.default_rng(list(words.encode()))


ds = data.load("digits")
novel = int(draw("digit").integers(10))  # the novel digit, all others are normal
split = protocols.miso(ds, novel, seed=0)
strength = float(draw("noise").uniform(0.1, 0.3))
neighbours = int(draw("neighbours").integers(2, 6))


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
    return (X + strength * noise).clamp(0, 1)


# %% [markdown]
# ## 1. The latent part (2 points, 15 minutes, easy)
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
found = float(latent_part(torch.tensor([[1.0]]), on_a_line, 3)[0])
assert abs(found - 4) < 1e-4, (
    f"the latent part of the code 1 is {found:.4f}; (1 + 2 + 9) / 3 = 4 was expected"
)
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
    _got, _expected = _np.asarray(_got, dtype=float), _np.mean(_expected, 1)
    assert _np.allclose(_got, _expected, atol=1e-3), (
        f"for K = {_K} the latent parts are {_got}; {_expected} was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The image part (2 points, 20 minutes, medium)
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
found = np.asarray(
    image_part(
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        torch.tensor([[0, 2]]),
    ),
    dtype=float,
)
assert np.allclose(found, [0.75]), (
    f"the image part is {found}; (1/2 + 2/2) / 2 = 0.75 was expected"
)
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
    _got = _np.asarray(_got, dtype=float)
    assert _np.allclose(_got, _expected, atol=1e-4), (
        f"for K = {_K} the image parts are {_got}; {_expected} was expected"
    )
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
# ## 3. The loss of the variational autoencoder (2 points, 25 minutes, medium)
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
found = np.asarray(kl(torch.full((2, 3), 2.0), torch.zeros(2, 3), 1.0), dtype=float)
assert np.allclose(found, [6, 6], atol=1e-4), (
    f"three coordinates with mean 2 and deviation 1 cost {found} at tau = 1; "
    "3 * 2² / 2 = 6 for each image was expected"
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
    _got, _expected = np.asarray(_got, dtype=float), _expected.numpy()
    assert _got.shape == (4,) and np.allclose(_got, _expected, rtol=1e-4, atol=1e-4), (
        f"at tau = {(0.5, 1.0, 3.0)[_seed]} the divergences are {_got}; {_expected} was "
        "expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Two parts on one scale (2 points, 15 minutes, easy)
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
assert np.allclose(easy, [2.0]), (
    f"the score is {easy}; 2 was expected, as both parts lie two deviations above their mean"
)
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
    _expected = _alpha * _z[0] + (1 - _alpha) * _z[1]
    assert _np.allclose(_got, _expected, rtol=0.01, atol=0.02), (
        f"the first scores are {_got[:3]}; on the scale of held-out images "
        f"{_expected[:3]} was expected"
    )
    _few = _np.asarray(combine(tuple(p[:4] for p in _parts), _held, _alpha))
    assert _np.allclose(_few, _got[:4]), (
        f"the first score is {_few[0]:.4f} among four images and {_got[0]:.4f} among "
        "thirty; the same was expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Choose α without anomalies (4 points, 40 minutes, hard)
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
found = float(choose_alpha(some, some + [[3], [0]], some, np.arange(50) % 2))
assert found > 0.3, (
    f"only the image part tells these apart and alpha is {found}; more than 0.3 was expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
from scipy.stats import rankdata as _rank

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

    _chosen = float(choose_alpha(_held, _pseudo, _test, _test_y))
    assert min(abs(_chosen - a / 10) for a in range(11)) < 1e-9, (
        f"alpha is {_chosen}; one of 0, 0.1, ..., 1 was expected"
    )
    _best = max(_quality(a / 10) for a in range(11))
    assert _quality(_chosen) > _best - 1e-3, (
        f"with alpha = {_chosen} the AUROC on the made-up anomalies is "
        f"{_quality(_chosen):.4f}; {_best:.4f} was expected"
    )
    _again = float(choose_alpha(_held, _pseudo, _test, 1 - _test_y))
    assert _again == _chosen, (
        f"alpha is {_again} and not {_chosen} if only test labels change; the same was "
        "expected"
    )
### END HIDDEN TESTS

# %% [markdown]
# Now for the digits. The cell prints which digit is novel and how many neighbours to take; both are your own. The `noisy` held-out images are the pseudo-anomalies. (Noise is a
# poor model of a digit.) Put two AUROC on the test set into `best_and_chosen`: that of the *best* $\alpha$ of the grid, which only an oracle knows, and that of the $\alpha$ that you choose.
# 0.002 either way are accepted.

# %% nbgrader={"kind": "given", "grade_id": "some-digit"}
print(f"novel digit: {novel}, K = {neighbours}")

# %% nbgrader={"kind": "solution", "grade_id": "price"}
best_and_chosen = None


### BEGIN SOLUTION
def parts_of(X):
    bank, z = encode(train), encode(X)
    nearest = torch.cdist(z, bank).topk(neighbours, largest=False).indices
    images = image_part(X, decode(bank), nearest)
    return images.numpy(), latent_part(z, bank, neighbours).numpy()


of_held, of_test = parts_of(held_out), parts_of(test)
by_alpha = {
    a / 10: metrics.auroc(y, combine(of_test, of_held, a / 10))[0] for a in range(11)
}
chosen_alpha = choose_alpha(of_held, parts_of(noisy(held_out)), of_test, y)
best_and_chosen = max(by_alpha.values()), by_alpha[chosen_alpha]
### END SOLUTION

# %% nbgrader={"kind": "test", "grade_id": "price-test", "points": 1}
assert best_and_chosen is not None and len(best_and_chosen) == 2, (
    f"best_and_chosen is {best_and_chosen}; two numbers were expected"
)
### BEGIN HIDDEN TESTS
import numpy as _np
import torch as _torch
from scipy.stats import rankdata as _rank
from sklearn.decomposition import PCA as _PCA
from sklearn.neighbors import NearestNeighbors as _Neighbours

from novelty_utils import data as _data
from novelty_utils.data import protocols as _protocols

_ds = _data.load("digits")
_split = _protocols.miso(_ds, novel, seed=0)
_train, _held, _test = (
    _ds.images[i].flatten(1).double().numpy() / 255
    for i in (_split.train, _split.held_out, _split.test)
)
_pca = _PCA(12, svd_solver="full").fit(_train)
_bank = _pca.transform(_train)
_decoded = _pca.inverse_transform(_bank)


def _both(X):
    far, near = (
        _Neighbours(n_neighbors=neighbours).fit(_bank).kneighbors(_pca.transform(X))
    )
    return _np.stack([_np.abs(X[:, None] - _decoded[near]).mean((1, 2)), far.mean(1)])


def _auroc(novel, scores):
    ranks, n = _rank(scores), int(novel.sum())
    return (ranks[novel].mean() - (n + 1) / 2) / (len(novel) - n)


_noise = _torch.randn(_held.shape, generator=_torch.Generator().manual_seed(0)).numpy()
_fakes = (_held + strength * _noise).clip(0, 1)
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
_best, _chosen = map(float, best_and_chosen)
assert abs(_best - max(_on_test)) < 0.002, (
    f"the best AUROC is {_best:.4f}; for the digit of {student!r} {max(_on_test):.4f} was "
    "expected"
)
assert min(abs(_chosen - t) for t in _fair) < 0.002, (
    f"the AUROC of your alpha is {_chosen:.4f}; {_fair[0]:.4f} was expected"
)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Find the leak (1 point, 10 minutes, medium)
#
# The cell below prints a protocol, your own. In which steps does a *label of a test image decide* about something that is reported, other than by measuring it at
# the end? Give the set of their numbers; it may be empty.

# %% tags=["hide-input"] nbgrader={"kind": "given", "grade_id": "protocol"}
VERSIONS = (
    (
        "The autoencoder is trained on nine tenths of the normal training images.",
        "The autoencoder with the best AUROC on the test set is kept, of five seeds.",
    ),
    (
        "The width of the code is the one with the best AUROC on the test set.",
        "The width of the code is 16, fixed before the first run.",
    ),
    (
        "K is 1 before anything is run.",
        "K is 5, the value with the best AUROC on the test set.",
    ),
    (
        "Both parts are scaled by the normal images of the test set.",
        "Both parts are scaled by mean and deviation over held-out normal images.",
    ),
    (
        "alpha is the value that best tells noisy held-out images from clean ones.",
        "alpha is the value with the best AUROC on every third test image.",
    ),
    (
        "Each part is stretched to [0, 1] over all test images, before both are plotted.",
        "If the AUROC on the test set is below one half, the score is turned around.",
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
    "of five seeds",
    "is the one with",
    "K is 5",
    "by the normal images",
    "every third",
    "turned around",
)
_steps = enumerate((two[pick] for pick, two in zip(picks, VERSIONS)), 1)
_right = {i for i, step in _steps if any(word in step for word in _leaky)}
assert {int(step) for step in leaks} == _right, (
    f"leaks is {sorted(map(int, leaks))}; in the protocol of {student!r} these are "
    f"{sorted(_right)}: what is chosen, and by what?"
)
### END HIDDEN TESTS

# %% [markdown]
# **For a reader (3 points).** Another mistake needs no label. An autoencoder is trained on nine tenths of the normal training images, and both parts of the score are scaled by mean and
# deviation over the remaining tenth; but the bank holds the codes of *all* training images. What are the distances of the held-out images to
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
# ## 7. Read a row of the ledger (1 point, 15 minutes, easy)
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
# The rule: `"not reproduced"` if the whole interval lies below zero, or if it lies between minus `no_difference` and `no_difference`, edges included, because then nobody would
# choose by it; else `"reproduced"` if the whole interval lies above zero; else `"mixed within noise"`. Half a point of AUROC counts as no difference. Write the rule, and look at what
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
found = order(0.050, 0.145)
assert found == "reproduced", f"order is {found!r}; 'reproduced' was expected"
### BEGIN HIDDEN TESTS
for _row, _expected in {
    (-0.017, 0.045): "mixed within noise",
    (0.0011, 0.0031): "not reproduced",
    (0.0024, 0.0095): "reproduced",
    (-0.004, 0.003): "not reproduced",
    (-0.08, -0.01): "not reproduced",
    (-0.004, 0.02): "mixed within noise",
}.items():
    _got = order(*_row)
    assert _got == _expected, f"order{_row} is {_got!r}; {_expected!r} was expected"
### END HIDDEN TESTS
