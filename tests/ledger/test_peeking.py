"""The price of peeking: its size and sign on made-up records, and what the committed ones say."""

from pathlib import Path

import pytest
from test_claims import DIGITS, put

import peeking_page
from peeking_page import Peek, Result

RESULTS = Path(peeking_page.__file__).parents[1] / "results"
THRESHOLD = peeking_page.PEEKS[0]
GRID = "auroc;score=con;K={};alpha={};scale=held out"
NLN = {"protocol": "miso", "L": 32}


def ics(folder, digit, tuned, held_out, **changes):
    given = {name: value for name, value in peeking_page.ICS.items() if name != "protocol"} | changes
    return put(folder, {("ICS", "bacc_tuned_on_test"): tuned, ("ICS", "bacc_held_out"): held_out}, digit, **given)


def only(folder, *peeks: Peek):
    return peeking_page.prices(folder, peeks)


def test_the_price_of_a_threshold_is_the_mean_paired_difference_with_students_interval(tmp_path):
    for digit, added in zip(DIGITS[:5], (0.01, 0.02, 0.03, 0.04, 0.05), strict=True):
        ics(tmp_path, digit, 0.8 + added, 0.8)
    (price,) = only(tmp_path, THRESHOLD)
    assert (price.honest, price.added, price.classes) == (pytest.approx(0.8), pytest.approx(0.03), 5)
    # Deviation 0.0158, over the root of 5; t with 4 degrees of freedom is 2.7764.
    assert price.high - price.added == pytest.approx(2.7764 * 0.00025**0.5 / 5**0.5, rel=1e-3)


def test_a_choice_that_does_harm_has_a_negative_price(tmp_path):
    for digit in DIGITS:
        ics(tmp_path, digit, 0.7, 0.8)
    assert only(tmp_path, THRESHOLD)[0].added == pytest.approx(-0.1)


def test_four_classes_have_no_row_and_another_network_is_not_mixed_in(tmp_path):
    for digit in DIGITS[:4]:
        ics(tmp_path, digit, 0.9, 0.8)
    ics(tmp_path, "4", 0.9, 0.8, beta=0.5)
    assert only(tmp_path, THRESHOLD) == []


def test_of_a_grid_the_setting_with_the_best_mean_is_chosen_for_all_classes(tmp_path):
    grid = Peek("NLN", "nln", "K", (Result("AE-con", GRID.format("*", "*")),), Result("AE-con", GRID.format(2, 0.9)),
                ("mnist",), NLN)  # fmt: skip
    for digit in DIGITS:
        values = {GRID.format(2, 0.9): 0.7, GRID.format(5, 0.1): 0.8, GRID.format(1, 0.5): 0.9 if digit == "3" else 0.6}
        put(tmp_path, {("AE-con", metric): value for metric, value in values.items()}, digit, paper="nln")
    (price,) = only(tmp_path, grid)
    assert (price.added, price.chosen.metric) == (pytest.approx(0.1), GRID.format(5, 0.1))
    assert "| K = 5, α = 0.1 |" in peeking_page.table([price])


def test_seeds_of_a_class_are_averaged_first(tmp_path):
    for digit in DIGITS[:5]:
        ics(tmp_path, digit, 0.9, 0.8)
    put(
        tmp_path, {("ICS", "bacc_tuned_on_test"): 0.8, ("ICS", "bacc_held_out"): 0.8}, "0", 1,
        **{name: value for name, value in peeking_page.ICS.items() if name != "protocol"},
    )  # fmt: skip
    assert only(tmp_path, THRESHOLD)[0].added == pytest.approx((0.05 + 4 * 0.1) / 5)


def test_without_records_the_page_says_so_and_its_figure_is_drawn(tmp_path):
    (tmp_path / "out").mkdir()
    peeking_page.write_parts(tmp_path / "out", tmp_path)
    assert "No choice" in (tmp_path / "out" / "peeking_answer.md").read_text()


@pytest.mark.prose
def test_the_committed_records_price_every_paper_and_no_best_of_several_is_a_loss(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = peeking_page.prices(RESULTS)
    assert {price.peek.paper for price in found} == set(peeking_page.COLOURS)
    for price in found:
        best_of_several = (
            len(price.peek.choices) > 1 or "*" in price.peek.choices[0].metric or "best" in price.chosen.metric
        )
        assert not best_of_several or price.added >= 0, price
        assert -0.01 < price.added < 0.25
        assert 0.5 < price.honest + price.added <= 1
    (axis,) = peeking_page.figure(found).axes
    assert len(axis.get_yticks()) == len(found) > 10
    assert f"adds {100 * min(price.added for price in found):.1f} to" in peeking_page.answer(found)
