"""The tables of the pages, on rows made up by hand."""

import math

import pandas as pd
import pytest

from novelty_utils.ledger import tables
from novelty_utils.records import Result


def row(class_name="0", seed=0, value=0.5, method="A", **more) -> dict:
    about = {"dataset": "mnist", "tier": "demo", "class_name": class_name, "seed": seed, "value": value}
    about |= {"method": method, "metric": "auroc", "seconds": 10.0, "hardware": "A computer", "precision": "fp32"}
    return about | {"collapsed": False} | more


ROWS = pd.DataFrame(
    [row("0", 0, 0.9), row("0", 1, 0.7), row("1", 0, 0.6), row("1", 1, 0.6), row("0", 0, 0.4, "B", seconds=20.0)]
)
PRINTED = pd.DataFrame(
    [("A", "0", 0.8), ("A", "1", 0.7), ("A", "2", 0.1), ("A", "mean", 0.9)], columns=["method", "class_name", "value"]
)


def test_printed_beside_ours_has_the_means_of_the_same_classes():
    table = tables.beside(ROWS, ["A", "B"], PRINTED)
    assert list(table.columns) == [("A", "paper"), ("A", "ours"), ("B", "ours")]
    assert table["A", "paper"].loc[["0", "1", "mean"]].to_list() == pytest.approx([80, 70, 75])  # without the 2
    assert table["A", "ours"].loc[["0", "1", "mean"]].to_list() == pytest.approx([80, 60, 70])
    # two values ten and twenty apart, t with one degree of freedom is 12.706
    assert table.loc["±", ("A", "paper")] == pytest.approx(12.706 * 5, rel=1e-4)
    assert table.loc["±", ("A", "ours")] == pytest.approx(12.706 * 10, rel=1e-4)
    assert table.loc["±", ("B", "ours")] == math.inf
    # variances 0.02 and 0, pooled: 0.01
    assert table.loc["σ", ("A", "ours")] == pytest.approx(10)
    assert table.loc["σ"].isna().tolist() == [True, False, True]


def test_without_runs_all_printed_classes_are_shown_and_one_class_has_no_mean():
    assert list(tables.beside(ROWS[:0], ["A"], PRINTED).index) == ["0", "1", "2", "mean", "±"]
    assert list(tables.beside(ROWS[:1], ["A"], PRINTED).index) == ["0"]


def test_a_row_of_means_over_classes():
    columns = {"A": {"method": "A"}, "B": {"method": "B"}, "C": {"method": "C"}}
    found = tables.means(ROWS, columns)
    assert (found["A"], found["B"]) == (pytest.approx(70), pytest.approx(40))
    assert math.isnan(found["C"])
    assert tables.means(ROWS, {"A": {"method": "A", "class_name": "1"}}, scale=1) == {"A": pytest.approx(0.6)}


def test_an_overview_keeps_the_order_and_counts_classes():
    found = tables.overview(ROWS[::-1], ["dataset", "method"], {"AUROC": {"metric": "auroc"}, "F1": {"metric": "f1"}})
    assert list(found.columns) == ["data", "method", "n", "AUROC", "F1"]
    assert set(found.data) == {"MNIST"}
    assert found.method.tolist() == ["B", "A"]
    assert (found.n.tolist(), found.AUROC.tolist()) == ([1, 2], pytest.approx([40, 70]))
    assert found.F1.isna().all()
    assert list(tables.overview(ROWS[:0], ["method"], {"AUROC": {}}).columns) == ["method", "n", "AUROC"]


def test_a_summary_of_one_score():
    found = tables.summary(ROWS[ROWS.method == "A"])
    assert found == {
        "n": "2", "seeds": "2", "AUROC": pytest.approx(70), "±": pytest.approx(12.706 * 10, rel=1e-4),
        "σ": pytest.approx(10),
    }  # fmt: skip
    assert tables.summary(ROWS[1:4], "x")["seeds"] == "1–2"
    assert tables.summary(ROWS[:0]) == {}


def test_rows_are_put_in_the_order_of_lists():
    rows = pd.DataFrame({"dataset": ["b", "a", "b", "a"], "net": ["x", "x", "y", "z"]})
    assert tables.ordered(rows, dataset=["b", "a"], net=["y", "x"]).index.tolist() == [2, 0, 1, 3]


def test_the_table_of_one_run_keeps_the_order_of_its_methods_and_has_what_there_is():
    found = [
        ("PCA", "auroc", 0.9),
        ("CAE", "auroc", 0.8),
        ("CAE", "bacc", 0.7),
        ("PCA", "else", 0.1),
        ("B", "else", 1.0),
    ]
    results = [Result(method=method, metric=metric, value=value) for method, metric, value in found]
    table = tables.this_run(results, {"bacc": "balanced", "f1": "F1", "auroc": "AUROC"})
    assert list(table.index) == ["PCA", "CAE"]
    assert list(table.columns) == ["balanced", "AUROC"]
    assert table.loc["CAE"].tolist() == [0.7, 0.8]
    assert math.isnan(table.loc["PCA", "balanced"])


def test_the_caption_says_which_runs():
    more = pd.concat([ROWS, pd.DataFrame([row("2", 0), row("7", 3, dataset="fashion_mnist", precision="bf16")])])
    first, second = tables.runs(more).split("; ")
    assert first == ("MNIST: demo tier, 3 classes, seeds 0, 1 (1 to 2 per class), 10 s per class on A computer, fp32")
    assert second == "Fashion-MNIST: demo tier, 1 class, seed 3, 10 s per class on A computer, bf16"
    assert tables.runs(ROWS[:0]) == "no recorded run yet"


def test_images_without_a_name_in_the_book_are_called_as_the_parameter_is():
    own = pd.DataFrame([row("2", 0, dataset="folder:mine"), row("2", 0)])
    assert [part.split(":")[0] for part in tables.runs(own).split("; ")] == ["MNIST", "folder"]
    assert list(tables.overview(own, ["dataset"], {}).data) == ["folder:mine", "MNIST"]


def test_a_page_shows_dashes_for_what_is_missing_or_unbounded_and_no_nameless_index(capsys):
    table = pd.DataFrame({"score": ["A", None], "AUROC": [71.26, math.nan], "±": [math.inf, 2.0], "n": ["1", "2"]})
    page = tables.show(table, {"±": "{:.2f}"}, caption="Mine").to_html()
    cells = [cell.split("<")[0].strip() for cell in page.split("<td ")[1:]]
    assert [cell.split(">")[1] for cell in cells] == ["A", "71.3", "–", "1", "–", "–", "2.00", "2"]
    assert "<caption>Mine</caption>" in page
    assert "row_heading" not in page
    assert tables.show(table.set_index("score")).to_html().count("<th ") == tables.show(table).to_html().count("<th ")
    assert tables.show(table[:0]) is None
    assert capsys.readouterr().out == "no recorded run yet\n"


def test_how_many_trained():
    found = pd.DataFrame([row(), row(collapsed=True), row(collapsed=None)])
    assert tables.trained(found[:2]) == "1 of 2"
    assert tables.trained(found) == "1 of 3, 1 unknown"


def test_a_sentence_that_a_page_computes_is_set_as_text():
    said = tables.Text(f"ICS has {96.2:.1f}.")
    assert said == "ICS has 96.2."
    assert said._repr_markdown_() == "ICS has 96.2."
