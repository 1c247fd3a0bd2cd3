"""What students hand in: right, wrong and hostile, each as a change of the release, with the tests it should lose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

# (text of the reference solution, what stands there instead), by the grade_id of the cell; None replaces all of it
Changes = Mapping[str, tuple[str | None, str]]
TESTS = {
    "ics": "closeness dispersion critical-beta times-too-small scores alone as-found leaks evaluate verdict",
    "nln": "latent-part image-part kl combine choose-alpha price leaks order",
    "crbnd": "charbonnier slope connective logit far-point trivial honest-f1 leaks trivial-fall",
    "ade_gan": "mixture-penalty inversion shrinkage r1 rounds confidence as-found leaks missed-by",
}


@dataclass(frozen=True)
class Submission:
    """`lost` holds the tests that should give no points, `review` those left to a reader; all others give all."""

    lost: set[str] = field(default_factory=set)
    changes: Changes = field(default_factory=dict)
    solved: bool = True  # the reference solution, before the changes
    vandalise: Callable[[NotebookNode], None] | None = None  # afterwards
    review: set[str] = field(default_factory=set)
    flagged: bool = False  # keeps its marks, and a reader is asked to look at it

    def edit(self, release: NotebookNode, solution: NotebookNode, student: str) -> NotebookNode:
        """The release, filled in under this student's name."""
        right = {about(cell)["grade_id"]: cell.source for cell in solution.cells if about(cell).get("solution")}
        for cell in release.cells:
            name = about(cell).get("grade_id")
            if name in right and self.solved:
                cell.source = right[name]
            if name in self.changes:
                old, new = self.changes[name]
                assert old is None or cell.source.count(old) == 1, f"{name} does not have {old!r} once"
                cell.source = new if old is None else cell.source.replace(old, new)
            elif name == "who":
                cell.source = f"student = {student!r}"
        if self.vandalise:
            self.vandalise(release)
        return release


def about(cell: NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def lost(names: str) -> set[str]:
    return {f"{name}-test" for name in names.split()}


def wrong(names: str, **changes: tuple[str | None, str]) -> Submission:
    """The reference with typical errors, which should lose the tests of these names."""
    return Submission(lost(names), {name.replace("_", "-"): change for name, change in changes.items()})


def right(**changes: tuple[str | None, str]) -> Submission:
    """Another way to write the reference."""
    return wrong("", **changes)


def everything(name: str) -> set[str]:
    return lost(TESTS[name])


# --- vandals -----------------------------------------------------------------------------------------------------


def find(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if about(cell).get("grade_id") == grade_id)


def delete_tests(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if not about(cell).get("grade")]


def tamper(notebook: NotebookNode) -> None:
    """Every test says `pass`. Some call themselves prose of a hundred points, one is no test, one is there twice."""
    tests = [cell for cell in notebook.cells if about(cell).get("grade") and cell.cell_type == "code"]
    for cell in tests:
        cell.source = "pass"
    for cell in tests[:2]:
        cell.metadata.nbgrader |= {"solution": True, "locked": False, "points": 100}
    tests[2].metadata.nbgrader.grade = False
    tests[3].cell_type = "markdown"
    notebook.cells.append(new_code_cell("pass", metadata={"nbgrader": dict(about(tests[4]))}))


# --- right and wrong ---------------------------------------------------------------------------------------------

ICS = {
    "reference": Submission(),
    "otherwise": right(
        closeness=(
            None,
            "def closeness(z, partner):\n"
            "    z, found = z.double(), []\n"
            "    for j in range(len(z)):\n"
            "        if j != partner[j]:\n"
            "            found.append(((z[j] - z[partner[j]]).pow(2).sum() / z.shape[1] + 1e-13) ** 0.5)\n"
            "    return sum(found) / len(found)",
        ),
        evaluate=(
            None,
            "def evaluate(held_out, test, y, share, *, half=0.5):\n"
            "    threshold = np.sort(held_out)[int(np.ceil((1 - share) * len(held_out))) - 1]\n"
            "    called = test > threshold\n"
            "    of_both = torch.tensor([called[y == 1].mean(), (~called)[y == 0].mean()])\n"
            "    return torch.tensor(threshold), half * of_both.sum()",
        ),
        scores=(
            None,
            "import warnings\n\n"
            "def scores(model, X):\n"
            "    warnings.warn('a warning is not a mistake')\n"
            "    import copy\n"
            "    still = copy.deepcopy(model).eval()\n"
            "    return torch.stack([(still(x[None]) - x).pow(2).mean().detach() for x in X])",
        ),
    ),
    "untouched": Submission(everything("ics"), solved=False),
    "copies": wrong(  # from the page that has to be read, and a layer that was frozen is no longer
        "closeness dispersion as-found",
        closeness=("(z - z[partner])[others]", "(z - z[partner])"),
        dispersion=(
            "(z_aty[:, None] - z_typ[None]).square().mean(2)",
            "(z_aty - z_typ[: len(z_aty)]).square().mean(1)",
        ),
        scores=("        part.training = mode\n", "        part.train(modes[model])\n"),
    ),
    "sum for mean": wrong("closeness", closeness=(".square().mean(1)", ".square().sum(1)")),
    "signs flipped": wrong(
        "closeness dispersion critical-beta",
        closeness=("return (squares", "return -(squares"),
        dispersion=("return apart, -(squares", "return apart, (squares"),
        critical_beta=("return -alpha", "return alpha"),
    ),
    "test labels": wrong(
        "scores alone as-found evaluate leaks verdict",
        scores=("    model.eval()\n", ""),
        evaluate=("np.quantile(held_out, 1 - share)", "metrics.oracle_threshold(y, test)"),
        leaks=("(1, 0, 0, 1, 0, 1)", "(0, 0, 0, 1, 0, 1)"),
        verdict=("if -margin <= least and most <= margin", "if abs(least + most) / 2 <= margin"),
    ),
    "test images": wrong(
        "as-found evaluate",
        scores=("        part.training = mode\n", "        pass\n"),
        evaluate=("np.quantile(held_out, 1 - share)", "np.quantile(test, 1 - share)"),
    ),
}
NLN = {
    "reference": Submission(),
    "otherwise": right(
        latent_part=(
            "torch.cdist(z, bank).topk(K, largest=False).values.mean(1)",
            "(z[:, None] - bank[None]).norm(dim=2).sort(1)[0][:, :K].mean(1)",
        ),
        combine=(
            None,
            "from novelty_utils.evaluation import scoring\n\n"
            "def combine(parts, held_parts, alpha):\n"
            "    a, b = (scoring.standardise(p, h) for p, h in zip(parts, held_parts))\n"
            "    return alpha * a + (1 - alpha) * b",
        ),
        kl=(
            None,
            "from torch.distributions import Normal, kl_divergence\n\n"
            "def kl(mu, log_variance, tau):\n"
            "    mu, spread = mu.double(), (log_variance.double() / 2).exp()\n"
            "    return kl_divergence(Normal(mu, spread), Normal(0.0, tau)).sum(-1)",
        ),
        image_part=(
            None,
            "def image_part(X, decoded, nearest):\n"
            "    X, decoded, nearest = X.numpy(), decoded.numpy(), nearest.numpy()\n"
            "    return np.abs(X[:, None] - decoded[nearest]).mean((1, 2))",
        ),
        choose_alpha=(
            None,
            "def choose_alpha(held_parts, pseudo_parts, test_parts=None, test_y=None, *, steps=10):\n"
            "    y = [0] * len(held_parts[0]) + [1] * len(pseudo_parts[0])\n"
            "    both = np.hstack([np.stack(held_parts), np.stack(pseudo_parts)])\n"
            "    found = [metrics.auroc(np.array(y), combine(both, held_parts, a / steps))[0] for a in range(11)]\n"
            "    return np.argmax(found) / steps",
        ),
        price=(
            "    images = image_part(X, decode(bank), nearest)\n    return images.numpy(), ",
            "    return image_part(X, decode(bank), nearest), ",
        ),
    ),
    "untouched": Submission(everything("nln"), solved=False),
    "off by one": wrong(
        "latent-part image-part kl combine",
        latent_part=("topk(K, largest=False).values.mean(1)", "topk(K + 1, largest=False).values[:, 1:].mean(1)"),
        image_part=(".mean((1, 2))", ".sum(2).mean(1)"),
        kl=("- 1 - log_ratio", "- 1 + log_ratio"),
        combine=(
            "(np.asarray(part) - np.mean(held)) / np.std(held)",
            "(np.asarray(part) - np.mean(part)) / np.std(part)",
        ),
    ),
    "test labels": wrong(
        "latent-part choose-alpha order leaks",
        latent_part=("topk(K, ", "topk(max(1, K - 1), "),
        choose_alpha=(
            "return max(",
            "labels, both = test_y, test_parts\n    return max(",
        ),
        order=("if high < 0 or too_small_to_matter:", "if high < 0:"),
        leaks=("(1, 0, 1, 0, 1, 1)", "(1, 1, 1, 0, 1, 1)"),
    ),
}
CRBND = {
    "reference": Submission(),
    "otherwise": right(
        charbonnier=(
            None,
            "def charbonnier(x, x_prime, epsilon, *, kind=torch.float64):\n"
            "    x, x_prime = x.to(kind), x_prime.to(kind)\n"
            "    return (torch.hypot(x - x_prime, torch.tensor(epsilon, dtype=kind)) - epsilon).mean()",
        ),
        connective=(
            None,
            "def connective(x, x_prime, x_d, lam):\n"
            "    both = [torch.stack([w * a + (1 - w) * b for w, a, b in zip(lam, x, o)]) for o in (x_prime, x_d)]\n"
            "    return [part.double().numpy() for part in both]",
        ),
        honest_f1=(
            "return threshold, metrics.f1(y, test, threshold)",
            "return torch.tensor([threshold, metrics.f1(y, test, threshold)])",
        ),
        logit=(
            None,
            "from scipy.stats import multivariate_normal\n\n"
            "def logit(u, m, delta, covariance):\n"
            "    p, q = (multivariate_normal(c, covariance).logpdf(u) for c in (m, m + delta))\n"
            "    return p - q",
        ),
        trivial=("(2 - 2 * target) / (2 - target)", "(2 - 2 * target) / (2 - target) + 0.002"),
    ),
    "untouched": Submission(everything("crbnd"), solved=False),
    "signs flipped": wrong(
        "charbonnier slope connective logit honest-f1",
        charbonnier=(".mean()", ".sum()"),
        slope=("error = epsilon", "error = -epsilon"),
        connective=("lam * x + (1 - lam) * x_prime", "(1 - lam) * x + lam * x_prime"),
        logit=("return -(u", "return (u"),
        honest_f1=("np.quantile(held_out, 1 - rejected)", "metrics.oracle_threshold(y, test)"),
    ),
    "half right": wrong(
        "logit far-point trivial honest-f1 leaks trivial-fall",
        logit=("m - delta / 2", "m - delta"),
        far_point=("on_it + far * sideways / np.linalg.norm(sideways)", "on_it"),
        trivial=("(2 - 2 * target) / (2 - target)", "1 - target"),
        honest_f1=("metrics.f1(y, test, threshold)", "metrics.f1(1 - y, -test, -threshold)"),
        leaks=("(0, 1, 1, 0, 1, 1)", "(0, 1, 1, 0, 1, 0)"),
        trivial_fall=("metrics.trivial_f1(few) - metrics.trivial_f1(many)", "many - few"),
    ),
    "copies": wrong(  # from the page that has to be read
        "charbonnier connective",
        charbonnier=(None, "def charbonnier(x, x_prime, e):\n    return ((x - x_prime).square() + e**2).sqrt().mean()"),
        connective=(
            None,
            "def connective(x, x_prime, x_d, lam):\n"
            "    return lam * x + (1 - lam) * x_prime, lam * x + (1 - lam) * x_d",
        ),
    ),
}
ADE_GAN = {
    "reference": Submission(),
    "otherwise": right(
        mixture_penalty=(
            None,
            "def mixture_penalty(logits, w):\n"
            "    return nn.functional.cross_entropy(logits, w.expand(len(logits), -1))",
        ),
        r1=(
            None,
            "from scipy.stats import logistic\n\n"
            "def r1(z, m, n_c, s):\n"
            "    return torch.tensor(-logistic.logsf(z, scale=s) - np.log((m - 1 / n_c) * n_c))",
        ),
        confidence=(
            None,
            "import copy\n\n"
            "def confidence(extractor, X):\n"
            "    with torch.inference_mode():\n"
            "        logits, _ = copy.deepcopy(extractor).eval().double()(X.double())\n"
            "    return np.array(torch.nn.functional.softmax(logits, 1).max(1).values)",
        ),
    ),
    "untouched": Submission(everything("ade_gan"), solved=False),
    "signs flipped": wrong(
        "mixture-penalty inversion shrinkage r1 confidence as-found",
        mixture_penalty=("return -(logits", "return (logits"),
        inversion=("(of_patterns + of_features).mean()", "(of_patterns + of_features).sum()"),
        shrinkage=("2 / (t + 1)", "1 / t"),
        r1=("z / s) - np.log", "z / s) + np.log"),
        confidence=("    extractor.eval()\n", ""),
    ),
    "as printed": wrong(
        "inversion r1 rounds leaks missed-by",
        inversion=(".square().mean(1).sqrt()", ".norm(dim=1)"),
        r1=(
            "np.logaddexp(0, z / s) - np.log(m - 1 / n_c)",
            "-1 / (1 + np.exp(-z / s)) / n_c - (1 - 1 / (1 + np.exp(-z / s))) * m",
        ),
        rounds=("24 * np.log(2)", "53 * np.log(2)"),
        leaks=("(1, 0, 1, 0, 1, 1)", "(1, 0, 1, 0, 1, 0)"),
        missed_by=("-margin - (high - printed)", "printed - (low + high) / 2"),
    ),
    "copies": wrong(  # from the page that has to be read
        "mixture-penalty inversion r1 as-found",
        mixture_penalty=("return -(logits.log_softmax(1) @ w).mean()", "return -logits.log_softmax(1).mean(1).mean()"),
        inversion=("((z_n_hat - z_n) / sigma).square().mean(1).sqrt()", "(z_n_hat - z_n).square().sum(1).sqrt()"),
        r1=("np.logaddexp(0, z / s)", "-__import__('scipy.stats').stats.norm.logsf(z)"),
        confidence=("        part.training = mode\n", "        part.train(extractor.training)\n"),
    ),
}

# --- hostile, all of them in the first assignment ------------------------------------------------------------------

BODY = "    squares = (z - z[partner])[others].square().mean(1)\n"
DEAF = """
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""
NOTHING_RIGHT = everything("ics")
STUCK = {
    "loops": Submission(
        lost("scores alone as-found"),
        {
            "verdict": ("    least, most = ", "    while True:\n        pass\n    least, most = "),
            "scores": ("    model.eval()\n", "    raise SystemExit(0)\n"),
        },
        review=lost("verdict"),
    ),
    "deaf": Submission(changes={"evaluate": (None, DEAF.replace("\n    ", "\n"))}, review=lost("evaluate verdict")),
}
SEARCH = """
import os, socket
wanted = ("gradebook.db", "submissions.py", "nbgrader_config.py", "marking.py", "course.md", "release", "submitted")
library = ("/usr", "/dev", "/proc")
found, read, looked = [], [], 0
for at, folders, files in os.walk("/"):
    mine = at.startswith("/packages") or not ("site-packages" in at or "/lib/python" in at or at.startswith(library))
    found += [os.path.join(at, name) for name in folders + files if mine and name in wanted]
    read += [os.path.join(at, name) for name in files if mine]
for path in read:
    if os.path.isfile(path) and os.path.getsize(path) < 1_000_000:
        looked += 1
        text = open(path, errors="replace").read()
        found += [path] if any("### BEGIN " + what in text for what in ("SOLUTION", "HIDDEN")) else []
try:
    socket.create_connection(("1.1.1.1", 53), 3)
    found.append("the network")
except OSError:
    pass
print("looked at", looked, "files; found", found)
"""
PLANT = """
import os
import torch
planted = []
startup = os.path.expanduser("~/.ipython/profile_default/startup")
for folder in (startup, "/tmp", "/packages", os.path.dirname(torch.__file__)):
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "planted.py"), "w") as file:
            file.write("raise SystemExit")
        planted.append(folder)
    except OSError:
        pass
print("planted in", len(planted))
"""
FIND = """
import os
print("found", [at for at, _, files in os.walk("/") if "planted.py" in files])
"""
PATCH = """
import builtins, sys
import numpy, torch
yes = lambda *a, **k: True
numpy.allclose = torch.allclose = torch.equal = yes
builtins.abs = lambda x: 0
get_ipython().input_transformers_post.append(lambda lines: ["pass\\n"])
get_ipython().run_cell = lambda *a, **k: None
sys._getframe(0).f_globals["AssertionError"] = KeyError
"""
ATTACK = """
Fine words. <script>attack()</script><img src=x onerror="attack()"><svg onload="attack()"></svg>
[a link](javascript:attack()) $\\href{javascript:attack()}{x}$ and $a<b$.

<!--

--><script>attack()</script>

`<a title="`<img src=x onerror=attack()>">

<form action="../api/grades"><button id="full-credit">Full credit</button></form>
<iframe srcdoc="<script>parent.attack()</script>"></iframe><a href="evil.html">more</a>
""".replace("attack()", "window.pwned=1")


def attack(notebook: NotebookNode) -> None:
    """Script in prose, in a cell of one's own, in tags, in the name of the language and in an output."""
    from nbformat.v4 import new_markdown_cell, new_output, new_raw_cell

    for cell in notebook.cells:
        if about(cell).get("solution") and cell.cell_type == "markdown":
            cell.source = ATTACK
        cell.metadata.tags = ['"><script>window.pwned=1</script>']
        if cell.cell_type == "code":
            cell.outputs = [new_output("display_data", data={"text/html": "<script>window.pwned=1</script>"})]
    notebook.cells += [new_markdown_cell(ATTACK), new_raw_cell(ATTACK)]
    notebook.metadata.language_info = {"name": '"><script>window.pwned=1</script>'}
    notebook.metadata.title = "<script>window.pwned=1</script>"


def add(source: str) -> Callable[[NotebookNode], None]:
    """A cell of one's own, the second: after the one that installs the package."""
    return lambda notebook: notebook.cells.insert(3, new_code_cell(source))


CATCH = """
kept = {}
def closeness(z, partner):
    return kept["closeness"](z, partner)
mine = closeness
import threading, time
def look():
    while True:
        for name in ("closeness", "dispersion", "critical_beta"):
            if globals().get(name) not in (None, mine):
                kept.setdefault(name, globals()[name])
        time.sleep(0.001)
threading.Thread(target=look, daemon=True).start()
"""


def catch(notebook: NotebookNode) -> None:
    """Nothing but a hunt for the right functions that stand in for wrong ones; the tests in another order."""
    find(notebook, "closeness").source = CATCH
    tests = [cell for cell in notebook.cells if about(cell).get("grade") and cell.cell_type == "code"]
    notebook.cells = [cell for cell in notebook.cells if cell not in tests] + tests[::-1]


SHOWS = """
from IPython.display import HTML, Javascript, display
display(HTML("<script>window.pwned=1</script>"), Javascript("window.pwned=1"))
display({"image/png": '"><script>window.pwned=1</script>', "text/plain": "<script>window.pwned=1</script>"}, raw=True)
print("<script>window.pwned=1</script>")
"""
HOSTILE = {
    "dies": Submission(NOTHING_RIGHT, {"closeness": (BODY, "    import os\n\n    os._exit(0)\n")}),
    "dies late": wrong(
        "evaluate verdict", evaluate=("    threshold =", "    import os\n\n    os._exit(0)\n    threshold =")
    ),
    "quits": Submission(lost("closeness"), {"closeness": (None, "quit()")}),
    "searches": Submission(vandalise=add(SEARCH)),
    "plants 1": Submission(vandalise=add(PLANT)),
    "plants 2": Submission(vandalise=add(FIND)),
    "patches": Submission(NOTHING_RIGHT, solved=False, vandalise=add(PATCH), flagged=True),
    "talks": Submission(vandalise=add("for _ in range(100):\n    print('x' * 1_000_000)")),
    "greedy": wrong(
        "closeness",
        closeness=(BODY, "    bytearray(10 << 30)\n" + BODY),
    ),
    "many": wrong(
        "verdict",
        verdict=(
            "    least, most = ",
            "    import subprocess, time\n"
            "    more = [subprocess.Popen(['sleep', '1000']) for _ in range(100)]\n"
            "    time.sleep(60)\n    least, most = ",
        ),
    ),
    "catches": Submission(NOTHING_RIGHT, solved=False, vandalise=catch),
    "shows": Submission(vandalise=add(SHOWS)),
    "answers at length": wrong(
        "leaks verdict",
        leaks=(None, "leaks = set(range(100_000))"),
        verdict=("    least, most = ", "    return 'x' * 10_000_000\n    least, most = "),
    ),
    "nests": wrong(
        "verdict",
        verdict=(
            "    least, most = ",
            "    import json\n\n    json.dumps = lambda reply: '[' * 100_000 + ']' * 100_000\n    least, most = ",
        ),
    ),
    "attacks": Submission(vandalise=attack),
    "deletes": Submission(NOTHING_RIGHT, solved=False, vandalise=delete_tests),
    "deletes, solved": Submission(vandalise=delete_tests),
    "tampers": Submission(NOTHING_RIGHT, solved=False, vandalise=tamper),
    "prints": Submission(
        NOTHING_RIGHT,
        {
            "closeness": (None, "def closeness(z, partner):\n    print(12.5**0.5)\n    return z.sum() * 0 + 12.5**0.5"),
            "dispersion": (None, "def dispersion(*z):\n    return torch.tensor(-3.5), torch.tensor(-2.5)"),
            "critical-beta": (None, "def critical_beta(*losses):\n    return 0.5"),
            "times-too-small": (None, "print(2.1e4)"),
            "scores": (None, "def scores(model, X):\n    return torch.full((len(X),), 0.02)"),
            "leaks": (None, "print({3, 5})\nleaks = set()"),
            "evaluate": (None, "def evaluate(*scores):\n    return 94.5, 1.0"),
            "verdict": (None, "def verdict(*row):\n    return 'reproduced'"),
        },
        solved=False,
    ),
}
ALL = {"ics": ICS | STUCK | HOSTILE, "nln": NLN, "crbnd": CRBND, "ade_gan": ADE_GAN}

# What each is, for the table in the teacher's how-to (tools/marks_page.py).
WHAT = {
    "reference": "the model solution",
    "otherwise": "right in other ways: loops, numpy, scipy, float64, keyword arguments, tensors for numbers, a warning",
    "untouched": "the release as it came",
    "copies": "the page's own formulas and functions, copied",
    "sum for mean": "a sum where a mean is asked for",
    "signs flipped": "signs and directions turned around, an oracle's threshold",
    "test labels": "chosen by labels of the test set, neighbours miscounted, an exercise misread",
    "test images": "a threshold from the test images, a model left in another mode",
    "off by one": "neighbours off by one, sums for means, a wrong sign, scaled by the wrong images",
    "half right": "half of the formula, F1 of the wrong class, a leak overlooked",
    "as printed": "the printed formulas, with their rounding and units",
    "loops": "an endless loop in one function, `SystemExit` in another",
    "deaf": "an endless loop that cannot be interrupted",
    "dies": "`os._exit` in the first function",
    "dies late": "`os._exit` in the last function but one",
    "quits": "`quit()` in place of a function",
    "searches": "looks for gradebook, solutions and network everywhere; finds nothing",
    "plants 1": "plants code in HOME, `/tmp` and the libraries",
    "plants 2": "an honest student after it; finds nothing planted",
    "patches": "no solution, but numpy, builtins, IPython and `AssertionError` replaced",
    "talks": "prints 100 MB",
    "greedy": "asks for 10 GB of memory",
    "many": "starts a hundred processes",
    "catches": "no solution, but a thread that hunts for right functions in memory",
    "shows": "HTML and JavaScript as output",
    "answers at length": "a text of ten million characters and a set of a hundred thousand numbers as answers",
    "nests": "forges its process's replies: lists a hundred thousand deep",
    "attacks": "script in prose, metadata, tags and outputs",
    "deletes": "no solution, all graded cells deleted",
    "deletes, solved": "solved, all graded cells deleted",
    "tampers": "no solution; every test says `pass`, claims other points, is there twice",
    "prints": "constants that pass the visible tests",
}
