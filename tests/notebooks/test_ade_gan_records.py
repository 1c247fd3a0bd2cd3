"""What ADe-GAN's page says of the committed records, and what must stay true when there are more of them."""

import pandas as pd
import pytest
from notebook_cells import NOTEBOOKS

from novelty_utils.ledger import published
from novelty_utils.records import store

pytestmark = pytest.mark.prose

RESULTS = NOTEBOOKS.parent / "results"


def test_the_first_records_are_found_again_under_the_length_that_they_had():
    of = {r.dataset: r for r in store.read("ade_gan", RESULTS) if r.seed == 0 and r.created < "2026-11-28"}
    for dataset, d in (("mnist", 30), ("fashion_mnist", 40)):
        first, where = of[dataset], of[dataset].path("")
        assert first.parameters["d"] == d
        unnamed = {name: value for name, value in first.parameters.items() if name != "d"}
        assert first.model_copy(update={"parameters": unnamed}).path("") == where
        assert first.model_copy(update={"parameters": unnamed | {"d": 8}}).path("") != where


@pytest.fixture(scope="module")
def short() -> pd.DataFrame:
    """AUROC of the recorded short runs under MISO, with the width of the page's tables."""
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, protocol="miso", tier="demo", width=16, batch=32, n_c=10, alpha=1.0, metric="auroc")
    return store.where(rows, variant="default")


def by_digit(short: pd.DataFrame, recon_norm: str) -> pd.DataFrame:
    """One row per digit, one column per score, the mean over seeds, with features of 30 numbers."""
    rows = store.where(short, dataset="mnist", d=30, recon_norm=recon_norm)
    return rows.groupby(["class_name", "method"]).value.mean().unstack()


def test_as_printed_and_with_30_numbers_r1_is_behind_its_error_on_all_digits_but_1_and_9(short):
    of = by_digit(short, "l2")
    assert of.index[of.error < of.R1].tolist() == ["1", "9"] and len(of) == 10
    assert of.index[of.pattern < 0.42].tolist() == ["0", "1", "2", "4"]  # the wrong way
    assert (of.pattern.drop(["0", "1", "2", "4"]) - 0.5).abs().max() < 0.08  # near chance
    assert (of.pixels > of[["R1", "error"]].max(axis=1)).all()


def test_as_printed_and_with_30_numbers_the_distance_to_the_printed_mean_is_about_twenty_points(short):
    of = by_digit(short, "l2").mean()
    assert 0.17 < 0.907 - of.error < 0.907 - of.R1 < 0.23


def test_the_nearest_training_image_beats_every_other_printed_method_and_six_digits_of_the_papers_own(short):
    printed = store.where(published.read("ade_gan"), table="Table 1")
    pixels = by_digit(short, "l2").pixels
    means = printed[printed.class_name == "mean"].set_index("method").value
    assert means.drop("ADe-GAN").max() < pixels.mean() < means["ADe-GAN"]
    own = store.where(printed, method="ADe-GAN").set_index("class_name").value
    assert pixels.index[pixels > own.reindex(pixels.index)].tolist() == ["0", "2", "3", "5", "6", "8"]


def test_per_pixel_the_pattern_wakes_up_and_the_1_gains_most(short):
    of = by_digit(short, "rms")
    assert (of.pattern.reindex(["1", "4", "8"]) > 0.5).all()
    assert of.R1["1"] - of.error["1"] > 0.1 and of.R1["1"] < 0.5
    assert 0 < of.R1["8"] - of.error["8"] < 0.01
    assert of.R1["4"] < of.error["4"]


def test_no_error_of_a_norm_takes_the_1_for_novel_and_that_of_a_mean_square_hangs_on_the_seed():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, dataset="mnist", protocol="miso", class_name="1", method="error", metric="auroc")
    squared = rows.recon_norm == "mse"
    assert len(rows[~squared]) and (rows[~squared].value < 0.5).all()
    of_seed = rows[squared & (rows.d == 8)].groupby("seed").value.mean()
    assert of_seed[0] == pytest.approx(0.62, abs=0.005)
    assert (of_seed.drop(0) < 0.5).all() and len(of_seed) >= 3


def test_an_autoencoder_finds_the_0_through_8_numbers_far_better_than_through_40():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, variant="autoencoder", dataset="mnist", tier="demo", recon_norm="l2", width=16)
    rows = store.where(rows, protocol="miso", class_name="0", method="error", metric="auroc")
    of = 100 * rows.groupby("d").value.mean()
    assert (of[8], of[40]) == (pytest.approx(93, abs=1.5), pytest.approx(79, abs=1.5))


def test_with_30_numbers_generated_images_differ_as_real_ones_do():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, dataset="mnist", protocol="miso", d=30, recon_norm="l2", method="health", n_c=10)
    assert rows[rows.metric == "diversity"].value.between(0.9, 1.1).all()
    assert 0.89 < rows[rows.metric == "within"].value.mean() < 0.95  # 0.89 is that of true classes


def test_with_one_normal_class_the_pattern_points_the_wrong_way_on_every_class():
    for record in store.read("ade_gan", RESULTS):
        if record.parameters["protocol"] in ("one_class", "simo") and record.parameters["d"] in (30, 40):
            values = {r.method: r.value for r in record.results if r.metric == "auroc"}
            assert values["pattern"] < 0.5, record.class_name
            assert values["R1"] < values["error"], record.class_name


def test_fashion_mnist_repeats_the_picture_of_mnist():
    found = {}
    for record in store.read("ade_gan", RESULTS):
        if (record.dataset, record.parameters["protocol"], record.parameters["d"]) == ("fashion_mnist", "miso", 40):
            found[record.class_name] = {r.method: r.value for r in record.results if r.metric == "auroc"}
    assert len(found) == 10
    assert sum(values["pattern"] < 0.5 for values in found.values()) == 8
    assert all(values["R1"] < values["error"] for values in found.values())
    behind = [name for name, values in found.items() if values["pixels"] < max(values["R1"], values["error"])]
    assert behind == ["sandal"]


def test_patterns_are_not_classes_and_real_images_are_not_encoded_where_the_prior_lives():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, protocol="miso", dataset="mnist", d=30, n_c=10, variant="default", method="health")
    rows = store.where(rows, alpha=1.0)
    rows = rows[rows.recon_norm != "mse"]
    assert rows[rows.metric == "NMI"].value.max() < 0.3
    assert rows[rows.metric == "length"].value.min() > 1.2
    printed = store.where(rows, recon_norm="l2").groupby("metric").value.mean()
    per_pixel = store.where(rows, recon_norm="rms").groupby("metric").value.mean()
    assert printed["confidence"] < printed["confidence, mixed"]
    assert per_pixel["confidence"] > per_pixel["confidence, mixed"]
    assert per_pixel["within"] < 0.4 < 0.8 < printed["within"] and printed["length"] < per_pixel["length"]


def test_in_the_runs_made_again_r4_lifts_the_1_and_costs_the_8():
    rows = store.to_frame(store.read("ade_gan", RESULTS / "repeats"))
    rows = store.where(rows, dataset="mnist", d=30, recon_norm="l2", tier="demo", seed=0, metric="auroc")
    of = 100 * rows[rows.method.isin(["R1", "R4"])].pivot_table(index="class_name", columns="method", values="value")
    assert (round(of.R4["1"]), round(of.R1["1"]), round(of.R1["8"] - of.R4["8"])) == (52, 21, 11)


def test_a_fourth_seed_of_r4_agrees_with_the_run_made_again():
    rows = store.to_frame(store.read("ade_gan", RESULTS))
    rows = store.where(rows, dataset="mnist", protocol="miso", d=30, recon_norm="l2", variant="default", seed=3)
    of = 100 * store.where(rows, metric="auroc", tier="demo").pivot_table(
        index="class_name", columns="method", values="value"
    )
    assert (round(of.R4["1"]), round(of.R1["1"]), round(of.R1["8"] - of.R4["8"])) == (55, 17, 16)
