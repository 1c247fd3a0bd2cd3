"""No number in the prose without something that backs it: tests/prose.toml lists each, and each is looked up again."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from scipy.stats import norm

from novelty_utils.evaluation.statistics import per_class
from novelty_utils.ledger import published, verdicts
from novelty_utils.records import replications, store

pytestmark = pytest.mark.prose
ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in [*sorted((ROOT / "notebooks").glob("*.py")), ROOT / "book" / "index.md"]}
PAGES |= {name: ROOT / "book" / f"{name}.md" for name in ("holds", "claims", "peeking", "overturned")}
PAGES |= {path.stem: path for path in sorted((ROOT / "book").glob("choices-*.md"))}
BACKED = tomllib.loads((ROOT / "tests" / "prose.toml").read_text(encoding="utf-8"))
NUMBER = re.compile(r"(?<![\w.])(\d+\.\d+(?!\d|\.\d)(?: %)?|\d+ %)")


def prose(page: Path) -> str:
    """The text of a page: of a notebook its Markdown cells; without code, formulas and comments."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        cells = re.split(r"^# %%", text, flags=re.MULTILINE)
        lines = [cell.splitlines()[1:] for cell in cells if cell.startswith(" [markdown]")]
        text = "\n".join("\n".join(line[2:] for line in of_cell) for of_cell in lines)
    for hidden in (r"```.*?```", r"\$\$.*?\$\$", r"\$[^$]*\$", r"`[^`]*`"):
        text = re.sub(hidden, "", text, flags=re.DOTALL)
    return text


def numbers(text: str) -> set[str]:
    return {found.group(1) for found in NUMBER.finditer(text.replace("\N{NO-BREAK SPACE}", " "))}


def test_a_number_is_seen_where_it_is_prose_and_not_where_it_is_code():
    assert numbers("0.907, or 69.4 % and 17 %; $0.1$") == {"0.907", "69.4 %", "17 %", "0.1"}
    assert numbers("version 3.11.2, eq. 4, x1.5, 1,247 cells") == set()
    assert {"96.2", "90 %"} <= numbers(prose(PAGES["ics"]))


@pytest.mark.parametrize("name", PAGES)
def test_every_number_in_the_prose_is_listed_with_what_backs_it(name):
    unknown = numbers(prose(PAGES[name])) - set(BACKED.get(name, {}))
    assert not unknown, f"say in tests/prose.toml what backs {sorted(unknown)} in {PAGES[name].name}"


def test_the_list_holds_no_number_that_is_gone():
    for name, listed in BACKED.items():
        assert name in PAGES
        assert not set(listed) - numbers(prose(PAGES[name])), name


PRINTED = [(n, w, b["printed"]) for n, known in BACKED.items() for w, b in known.items() if "printed" in b]


@pytest.mark.parametrize(("name", "written", "where"), PRINTED)
def test_a_printed_number_is_the_one_that_the_paper_prints(name, written, where):
    where = dict(where)
    paper = name.removeprefix("choices-").removesuffix("_evidence").removesuffix("_defects")
    cells, unit = published.read(where.pop("paper", paper.replace("-", "_"))), where.pop("unit", "")
    for column, value in where.items():
        cells = cells[cells[column] == value]
    value = float(written.removesuffix(" %"))
    assert len(cells) == 1, f"{where} is {len(cells)} cells"
    scale = 1e-6 if unit == "million" else 100 if written.endswith(" %") or value > 1 >= cells.value.item() else 1
    assert scale * cells.value.item() == pytest.approx(value)


def best_baseline_of_crbnd() -> float:
    rows = store.to_frame(store.read("crbnd", ROOT / "results"))
    rows = rows[(rows.dataset == "cifar10_jpeg") & (rows.metric == "auroc") & (rows.tier != "smoke")]
    rows = rows[rows.method.isin(["error of A", "pixels", "statistics"])]
    return rows.groupby(["n_inlier", "method"]).value.mean().max()


def ics_mean(dataset: str, metric: str = "auroc") -> float:
    """Over the classes of short runs at the defaults, in percent, as the tables of the page have it."""
    rows = store.to_frame(replications.counted("ics", ROOT / "results"))
    rows = store.where(rows, dataset=dataset, tier="demo", protocol="one_class", method="ICS", metric=metric)
    return 100 * per_class(rows, rho=10.0, beta=1e-5, rec="mean", bn="torch", ssim="gaussian", start="continue").mean()


def printed_ics_mean(dataset: str) -> float:
    return 100 * published.cells("ics", "Table 4").loc[dataset].ICS.mean()


def ics_on_the_pullover() -> float:
    rows = store.to_frame(store.read("ics", ROOT / "results"))
    rows = store.where(rows, class_name="pullover", tier="paper", seed=0, method="ICS", metric="auroc", bn="torch")
    return 100 * store.where(rows, protocol="one_class", rho=10.0, beta=1e-5, rec="mean").value.item()


def short_ics(class_name: str, seed: int, folder: str = "", metric: str = "auroc") -> float:
    rows = store.to_frame(store.read("ics", ROOT / "results" / folder))
    rows = store.where(rows, dataset="fashion_mnist", class_name=class_name, tier="demo", seed=seed, method="ICS")
    return store.where(rows, metric=metric, protocol="one_class", rec="mean", bn="torch").value.item()


def second_crbnd(halvings: int, score: str) -> float:
    """An AUROC on the 8, with 1024 numbers at the narrowest place."""
    name = "crbnd" if halvings == 4 else "crbnd_depth"
    entries = json.loads((ROOT / "results" / "second_look" / f"{name}.json").read_text(encoding="utf-8"))
    (entry,) = (e for e in entries if e["class"] == "8" and e["seed"] == 0 and e.get("narrowest", 1024) == 1024)
    assert entry.get("halvings", 4) == halvings
    return round(entry["auroc"][score], 2)


def autoencoder(d: int) -> float:
    rows = store.to_frame(store.read("ade_gan", ROOT / "results"))
    rows = store.where(rows, variant="autoencoder", class_name="0", d=d, metric="auroc", method="error", seed=0)
    return rows.value.item()


def cae_on_the_1() -> float:
    rows = store.to_frame(store.read("ics", ROOT / "results"))
    rows = store.where(rows, dataset="mnist", class_name="1", tier="paper", seed=0, method="CAE", metric="auroc")
    return 100 * rows.value.item()


LIMITS = verdicts.margins()
MEASURED = {
    "ICS on the pullover, seed 0, as first recorded": lambda said: round(short_ics("pullover", 0), 3) == said,
    "ICS on the pullover, seed 0, made again on another processor": lambda said: (
        round(short_ics("pullover", 0, "repeats"), 3) == said
    ),
    "ICS on MNIST, mean over the digits": lambda said: round(ics_mean("mnist"), 1) == said,
    "ICS on MNIST, mean over the digits, printed": lambda said: round(printed_ics_mean("mnist"), 1) == said,
    "ICS on Fashion-MNIST, mean over the classes": lambda said: round(ics_mean("fashion_mnist"), 1) == said,
    "ICS on Fashion-MNIST, mean over the classes, printed": lambda said: (
        round(printed_ics_mean("fashion_mnist"), 1) == said
    ),
    "the plain distance on the codes of ICS on Fashion-MNIST": lambda said: (
        round(ics_mean("fashion_mnist", "auroc_distance"), 1) == said
    ),
    "CAE on the digit 1 at full length": lambda said: round(cae_on_the_1(), 1) == said,
    "ICS on the pullover, seed 3": lambda said: round(100 * short_ics("pullover", 3), 1) == said,
    "ICS on the pullover, seed 3, its SVM on the typical images alone": lambda said: (
        round(100 * short_ics("pullover", 3, metric="auroc_typical"), 1) == said
    ),
    "ICS on the pullover, seed 1": lambda said: round(short_ics("pullover", 1), 2) == said,
    "ICS on the T-shirt, seed 1": lambda said: round(short_ics("t-shirt", 1), 2) == said,
    "the second CRBND: error of A with four poolings, and the method with two": lambda said: (
        second_crbnd(4, "autoencoder_charbonnier") == said == second_crbnd(2, "classifier")
    ),
    "the second CRBND: error of A with two poolings": lambda said: second_crbnd(2, "autoencoder_charbonnier") == said,
    "the second CRBND: the method with four poolings": lambda said: second_crbnd(4, "classifier") == said,
    "an autoencoder of 8 numbers, novel 0": lambda said: round(autoencoder(8), 2) == said,
    "an autoencoder of 40 numbers, novel 0": lambda said: round(autoencoder(40), 2) == said,
    "the best baseline of CRBND on CIFAR (JPEG) stays below": lambda bound: best_baseline_of_crbnd() < bound / 100,
    "ICS on the pullover at full length": lambda said: round(ics_on_the_pullover(), 1) == said,
    "the assumed deviation between seeds": lambda said: LIMITS.seed_deviation["auroc"] == said,
    "the margin of one class": lambda said: LIMITS.cell["auroc"] == said,
    "half the interval of one class with one seed, at the assumed deviation": lambda said: (
        round(norm.ppf(0.5 + LIMITS.confidence / 2) * LIMITS.seed_deviation["auroc"], 3) == said
    ),
}
LISTED = [(w, b["measured"]) for known in BACKED.values() for w, b in known.items() if "measured" in b]


@pytest.mark.parametrize(("written", "what"), LISTED)
def test_a_measured_number_agrees_with_the_records(written, what):
    assert MEASURED[what](float(written.removesuffix(" %")))


def test_the_margins_in_words_are_those_of_the_ledger():
    text, limits = " ".join(prose(PAGES["claims"]).split()), verdicts.margins()
    assert "three points for one class and two for a mean over classes" in text
    assert (limits.cell["auroc"], limits.mean["auroc"]) == (0.03, 0.02)
    assert "within half a point of zero" in text
    assert limits.ordering == {"no_difference": 0.005, "flat": 0.02, "fewest": 5}
    assert limits.confidence == 0.95
