"""The papers' printed numbers: complete, in range, and consistent where the papers print a number twice."""

import math
from itertools import product

import pandas as pd
import pytest

from novelty_utils.evaluation import metrics
from novelty_utils.ledger import published
from novelty_utils.params import CLASSES, DEFECT_CLASSES

KEYS = ["paper", "table", "dataset", "protocol", "class_name", "method", "setting", "metric"]
CELLS = {
    "ics": {"Table 1": 231, "Table 4": 231, "Table 5": 192, "Table 6": 258, "text": 5},
    "nln": {"Table 1": 15, "Table 2": 15, "Table 3": 24, "Table 4": 27, "Table 5": 90, "Table 6": 12, "text": 15},
    "crbnd": {"Table 1": 42},
    "ade_gan": {"Table 1": 77, "Table 2": 7, "text": 6},
}
HIGHEST = {"fraction": 1, "experiments out of 30": 30} | dict.fromkeys(["1", "ms", "MB", "ratio", "count"], math.inf)
TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = tuple(name for name in DEFECT_CLASSES["mvtec_ad"] if name not in TEXTURES)
AUTOENCODERS = ("AE", "AAE", "VAE", "AE-res", "AE-con")


@pytest.fixture(scope="module")
def ics() -> pd.DataFrame:
    return published.read("ics")


@pytest.fixture(scope="module")
def nln() -> pd.DataFrame:
    return published.read("nln")


@pytest.fixture(scope="module")
def crbnd() -> pd.DataFrame:
    """The whole Table 1: one row per method, one column per metric and number of inlier categories."""
    rows = cells(published.read("crbnd"), "Table 1", dataset="caltech256", class_name="mean", unit="fraction")
    return rows.assign(n=settings(rows)["n_inlier"]).pivot(index="method", columns=["metric", "n"], values="value")


@pytest.fixture(scope="module")
def ade_gan() -> pd.DataFrame:
    return published.read("ade_gan")


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


@pytest.mark.parametrize("paper", CELLS)
def test_every_printed_cell_is_there_once(paper):
    table = published.read(paper)
    assert list(table.columns) == [*KEYS, "value", "unit", "note"]
    assert set(table["paper"]) == {paper}
    assert table["table"].value_counts().to_dict() == CELLS[paper]
    assert not table.duplicated(KEYS).any()


@pytest.mark.parametrize("paper", CELLS)
def test_the_values_are_numbers_in_the_range_of_their_unit(paper):
    table = published.read(paper)
    assert pd.api.types.is_float_dtype(table["value"])
    highest = table["unit"].map(HIGHEST)
    assert highest.notna().all()
    assert ((table["value"] >= 0) & (table["value"] <= highest)).all()


@pytest.mark.parametrize("paper", CELLS)
def test_the_data_sets_and_classes_are_named_as_in_the_rest_of_the_book(paper):
    classes = {**CLASSES, **DEFECT_CLASSES, "all": ()}
    for dataset, table in published.read(paper).groupby("dataset"):
        assert set(table["class_name"]) <= {*classes[dataset], "mean"}


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


def settings(rows: pd.DataFrame) -> pd.DataFrame:
    """The settings `name=value;name=value` as one column per name."""
    pairs = ([part.split("=") for part in setting.split(";")] for setting in rows["setting"])
    return pd.DataFrame([dict(p) for p in pairs], index=rows.index)


@pytest.mark.parametrize("table", ["Table 1", "Table 2"])
def test_each_autoencoder_has_its_increase_on_each_data_set(nln, table):
    rows = cells(nln, table, metric="relative_auroc_increase", class_name="mean")
    found = zip(rows["dataset"], rows["method"], strict=True)
    assert sorted(found) == sorted(product(("mnist", "cifar10", "fashion_mnist"), AUTOENCODERS))


def test_only_the_dashes_of_table_4_are_left_out(nln):
    table = cells(nln, "Table 4").set_index(["method", "dataset"])["value"].unstack()
    empty = [("CAVGA-Du", "mvtec_ad"), *product(["CBiGAN"], ["cifar10", "fashion_mnist", "mnist"]), ("LFD", "cifar10")]
    assert list(table.index[table.isna().any(axis=1)]) == ["CAVGA-Du", "CBiGAN", "LFD"]
    assert [cell for cell, missing in table.isna().stack().items() if missing] == empty
    assert table.size - len(empty) == len(cells(nln, "Table 4"))


def test_the_printed_means_of_table_5_agree_with_its_cells(nln):
    table = cells(nln, "Table 5")
    table = table.assign(group=settings(table)["group"])
    means = table[table["class_name"] == "mean"].set_index(["group", "method"])["value"]
    single = table[table["class_name"] != "mean"]
    for group, classes in (("textures", TEXTURES), ("objects", OBJECTS)):
        of_group = single[single["group"] == group].pivot(index="class_name", columns="method", values="value")
        assert tuple(of_group.index) == classes  # and so all fifteen are there
        assert of_group.shape[1] == len(means[group]) == 5
        assert (of_group.mean() - means[group]).abs().max() < 0.005 + 1e-9
    # The means over all fifteen classes are not printed: they are worked out from the cells.
    assert (single.groupby("method")["value"].mean() - means["all"]).abs().max() < 1e-5


def test_the_settings_of_nln_name_model_neighbours_code_size_and_weight(nln):
    rows = nln[(nln["method"] == "NLN") & (nln["table"] != "text")]
    found = settings(rows)
    assert len(rows) == 3 + 4 + 15 + 3
    assert set(found["model"]) <= set(AUTOENCODERS)
    assert set(found["K"].astype(int)) <= {1, 2, 3}
    assert set(found["L"].astype(int)) <= {32, 64, 128, 256}
    assert found["alpha"].astype(float).between(0.5, 1).all()
    of_table_6 = settings(cells(nln, "Table 6"))[["K", "L", "alpha"]]
    assert of_table_6.drop_duplicates().to_numpy().tolist() == [["2", "32", "0.9"]]


@pytest.mark.parametrize(("table", "protocol"), [("Table 1", "miso"), ("Table 2", "simo")])
def test_the_increases_in_the_text_are_the_extremes_of_the_table_cut_to_whole_percent(nln, table, protocol):
    increases = cells(nln, table, protocol=protocol)["value"]
    for which, extreme in (("max", increases.max()), ("min", increases.min())):
        said = cells(nln, "text", protocol=protocol, setting=f"{which}_over_models_and_datasets")["value"].item()
        assert round(100 * said) == math.floor(100 * extreme)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10"])
def test_each_score_of_table_6_is_at_least_as_good_as_the_one_before(nln, dataset):
    rows = cells(nln, "Table 6", dataset=dataset)
    by_score = rows.set_index(settings(rows)["score"])["value"]
    assert by_score["total"] >= by_score["con"] >= by_score["nln"] >= by_score["recon"]


def test_the_total_of_table_6_on_mnist_is_the_cell_of_table_3(nln):
    total = cells(nln, "Table 6", dataset="mnist", setting="K=2;L=32;alpha=0.9;score=total")
    assert total["value"].item() == cells(nln, "Table 3", dataset="mnist", method="NLN")["value"].item()


def test_the_printed_speed_ups_follow_from_the_printed_times(nln):
    times = cells(nln, "text", metric="time").set_index("method")["value"]
    once = times["encoder"] + times["decoder"]
    said = cells(nln, "text", metric="speedup").set_index("setting")["value"]
    assert round(times["ResNet50"] / once, 1) == said["versus=ResNet50;upper end"]
    assert round(times["ResNet50"] / (2 * once), 1) == said["versus=ResNet50;lower end"]
    assert said["versus=ResNet50;KNN search"] == 2048 / 128  # dimensions of the two codes, section 4.5


def test_the_printed_storage_is_that_of_its_codes(nln):
    row = cells(nln, "text", metric="storage")
    assert (row["setting"].item(), row["unit"].item()) == ("L=128;float32;209 images;64 patches per image", "MB")
    assert round(128 * 4 * 209 * 64 / 1e6, 2) == row["value"].item()


def test_each_method_of_crbnd_has_its_six_cells(crbnd):
    assert list(crbnd.index) == ["ALLOC", "CRBND", "G2D", "LRR", "OutlierPursuit", "R-graph", "REAPER"]
    assert sorted(crbnd.columns) == sorted(product(("auroc", "f1"), ("1", "3", "5")))
    assert crbnd.notna().all(axis=None)


def test_crbnd_is_the_best_in_every_column_and_by_a_distance(crbnd):
    assert set(crbnd.idxmax()) == {"CRBND"}
    lead = crbnd.loc["CRBND"] - crbnd.drop("CRBND").max()
    assert (lead >= 0.039 - 1e-9).all()  # the smallest one: F1 with a single category, before G2D


def test_no_printed_f1_is_below_the_trivial_one_and_that_of_the_reversed_lrr_is_at_it(crbnd):
    trivial = round(metrics.trivial_f1(0.5), 3)  # half of each test are outliers
    assert (crbnd["f1"] >= trivial).all(axis=None)
    assert crbnd.loc["LRR"]["f1", "5"] == trivial
    assert crbnd.loc["LRR"]["auroc", "5"] == crbnd["auroc"].min(axis=None) == 0.337
    at_floor = crbnd["f1"].stack()
    assert list(at_floor[at_floor == trivial].index) == [("LRR", "5")]


def test_more_categories_are_harder_for_every_method_but_for_one_f1(crbnd):
    assert (crbnd["auroc"].diff(axis=1).dropna(axis=1) < 0).all(axis=None)
    rises = crbnd["f1"].diff(axis=1).stack()
    assert list(rises[rises >= 0].index) == [("G2D", "5")]


def digits_and_means(ade_gan: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Table 1 without its last row, one row per digit and one column per method, and that row, the averages."""
    rows = cells(ade_gan, "Table 1", dataset="mnist", protocol="miso", metric="auroc", unit="fraction")
    table = rows.pivot(index="class_name", columns="method", values="value")
    return table.drop("mean"), table.loc["mean"]


def test_each_method_of_ade_gan_has_its_ten_digits_and_its_average(ade_gan):
    digits, means = digits_and_means(ade_gan)
    assert list(digits.index) == list(CLASSES["mnist"])
    assert list(means.index) == ["ADe-GAN", "AnoGAN", "EGBAD", "GPND", "Ganomaly", "IGMM", "MAE"]
    assert digits.notna().all(axis=None)
    assert means.notna().all()


def test_the_printed_averages_of_ade_gan_agree_with_the_cells_but_for_egbad_and_igmm(ade_gan):
    digits, means = digits_and_means(ade_gan)
    ours = digits.mean()
    apart = (ours - means).abs() > 0.0005 + 0.0005 + 1e-9  # both are rounded to three places
    assert ours[apart].round(4).to_dict() == {"EGBAD": 0.502, "IGMM": 0.7531}
    assert means[apart].to_dict() == {"EGBAD": 0.5, "IGMM": 0.756}
    noted = cells(ade_gan, "Table 1", class_name="mean").set_index("method")["note"]
    assert list(noted.index[noted.str.contains("MISMATCH")]) == ["EGBAD", "IGMM"]


def test_ten_patterns_are_the_best_of_table_2_and_the_average_of_table_1(ade_gan):
    rows = cells(ade_gan, "Table 2", class_name="mean", method="ADe-GAN", metric="auroc")
    sweep = rows.set_index(settings(rows)["n_c"])["value"]
    assert list(sweep.index) == ["2", "4", "6", "8", "10", "12", "14"]
    assert sweep.idxmax() == "10"
    assert sweep["10"] == digits_and_means(ade_gan)[1]["ADe-GAN"]
    of_table_1 = cells(ade_gan, "Table 1", method="ADe-GAN")
    assert set(of_table_1["setting"]) == {"n_c=10"}


def test_the_percentages_in_the_text_of_ade_gan_are_differences_of_averages(ade_gan):
    rows = cells(ade_gan, "text", dataset="mnist", metric="auroc_difference", unit="fraction")
    said = rows.set_index(settings(rows)["versus"])["value"]
    assert said.to_dict() == {"GPND": 0.109, "IGMM": 0.151, "MAE": 0.308, "EGBAD": 0.407}
    means = digits_and_means(ade_gan)[1]
    assert (means["ADe-GAN"] - means[said.index] - said).abs().max() < 1e-9  # absolute: not relative to the rival
    without_cells = cells(ade_gan, "text", dataset="fashion_mnist", metric="auroc_difference")
    assert len(rows) + len(without_cells) == 6
    assert set(without_cells["setting"]) == {"versus=AnoGAN", "versus=GPND"}


def test_ade_gan_is_the_best_on_every_digit_but_4(ade_gan):
    digits, means = digits_and_means(ade_gan)
    best = digits.idxmax(axis=1)
    assert best[best != "ADe-GAN"].to_dict() == {"4": "GPND"}
    assert means.idxmax() == "ADe-GAN"


def test_digit_1_is_the_hardest_for_every_method_and_far_below_chance_for_mae(ade_gan):
    digits, _ = digits_and_means(ade_gan)
    assert set(digits.idxmin()) == {"1"}
    assert digits["MAE"]["1"] == digits.min(axis=None) == 0.056
    assert (digits.loc["1"].drop("ADe-GAN") < 0.5).all()


def test_the_columns_of_anogan_and_egbad_hold_multiples_of_one_in_two_hundred_only(ade_gan):
    digits, _ = digits_and_means(ade_gan)
    steps = 200 * digits  # as if read off a chart
    whole = ((steps - steps.round()).abs() < 1e-9).all()
    assert list(whole.index[whole]) == ["AnoGAN", "EGBAD"]


def test_a_paper_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        published.read("nobody")
