"""The papers' printed numbers: complete, in range, and consistent where the papers print a number twice."""

import pandas as pd
import pytest

from novelty_utils import published
from novelty_utils.params import CLASSES

KEYS = ["paper", "table", "dataset", "protocol", "class_name", "method", "setting", "metric"]


@pytest.fixture(scope="module")
def ics() -> pd.DataFrame:
    return published.read("ics")


def cells(table: pd.DataFrame, name: str, **where: str) -> pd.DataFrame:
    chosen = table[table["table"] == name]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    return chosen


def by_class(table: pd.DataFrame, name: str, **where: str) -> pd.Series:
    """Values by (dataset, class) in a fixed order, without the means over classes."""
    found = cells(table, name, **where)
    found = found[found["class_name"] != "mean"].set_index(["dataset", "class_name"])["value"].sort_index()
    assert len(found) == 30
    return found


def test_ics_has_every_printed_cell_once(ics):
    assert list(ics.columns) == [*KEYS, "value", "unit", "note"]
    assert len(ics) == 917
    assert ics["table"].value_counts().to_dict() == {
        "Table 1": 231, "Table 4": 231, "Table 5": 192, "Table 6": 258, "text": 5,
    }  # fmt: skip
    assert not ics.duplicated(KEYS).any()


def test_the_values_are_numbers_in_the_range_of_their_unit(ics):
    assert pd.api.types.is_float_dtype(ics["value"])
    highest = ics["unit"].map({"fraction": 1, "experiments out of 30": 30})
    assert highest.notna().all()
    assert ((ics["value"] >= 0) & (ics["value"] <= highest)).all()


@pytest.mark.parametrize("table", ["Table 1", "Table 4"])
def test_the_printed_means_agree_with_the_printed_cells(ics, table):
    whole = cells(ics, table)
    means = whole[whole["class_name"] == "mean"].set_index(["dataset", "method"])["value"]
    ours = whole[whole["class_name"] != "mean"].groupby(["dataset", "method"])["value"].agg(["mean", "size"])
    assert (ours["size"] == 10).all()
    assert len(means) == len(ours) == 21
    assert (ours["mean"] - means).abs().max() < 0.0005 + 0.0005 + 1e-9  # both are rounded to three places


@pytest.mark.parametrize(("table", "setting"), [("Table 5", "beta=1e-5"), ("Table 6", "rho=10")])
def test_the_default_column_of_a_sweep_is_the_ics_column_of_table_1(ics, table, setting):
    assert by_class(ics, table, setting=setting).equals(by_class(ics, "Table 1", method="ICS"))


def test_the_row_means_of_table_6_agree_with_its_cells(ics):
    rows = [by_class(ics, "Table 6", setting=f"rho={rho}") for rho in (5, 10, 15, 20, 25, 30)]
    printed = by_class(ics, "Table 6", setting="rho=mean_over_row", metric="balanced_accuracy")
    assert (sum(rows) / 6 - printed).abs().max() < 0.0005 + 0.0005 + 1e-9


def test_the_row_means_of_table_5_are_over_five_columns_but_for_trouser(ics):
    rows = [by_class(ics, "Table 5", setting=f"beta={beta}") for beta in ("1e-7", "1e-5", "1e-3", "1e-1")]
    rows.append(by_class(ics, "Table 1", method="CLS"))  # the column that is not printed: beta = 0
    printed = by_class(ics, "Table 5", setting="beta=mean_over_row", metric="balanced_accuracy")
    apart = (sum(rows) / 5 - printed).abs() > 0.0005 + 0.0005 + 1e-9
    assert list(apart[apart].index) == [("fashion_mnist", "trouser")]


@pytest.mark.parametrize(
    ("rival", "wins", "ties"), [("CLS", 25, 1), ("ImageNet", 29, 0), ("CAE", 29, 0), ("Original", 30, 0)]
)
def test_the_wins_that_the_notes_count_are_those_of_table_1(ics, rival, wins, ties):
    better = by_class(ics, "Table 1", method="ICS") - by_class(ics, "Table 1", method=rival)
    assert ((better > 1e-9).sum(), (better.abs() < 1e-9).sum()) == (wins, ties)
    if wins < 30:
        note = cells(ics, "text", setting=f"balanced_accuracy;versus={rival}")["note"].item()
        assert f"{wins} wins" in note


def test_the_methods_and_classes_are_named_as_in_the_rest_of_the_book(ics):
    assert set(ics["dataset"]) <= {*CLASSES, "all"}
    for dataset, table in ics.groupby("dataset"):
        assert set(table["class_name"]) <= {*CLASSES.get(dataset, ()), "mean"}


def test_a_paper_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        published.read("nobody")
