"""The four headline rows: from made-up records, and what the README says of the committed ones."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest
from test_claims import put
from test_second_looks import extra

import holds_page
from novelty_utils.ledger import claims, headlines
from novelty_utils.ledger.headlines import Headline
from novelty_utils.params import CLASSES
from novelty_utils.records import store

ROOT = Path(claims.__file__).parents[2]
GARMENTS = CLASSES["fashion_mnist"]


def board(folder, values, classes=GARMENTS, protocol="one_class") -> None:
    """A run of the baselines on each class."""
    results = {(method, "auroc"): value for method, value in values.items()}
    for name in classes:
        put(folder, results, name, paper="leaderboard", dataset="fashion_mnist", protocol=protocol)


def test_the_best_rival_is_the_highest_mean_over_exactly_these_classes(tmp_path):
    board(tmp_path, {"LOF": 0.9, "k-NN": 0.8})
    board(tmp_path, {"PCA": 0.99}, GARMENTS[:3], protocol="simo")
    assert headlines.best_rival("fashion_mnist", "one_class", set(GARMENTS), tmp_path) == ("LOF", pytest.approx(0.9))
    assert headlines.best_rival("fashion_mnist", "simo", set(GARMENTS[:2]), tmp_path) == ("PCA", pytest.approx(0.99))
    name, value = headlines.best_rival("fashion_mnist", "simo", set(GARMENTS), tmp_path)
    assert (name, math.isnan(value)) == ("", True)  # seven classes were not run


def test_without_records_there_is_a_row_per_paper_and_nothing_of_ours(tmp_path):
    rows = headlines.headlines(claims.ledger(tmp_path), tmp_path)
    assert [one.paper for one in rows] == list(claims.PAPERS)
    assert all(one.claim and math.isnan(one.ours) and one.verdict == "not attempted" for one in rows)
    assert "Of 4 headline claims 0 are reproduced and 0 are refuted" in holds_page.answer(rows)
    assert holds_page.readme_table(rows).count("not run") == 4
    holds_page.save(rows, tmp_path / "empty.png")  # a book without records builds as well


def test_a_row_has_the_printed_number_ours_and_the_rival(tmp_path):
    for name in GARMENTS:
        put(tmp_path, {("ICS", "auroc"): 0.8}, name, dataset="fashion_mnist", **extra())
    board(tmp_path, {"LOF": 0.9, "k-NN": 0.85})
    rows = {one.paper: one for one in headlines.headlines(claims.ledger(tmp_path), tmp_path)}
    ics = rows["ics"]
    assert (ics.printed, ics.ours, ics.rival, ics.classes) == (0.9301, pytest.approx(0.8), "LOF", 10)
    assert (ics.tier, ics.seeds, ics.verdict) == ("demo", 1, "below so far")
    (line,) = [line for line in holds_page.readme_table([ics]).splitlines() if "ICS" in line]
    cells = re.findall(r"\[(.*?)\]\(", line)
    # One seed, deviation 0.02 assumed: 1.96 * 0.02 / sqrt(10) = 0.012.
    assert cells == [
        "ICS: AUROC on Fashion-MNIST, one normal class (Table 4)", "0.930", "0.800 [0.788, 0.812]", "0.900 LOF",
        "below so far", "demo, 1 seed",
    ]  # fmt: skip
    assert "0 of 1 methods are ahead" in holds_page.answer(list(rows.values()))


# --- the committed records -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return claims.ledger(ROOT / "results")


@pytest.fixture(scope="module")
def rows(table) -> list[Headline]:
    return headlines.headlines(table, ROOT / "results")


@pytest.mark.prose
def test_the_readme_has_the_rows_and_the_picture_of_the_ledger(rows):
    text = holds_page.README.read_text(encoding="utf-8")
    assert text == holds_page.in_step(text, rows), "run: python tools/holds_page.py"
    assert holds_page.drawn_from(holds_page.PICTURE) == holds_page.fingerprint(rows), "run: python tools/holds_page.py"
    above = text.split("make book")[0]
    assert above.count("\n| [") == 4 and "_static/holds.png" in above
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", above):
        assert (ROOT / target).exists(), target


@pytest.mark.prose
def test_a_headline_agrees_with_its_row_of_the_ledger(rows, table):
    of_papers = [one for one in rows if one.claim]
    assert [one.paper for one in of_papers] == list(claims.PAPERS)
    for one in rows:
        line = table.loc[one.row]
        assert (line.paper, line.verdict, line.tier, line.seeds) == (one.paper, one.verdict, one.tier, one.seeds)
        if line.kind == "number":
            assert (line.printed, line.ours, line.low, line.high) == (one.printed, one.ours, one.low, one.high)


@pytest.mark.prose
def test_the_level_of_crbnd_is_the_mean_of_its_records_and_the_rival_was_run_on_the_same_digits(rows):
    (crbnd,) = [one for one in rows if one.paper == "crbnd"]
    found = store.to_frame(store.read("crbnd", ROOT / "results"))
    found = store.where(found, dataset="mnist", protocol="outlier_share", depth=4, arch="paper", method="CRBND")
    values = store.where(found, metric="auroc", tier="demo", lam=0.5).groupby("class_name").value.mean()
    assert (len(values), values.mean()) == (crbnd.classes, pytest.approx(crbnd.ours))
    rivals = store.where(store.to_frame(store.read("leaderboard", ROOT / "results")), dataset="mnist", protocol="simo")
    rivals = rivals[rivals.class_name.isin(values.index) & (rivals.metric == "auroc")]
    means = rivals.groupby(["method", "class_name"]).value.mean().groupby("method").mean()
    assert (means.idxmax(), pytest.approx(means.max())) == (crbnd.rival, crbnd.rival_auroc)
