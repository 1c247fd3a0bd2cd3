"""What the start page says of the papers in words, looked up in the committed records."""

from pathlib import Path

import pandas as pd
import pytest

import peeking_page
from novelty_utils import claims, published, records

ROOT = Path(claims.__file__).parents[1]


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return claims.ledger(ROOT / "results")


def says(*words: str) -> None:
    text = " ".join((ROOT / "book" / "index.md").read_text(encoding="utf-8").split())
    for part in words:
        assert part in text, "the sentence that this test is about has changed"


def rows(paper: str, dataset: str, **at) -> pd.DataFrame:
    found = records.frame(records.read(paper, ROOT / "results"))
    return records.chosen(found[(found.dataset == dataset) & (found.metric == "auroc")], **at)


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
    says("With two halvings, our choice at first, it ranks worse on MNIST than ten simple statistics")
    shallow = rows("crbnd", "mnist", depth=2, arch="paper", protocol="outlier_share", tier="demo")
    means = shallow.groupby("method").value.mean()
    assert means["CRBND"] < means["statistics"] - 0.05


def test_the_patterns_of_ade_gan_at_our_first_choice_make_the_score_worse(ledger):
    says("With our first choice of both, its patterns make the score worse")
    (line,) = ledger[ledger.claim.str.contains("R1 has a higher AUROC than the error alone, losses as printed")].ours
    assert line < 0
