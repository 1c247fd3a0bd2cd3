"""What the page "What holds up" says of the papers in words, looked up in the committed records."""

from pathlib import Path

import pandas as pd
import pytest

import peeking_page
from novelty_utils.ledger import claims, published
from novelty_utils.records import store

pytestmark = pytest.mark.prose
ROOT = Path(claims.__file__).parents[2]


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return claims.ledger(ROOT / "results")


def says(*words: str) -> None:
    text = " ".join((ROOT / "book" / "holds.md").read_text(encoding="utf-8").split())
    for part in words:
        assert part in text, "the sentence that this test is about has changed"


def rows(paper: str, dataset: str, **at) -> pd.DataFrame:
    found = store.to_frame(store.read(paper, ROOT / "results"))
    return store.where(found[(found.dataset == dataset) & (found.metric == "auroc")], **at)


def test_ics_reaches_the_printed_level_on_mnist_and_its_dispersion_loss_adds_nothing(ledger):
    says("reaches about the printed level on MNIST", "adds nothing there")
    mean = ledger[(ledger["where"] == "Table 4") & (ledger.dataset == "mnist") & (ledger.class_name == "mean")]
    assert mean[mean.method == "ICS"].verdict.item() == "reproduced"
    (control,) = ledger[ledger.claim.str.contains("It is the dispersion loss") & (ledger.dataset == "mnist")].high
    assert control < 0.005


def test_ics_at_full_length_reaches_the_printed_number_of_the_pullover():
    says("the pullover, comes within a point of the printed number")
    full = rows("ics", "fashion_mnist", method="ICS", tier="paper", protocol="one_class", bn="torch")
    printed = published.read("ics").query("table == 'Table 4' and method == 'ICS' and dataset == 'fashion_mnist'")
    printed = printed.set_index("class_name").value
    assert full[full.class_name == "pullover"].value.mean() > printed["pullover"] - 0.01


def test_nln_is_ahead_of_the_error_of_the_same_autoencoder_and_codes_alone_do_better(ledger):
    says("is ahead of the plain reconstruction error", "does better still")
    orders = ledger[ledger.claim.str.startswith("The score of NLN has a higher AUROC") & ledger.ours.notna()]
    assert len(orders) > 5
    assert (orders.ours > 0).all()
    prices = [price for price in peeking_page.prices(ROOT / "results") if price.peek.paper == "NLN"]
    codes = [price for price in prices if "alpha=0.0" in price.chosen.metric]
    assert len(codes) * 2 > len(prices)


def test_crbnd_with_two_halvings_ranks_worse_than_ten_statistics():
    says(
        "Our network with two halvings, the first choice, ranks worse on MNIST, on average, than ten simple statistics"
    )
    shallow = rows("crbnd", "mnist", depth=2, arch="paper", protocol="outlier_share", tier="demo")
    means = shallow.groupby("method").value.mean()
    assert means["CRBND"] < means["statistics"] - 0.05


def test_crbnd_with_four_halvings_is_ahead_of_ten_statistics_on_all_ten_digits():
    says(
        "With four it is ahead of these statistics on all ten digits",
        "On MNIST with one normal digit, CRBND with four halvings is level with LOF",
    )
    deep = rows("crbnd", "mnist", depth=4, arch="paper", protocol="outlier_share", tier="demo")
    means = deep.groupby(["class_name", "method"]).value.mean().unstack()
    assert len(means) == 10
    assert (means["CRBND"] > means["statistics"]).all()
    lof = rows("leaderboard", "mnist", protocol="simo", method="LOF", tier="demo")
    assert means["CRBND"].mean() == pytest.approx(lof.groupby("class_name").value.mean().mean(), abs=0.005)


def test_a_code_of_8_numbers_lifts_six_digits_and_the_unit_changes_the_1():
    says(
        "A code of 8 numbers lifts the six digits that were run by nine points in the mean",
        "the 1 and the 8 among them by none",
        "The unit changes the 1",
    )
    at = {"method": "R1", "protocol": "miso", "seed": 0, "n_c": 10, "tier": "demo", "variant": "default"}
    r1 = rows("ade_gan", "mnist", **at).groupby(["class_name", "d", "recon_norm"]).value.mean()
    short = r1.xs(8, level="d").xs("l2", level="recon_norm")
    lifted = short - r1.xs(30, level="d").xs("l2", level="recon_norm")[short.index]
    assert (len(short), lifted.mean()) == (6, pytest.approx(0.09, abs=0.005))
    for digit in ("1", "8"):
        assert abs(r1[digit, 8, "l2"] - r1[digit, 30, "l2"]) < 0.03
    assert r1["1", 30, "rms"] > r1["1", 30, "l2"] + 0.1


def test_the_patterns_of_ade_gan_at_our_first_choice_make_the_score_worse(ledger):
    says("In short runs with our first choice of both, its patterns make the score worse")
    (line,) = ledger[ledger.claim.str.contains("R1 has a higher AUROC than the error alone, losses as printed")].ours
    assert line < 0


def test_the_same_rivals_stand_far_apart_in_two_papers():
    says("stand 11 to 20 points apart in NLN's and in ADe-GAN's table", "lead over the best of its rivals is 11")
    at = {"dataset": "mnist", "protocol": "miso", "metric": "auroc", "class_name": "mean"}
    nln, ade_gan = (
        store.where(published.read(paper), table=table, **at).set_index("method").value
        for paper, table in (("nln", "Table 3"), ("ade_gan", "Table 1"))
    )
    apart = 100 * (nln - ade_gan.rename({"Ganomaly": "GANomaly"})).abs().dropna()
    assert sorted(apart.index) == ["AnoGAN", "EGBAD", "GANomaly"]
    assert (round(apart.min()), round(apart.max())) == (11, 20)
    assert round(100 * (ade_gan["ADe-GAN"] - ade_gan.drop("ADe-GAN").max())) == 11


def test_a_machine_fitted_on_the_typical_images_alone_repairs_the_three_failed_runs_that_record_it():
    cells = published.read("ics").query("table == 'Table 4' and dataset == 'fashion_mnist' and method == 'ICS'")
    printed = dict(zip(cells.class_name, cells.value, strict=True))
    gains, short = [], []
    for record in store.read("ics", ROOT / "results"):
        found = {r.metric: r.value for r in record.results if r.method == "ICS"}
        if (record.dataset, record.tier) != ("fashion_mnist", "demo") or found.get("auroc_typical") is None:
            continue
        if found["auroc"] < printed[record.class_name] - 0.1:
            gains.append(100 * (found["auroc_typical"] - found["auroc"]))
            short.append(100 * (printed[record.class_name] - found["auroc_typical"]))
    assert len(gains) >= 3 and min(gains) > 9.5 and max(gains) < 31.5
    assert min(short) > 0 and max(short) < 4
