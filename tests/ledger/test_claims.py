"""The ledger: complete, computed from the records and from nothing else, never from a smoke run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.collections import PathCollection

import ledger_page
from novelty_utils import cli
from novelty_utils.ledger import claims, evidence, matching, published
from novelty_utils.params import DEFECT_CLASSES, RunParameters
from novelty_utils.records import store
from novelty_utils.records.store import Record, Result
from novelty_utils.runs import checking, sweep_file

pytestmark = pytest.mark.slow

ROOT = Path(claims.__file__).parents[2]
SETTINGS = {
    "ics": {"methods": "CAE,CLS,ICS", "rho": 10.0, "alpha": 1.0, "beta": 1e-5, "rec": "mean", "start": "continue"},
    "crbnd": {
        "arch": "paper",
        "depth": 4,
        "lam": 0.5,
        "x_d": "rec",
        "x_prime": "clean",
        "side": 32,
        "blur": 7,
        "noise": 0.25,
    }
    | {"protocol": "outlier_share"},
    "nln": {"protocol": "miso", "models": "AE-con", "arch": "paper", "L": 32, "K": 2, "alpha": 1.0},
    "nln_defects": {},
    "leaderboard": {},
    "ade_gan": published.rules("ade_gan").cells[0].parameters,
}
MACHINE = {"cpu": "a processor", "threads": 1, "gpu": None}
DIGITS = [str(digit) for digit in range(10)]


def put(folder, results, class_name="3", seed=0, tier="demo", paper="ics", dataset="mnist", day=1, **changes) -> Record:
    """A record with these results, written into the folder: {(method, metric): value or (value, low, high)}."""
    lines = []
    for (method, metric), value in results.items():
        value, low, high = value if isinstance(value, tuple) else (value, None, None)
        lines.append(Result(method=method, metric=metric, value=value, low=low, high=high))
    record = Record(
        version=1, paper=paper, tier=tier, dataset=dataset, class_name=class_name, seed=seed,
        parameters=SETTINGS[paper] | {"dataset": dataset, "tier": tier, "seed": seed} | changes,
        data={"name": dataset, "checksum": "abc", "images": 70000}, results=lines, training={}, machine=MACHINE,
        code={"commit": None}, seconds=1.0, peak_memory_mb=1, created=f"2026-01-0{day}T00:00:00+00:00",
    )  # fmt: skip
    store.write(record, folder)
    return record


def number(
    table: pd.DataFrame, where: str, class_name: str, method: str, paper="ics", dataset="mnist", setting=""
) -> dict:
    rows = table[
        (table.paper == paper) & (table["where"] == where) & (table.dataset == dataset) & (table.kind == "number")
    ]
    rows = rows[(rows.class_name == class_name) & (rows.method == method) & rows.setting.str.contains(setting)]
    assert len(rows) == 1
    return rows.iloc[0].to_dict()


def order(table: pd.DataFrame, claim: str) -> dict:
    rows = table[table.claim == claim]
    assert len(rows) == 1
    return rows.iloc[0].to_dict()


# --- the rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_every_rule_is_about_a_printed_cell_and_names_things_that_exist(paper):
    printed, of_paper = published.read(paper).to_dict("records"), published.rules(paper)
    for rule in [*of_paper.cells, *of_paper.orders]:
        schema, _ = checking.read_schema(ROOT / "notebooks" / f"{rule.notebook or paper}.ipynb")
        named = set(rule.parameters) | set(getattr(rule, "varies", ())) | set(getattr(rule, "each", ()))
        sides = getattr(rule, "row", []) or [getattr(rule, "more", {}), getattr(rule, "less", {})]
        named |= {name for side in sides for name in side} - {"method", "metric", "note", "constant"}
        assert named <= set(schema.model_fields), "a misspelt parameter would count as agreeing"
    for cells in of_paper.cells:
        assert any(matching.is_about(cells, cell) for cell in printed), cells
    for rule in of_paper.orders:
        if rule.printed:
            names = set(published.cells(paper, rule.printed["table"]).columns)
            assert {rule.printed["more"], rule.printed["less"]} <= names


# Parameters that change no number of a rule: what is trained beside it, what a record holds a grid of, the draws.
FREE = {
    "ics": {"methods"}, "nln": {"models", "K", "alpha"}, "ade_gan": set(),
    "crbnd": {"shares", "repetitions", "ablations", "n_inlier"},
}  # fmt: skip


@pytest.mark.parametrize("paper", FREE)
def test_a_rule_says_every_parameter_that_changes_a_number_so_that_it_mixes_no_two_networks(paper):
    schema, _ = checking.read_schema(ROOT / "notebooks" / f"{paper}.ipynb")
    needed = set(schema.model_fields) - set(RunParameters.model_fields) - FREE[paper]
    for rule in [*published.rules(paper).cells, *published.rules(paper).orders]:
        if rule.notebook in ("", paper) and not getattr(rule, "set_aside", ""):
            named = set(rule.parameters) | set(getattr(rule, "varies", ())) | set(getattr(rule, "each", ()))
            sides = [getattr(rule, name, {}) for name in ("more", "less")] + list(getattr(rule, "row", []))
            left = (
                needed
                - named
                - {name for side in sides for name in side}
                - ({"L"} if getattr(rule, "kind", "") == "increase" else set())
            )
            assert not left, (rule, left)


def test_the_values_of_the_rules_pass_the_schema_of_their_notebook():
    for paper in claims.PAPERS:
        for rule in [*published.rules(paper).cells, *published.rules(paper).orders]:
            notebook = ROOT / "notebooks" / f"{rule.notebook or paper}.ipynb"
            whole = {"class_name": "all"} if rule.parameters.get("protocol") == "inlier_categories" else {}
            checking.check(notebook, whole | {name: str(value) for name, value in rule.parameters.items()})


# --- the ledger of a few records -----------------------------------------------------------------------------------


def test_without_records_nothing_is_attempted_and_every_printed_number_is_there(tmp_path):
    table = claims.ledger(tmp_path)
    assert list(table.columns) == claims.COLUMNS
    assert set(table.verdict) == {"not attempted"}
    assert (table.reason.str.len() > 10).all()
    numbers = table[table.kind == "number"]
    printed = pd.concat([published.read(paper) for paper in claims.PAPERS])
    assert len(numbers) == len(printed) == 1247
    assert numbers.printed.tolist() == printed.value.tolist()
    assert (
        numbers[["paper", "where", "dataset", "protocol", "class_name", "method", "setting", "metric"]]
        .duplicated()
        .sum()
        == 0
    )
    assert not numbers.ours.notna().any()


def test_a_cell_is_compared_with_its_printed_number(tmp_path):
    put(tmp_path, {("CLS", "auroc"): (0.9, 0.89, 0.91), ("CLS", "bacc_tuned_on_test"): 0.8})
    table = claims.ledger(tmp_path)
    row = number(table, "Table 4", "3", "CLS")
    printed = published.read("ics").query("table == 'Table 4' and class_name == '3' and method == 'CLS'")
    printed = printed[printed.dataset == "mnist"].value.item()
    assert (row["ours"], row["printed"]) == (0.9, printed)
    assert row["difference"] == pytest.approx(0.9 - printed)
    # The recorded interval is 0.01 on each side, the assumed deviation between seeds 0.02.
    assert row["high"] - row["ours"] == pytest.approx((0.01**2 + (1.96 * 0.02) ** 2) ** 0.5, abs=1e-5)
    assert (row["seeds"], row["tier"], row["hardware"]) == (1, "demo", "a processor, 1 thread")
    assert "assumed" in row["reason"]
    assert number(table, "Table 1", "3", "CLS")["ours"] == 0.8
    assert (table.verdict != "not attempted").sum() == 2


def test_the_better_tier_counts(tmp_path):
    put(tmp_path, {("CLS", "auroc"): 0.5})
    put(tmp_path, {("CLS", "auroc"): 0.9}, tier="paper")
    row = number(claims.ledger(tmp_path), "Table 4", "3", "CLS")
    assert (row["ours"], row["tier"]) == (0.9, "paper")


def test_a_single_run_of_one_class_cannot_be_reproduced_and_says_why(tmp_path):
    printed = published.read("ics").query("table == 'Table 4' and class_name == '3' and method == 'CLS'")
    put(tmp_path, {("CLS", "auroc"): printed[printed.dataset == "mnist"].value.item()})
    row = number(claims.ledger(tmp_path), "Table 4", "3", "CLS")
    assert (row["difference"], row["verdict"]) == (0, "mixed within noise")
    assert row["reason"].endswith("; one seed cannot tell")


def test_where_other_runs_of_a_score_moved_more_than_is_assumed_that_is_assumed(tmp_path):
    def half() -> float:
        row = number(claims.ledger(tmp_path), "Table 4", "3", "CLS")
        assert said in row["reason"]
        return row["high"] - row["ours"]

    put(tmp_path, {("CLS", "auroc"): 0.9})
    said = "deviation between seeds assumed"
    assert half() == pytest.approx(1.96 * 0.02, rel=1e-4)
    for digit in DIGITS[:5]:  # with another setting: pairs of runs 0.1 apart, of which each has a variance of 0.005
        for seed in (0, 1):
            put(tmp_path, {("CLS", "auroc"): 0.6 + seed / 10}, digit, seed, rho=5.0)
    said = "deviation between seeds transferred from other records (mnist)"
    assert half() == pytest.approx(1.96 * 0.005**0.5, rel=1e-4)
    (repeated,) = claims.ledger(tmp_path).attrs["repeated"]
    assert repeated == ("ics", "CLS", "auroc", 5, pytest.approx(0.005**0.5), pytest.approx(0.1))


def test_a_smoke_run_changes_nothing_but_the_count_of_those_left_out(tmp_path):
    put(tmp_path, {("CLS", "auroc"): 0.9})
    before = claims.ledger(tmp_path)
    put(tmp_path, {("CLS", "auroc"): 0.1}, tier="smoke")
    put(tmp_path, {("CLS", "auroc"): 0.1}, class_name="4", tier="smoke")
    after = claims.ledger(tmp_path)
    pd.testing.assert_frame_equal(before, after)
    assert (before.attrs["left_out"], after.attrs["left_out"]) == (0, 2)


@pytest.mark.parametrize("other", [{"rho": 5.0}, {"rec": "sum"}, {"start": "fresh"}])
def test_a_run_with_other_parameters_is_no_evidence(tmp_path, other):
    put(tmp_path, {("ICS", "auroc"): 0.9}, **other)
    assert number(claims.ledger(tmp_path), "Table 4", "3", "ICS")["verdict"] == "not attempted"


def test_a_sweep_over_a_parameter_finds_its_column(tmp_path):
    put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.7}, rho=5.0)
    table = claims.ledger(tmp_path)
    assert number(table, "Table 6", "3", "ICS", setting="rho=5$")["ours"] == 0.7
    assert number(table, "Table 6", "3", "ICS", setting="rho=10")["verdict"] == "not attempted"
    assert number(table, "Table 1", "3", "ICS")["verdict"] == "not attempted"


def test_a_mean_needs_all_classes_and_says_how_many_there_are(tmp_path):
    for digit in DIGITS[:9]:
        put(tmp_path, {("CLS", "auroc"): 0.9 + int(digit) / 100}, class_name=digit)
    row = number(claims.ledger(tmp_path), "Table 4", "mean", "CLS")
    assert (row["verdict"], row["reason"]) == ("not attempted", "only 9 classes are recorded")
    put(tmp_path, {("CLS", "auroc"): 0.99}, class_name="9")
    row = number(claims.ledger(tmp_path), "Table 4", "mean", "CLS")
    assert row["ours"] == pytest.approx(0.945)
    assert row["margin"] == 0.02
    assert "class_name=all" in row["command"]


def test_the_mean_and_the_deviation_of_a_row_are_over_its_five_values(tmp_path):
    for beta, value in ((1e-7, 0.8), (1e-5, 0.9), (1e-3, 0.7)):
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): value, ("CLS", "bacc_tuned_on_test"): 0.6}, beta=beta)
    incomplete = claims.ledger(tmp_path)
    put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.5}, beta=1e-1)
    table = claims.ledger(tmp_path)
    for found, verdict in ((incomplete, True), (table, False)):
        rows = found[
            (found["where"] == "Table 5") & (found.setting == "beta=mean_over_row") & (found.dataset == "mnist")
        ]
        rows = rows[rows.class_name == "3"].set_index("metric")
        assert (rows.verdict == "not attempted").all() == verdict
    assert rows.ours["balanced_accuracy"] == pytest.approx(0.7)
    assert rows.ours["balanced_accuracy_std"] == pytest.approx((0.1 / 4) ** 0.5)  # of 0.8 0.9 0.7 0.5 0.6, with n - 1


def test_an_increase_is_one_minus_the_ratio_of_the_best_means(tmp_path):
    grid = {f"auroc;score=con;K={k};alpha=0.5;scale=held out": 0.8 + k / 100 for k in (1, 2, 5)}
    for digit in DIGITS:
        results = {("AE-con", name): value for name, value in grid.items()} | {("AE-con", "auroc;score=recon"): 0.68}
        put(tmp_path, results, class_name=digit, paper="nln")
    row = number(claims.ledger(tmp_path), "Table 1", "mean", "AE-con", paper="nln")
    assert row["ours"] == pytest.approx(1 - 0.68 / 0.85)


def test_the_interval_of_an_increase_weighs_the_error_of_the_score_with_the_ratio(tmp_path):
    widths = []
    for baseline in (0.6, 0.4):
        for digit in DIGITS:
            score = "auroc;score=con;K=2;alpha=0.5;scale=held out"
            results = {("AE-con", score): 0.8, ("AE-con", "auroc;score=recon"): baseline}
            put(tmp_path / str(baseline), results, digit, paper="nln")
        row = number(claims.ledger(tmp_path / str(baseline)), "Table 1", "mean", "AE-con", paper="nln")
        assert (row["low"] + row["high"]) / 2 == pytest.approx(1 - baseline / 0.8)
        widths.append(row["high"] - row["low"])
    # The same deviation is assumed of all: d(b/a) = db/a - (b/a) da/a, so the width goes with (1 + (b/a)²)^½.
    assert widths[0] / widths[1] == pytest.approx(((1 + 0.75**2) / (1 + 0.5**2)) ** 0.5)


def test_an_increase_is_looked_for_at_every_size_by_itself(tmp_path):
    score = "auroc;score=con;K=2;alpha=0.5;scale=held out"
    for digit in DIGITS:
        put(tmp_path, {("AE-con", score): 0.8, ("AE-con", "auroc;score=recon"): 0.6}, digit, paper="nln")
    for digit in DIGITS[:3]:  # of a larger one only some classes, recorded later
        put(tmp_path, {("AE-con", score): 0.1, ("AE-con", "auroc;score=recon"): 0.9}, digit, paper="nln", L=64, day=2)
    row = number(claims.ledger(tmp_path), "Table 1", "mean", "AE-con", paper="nln")
    assert row["ours"] == pytest.approx(0.25)


def test_of_the_same_experiment_recorded_twice_the_newest_counts(tmp_path):
    score = "auroc;score=con;K=2;alpha=0.9;scale=held out"
    for day, alpha, value in ((2, 0.9, 0.8), (1, 1.0, 0.7), (3, 0.5, 0.9)):  # alpha is of no effect on the grid
        for digit in DIGITS:
            put(tmp_path, {("AE-con", score): value}, digit, paper="nln", alpha=alpha, day=day)
    row = number(claims.ledger(tmp_path), "Table 6", "mean", "AE-con", paper="nln", setting="total")
    assert row["ours"] == pytest.approx(0.9)


def test_only_a_method_of_the_paper_can_be_better(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("HOG", "auroc"): 0.9999, ("ICS", "auroc"): 0.9999}, digit)
    table = claims.ledger(tmp_path)
    assert number(table, "Table 4", "mean", "HOG")["verdict"] == "open"
    assert number(table, "Table 4", "mean", "ICS")["verdict"] == "better"


def test_the_error_of_the_papers_own_network_is_a_baseline_and_cannot_be_better(tmp_path):
    whole = "auroc;score=con;K=2;alpha=0.9;scale=held out"
    for digit in DIGITS:
        put(tmp_path, {("AE-con", "auroc;score=recon"): 0.99, ("AE-con", whole): 0.99}, digit, paper="nln")
    table = claims.ledger(tmp_path)
    for score, verdict in (("recon", "above so far"), ("total", "better")):
        row = number(table, "Table 6", "mean", "AE-con", paper="nln", setting=f"score={score}")
        assert row["verdict"] == verdict


def test_what_is_worked_out_from_cells_and_what_is_suspect_says_so(tmp_path):
    put(tmp_path, {("CLS", "bacc_tuned_on_test"): 0.93}, "trouser", dataset="fashion_mnist")
    table = claims.ledger(tmp_path)
    assert "suspect" in number(table, "Table 1", "trouser", "CLS", dataset="fashion_mnist")["reason"]
    assert table.claim.str.contains("worked out from printed cells").sum() == 77


def test_draws_of_categories_need_to_be_twenty(tmp_path):
    about = {"n_inlier": 1, "side": 64, "blur": 15, "protocol": "inlier_categories", "dataset": "caltech256"}
    for draw in range(19):
        put(tmp_path, {("CRBND", "auroc"): 0.9 + draw / 1000}, f"draw{draw}", paper="crbnd", **about)
    asked = {"paper": "crbnd", "dataset": "caltech256", "setting": "n_inlier=1"}
    before = claims.ledger(tmp_path)
    assert number(before[before.metric == "auroc"], "Table 1", "mean", "CRBND", **asked)["verdict"] == "not attempted"
    put(tmp_path, {("CRBND", "auroc"): 0.919}, "draw19", paper="crbnd", **about)
    table = claims.ledger(tmp_path)
    row = number(table[table.metric == "auroc"], "Table 1", "mean", "CRBND", **asked)
    assert row["ours"] == pytest.approx(0.9095)


def test_rows_at_a_share_have_no_interval_over_images(tmp_path):
    lines = {("CRBND", f"f1;rule=best;share={s}"): (0.9 - s / 1000, 0.1, 1.0) for s in (10, 30, 50)}
    put(tmp_path, lines, paper="crbnd")
    (sample,) = evidence.Evidence("crbnd", tmp_path).select("CRBND", "f1;rule=best;share=10", {})
    assert sample.error == 0.0


def test_an_interval_cut_off_at_one_is_read_by_its_whole_side(tmp_path):
    put(tmp_path, {("CLS", "auroc"): (0.99, 0.97, 1.0)})
    (sample,) = evidence.Evidence("ics", tmp_path).select("CLS", "auroc", {})
    assert sample.error == pytest.approx(0.02 / 1.96, rel=1e-4)


def test_data_nearby_is_named_but_not_compared(tmp_path):
    put(tmp_path, {("CLS", "auroc"): 0.6123}, class_name="frog", dataset="cifar10_jpeg")
    row = number(claims.ledger(tmp_path), "Table 4", "frog", "CLS", dataset="cifar10")
    assert row["verdict"] == "not attempted"
    assert "cifar10_jpeg, other images, it is 0.612" in row["reason"]


@pytest.mark.parametrize(
    ("runs_of", "expected"),
    [
        ({("3", 0)}, {("3", "0")}),
        ({("3", 0), ("3", 2)}, {("3", "0"), ("3", "2")}),
        ({(digit, 1) for digit in DIGITS}, {("all", "1")}),
        ({(digit, 1) for digit in DIGITS[:3]}, {("0", "1"), ("1", "1"), ("2", "1")}),
        ({(digit, 0) for digit in DIGITS} | {("4", 1)}, {(d, "0") for d in DIGITS} | {("4", "1")}),
        ({(digit, seed) for digit in DIGITS for seed in (0, 1)}, {("all", "0"), ("all", "1")}),
    ],
)
def test_the_command_makes_the_recorded_classes_and_seeds_and_no_others(tmp_path, runs_of, expected):
    made = [put(tmp_path, {("ICS", "auroc"): 0.9}, class_name, seed) for class_name, seed in runs_of]
    found = [one for command in evidence.command(made).split(" && ") for one in unrolled(command)]
    assert all(one.startswith("novelty run ics -p ") for one in found)
    said = [re.search(r"-p class_name=(\S+) -p seed=(\d+)$", one).groups() for one in found]
    assert (set(said), len(said)) == (expected, len(expected))


# --- orders --------------------------------------------------------------------------------------------------------


def test_an_order_is_judged_on_the_same_classes_and_seeds(tmp_path):
    for digit in DIGITS:
        put(
            tmp_path,
            {("ICS", "bacc_tuned_on_test"): 0.8 + int(digit) / 1000, ("Original", "bacc_tuned_on_test"): 0.7},
            digit,
        )
    put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.0}, "0", seed=5)  # alone: no pair
    row = order(claims.ledger(tmp_path), "ICS has a higher balanced accuracy than raw pixels, on mnist")
    assert row["verdict"] == "reproduced"
    assert row["ours"] == pytest.approx(0.1045)
    assert row["reason"].endswith("higher on 10 of 10 classes")
    cells = published.read("ics").query("table == 'Table 1' and class_name != 'mean' and dataset == 'mnist'")
    means = cells.groupby("method").value.mean()
    assert row["printed"] == pytest.approx(means["ICS"] - means["Original"])


def test_an_order_on_one_data_set_says_nothing_about_another(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.8, ("Original", "bacc_tuned_on_test"): 0.7}, digit)
    table = claims.ledger(tmp_path)
    text = "ICS has a higher balanced accuracy than raw pixels, on {}"
    row = order(table, text.format("mnist"))
    assert (row["verdict"], row["dataset"]) == ("reproduced", "mnist")
    for other in ("fashion_mnist", "cifar10"):
        assert order(table, text.format(other))["verdict"] == "not attempted"


def test_an_order_that_the_papers_own_cells_contradict_says_so(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("ICS", "auroc"): 0.9 + int(digit) / 1000, ("CLS", "auroc"): 0.8}, digit)
    row = order(claims.ledger(tmp_path), "ICS has a higher AUROC than CLS, on mnist")
    assert row["printed"] < 0 < row["low"]
    assert row["reason"].endswith("the printed cells say the opposite")
    assert (row["verdict"], json.loads(row["inputs"])["kind"]) == ("mixed within noise", "few")  # for any margin


def test_where_short_runs_train_one_side_less_only_full_length_is_judged(tmp_path):
    claim = "ICS has a higher balanced accuracy than CAE, on mnist"
    values = {("ICS", "bacc_tuned_on_test"): 0.9, ("CAE", "bacc_tuned_on_test"): 0.7}
    for digit in DIGITS:
        put(tmp_path, values, digit)
    row = order(claims.ledger(tmp_path), claim)
    assert (row["verdict"], "half as long" in row["reason"]) == ("not attempted", True)
    for digit in DIGITS:
        put(tmp_path, values, digit, tier="paper")
    row = order(claims.ledger(tmp_path), claim)
    assert (row["verdict"], row["tier"]) == ("reproduced", "paper")


def test_an_order_is_about_the_result_that_its_note_names_and_is_judged_as_soon_as_there_are_records(tmp_path):
    claim = "NLN segments MVTec-AD with a higher pixel AUROC than the reconstruction error does"
    put(tmp_path, {("CLS", "auroc"): 0.8})
    assert order(claims.ledger(tmp_path), claim)["reason"] == "no run of both is recorded"
    for product in DEFECT_CLASSES["mvtec_ad"]:
        record = put(
            tmp_path,
            {("AE", "auroc"): 0.5},
            product,
            paper="nln_defects",
            dataset="mvtec_ad",
            model="AE",
            K=1,
            L=128,
            alpha=0.6,
        )
        for method, note, value in (("recon", "", 0.5), ("NLN", "alpha=0", 0.1), ("NLN", "alpha=0.6", 0.9)):
            record.results.append(Result(method=method, metric="pixel_auroc", value=value, note=note))
        record.path(tmp_path).write_text(record.model_dump_json())
    table = claims.ledger(tmp_path)
    row = order(table, claim)
    assert (row["verdict"], row["ours"]) == ("reproduced", pytest.approx(0.4))
    aside = order(table, "NLN raises the pixel AUROC on the ten objects of MVTec-AD")
    assert (aside["verdict"], aside["reason"][:15]) == ("not attempted", "MVTec-AD is not"), (
        "an order is about all classes"
    )


def test_a_reason_why_nothing_is_recorded_gives_way_to_records(tmp_path):
    claim = "A code of 256 and three neighbours are best for pictures of MVTec-AD: a higher AUROC than with L = 128"
    put(tmp_path, {("CLS", "auroc"): 0.8})
    row = order(claims.ledger(tmp_path), claim)
    assert (row["verdict"], row["reason"]) == ("not attempted", "MVTec-AD is not at hand")
    for product in DEFECT_CLASSES["mvtec_ad"]:
        for size, value in ((256, 0.6), (128, 0.9)):
            about = {"paper": "nln_defects", "dataset": "mvtec_ad", "model": "AE", "K": 3, "L": size}
            record = put(tmp_path, {("AE", "auroc"): 0.5}, product, **about)
            record.results.append(Result(method="NLN", metric="image_auroc", value=value, note="alpha=0.8"))
            record.path(tmp_path).write_text(record.model_dump_json())
    assert order(claims.ledger(tmp_path), claim)["verdict"] == "below so far"


def test_a_claim_that_is_set_aside_stays_so_whatever_is_recorded(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("CRBND", f"f1;rule=best;share={s}"): 1 - s / 100 for s in (10, 30, 50)}, digit, paper="crbnd")
    row = order(claims.ledger(tmp_path), "The F1 is higher at 10 percent of outliers than at 30")
    assert (row["verdict"], row["reason"][:11]) == ("not attempted", "set aside: ")


def test_a_class_that_the_paper_does_not_print_has_no_printed_difference(tmp_path):
    for digit in (*DIGITS, "Three"):
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.8, ("Original", "bacc_tuned_on_test"): 0.7}, digit)
    row = order(claims.ledger(tmp_path), "ICS has a higher balanced accuracy than raw pixels, on mnist")
    cells = published.read("ics").query("table == 'Table 1' and class_name != 'mean' and dataset == 'mnist'")
    means = cells.groupby("method").value.mean()
    assert row["printed"] == pytest.approx(means["ICS"] - means["Original"])


def test_few_classes_get_no_verdict(tmp_path):
    for digit in DIGITS[:4]:
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.9, ("Original", "bacc_tuned_on_test"): 0.1}, digit)
    row = order(claims.ledger(tmp_path), "ICS has a higher balanced accuracy than raw pixels, on mnist")
    assert (row["verdict"], "too few" in row["reason"]) == ("mixed within noise", True)
    assert "higher on 4 of 4 classes, 6 of 10 without a record" in row["reason"]


def test_a_flat_curve_is_a_claim_for_every_value(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.8}, digit)
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.801 + int(digit) / 1e4}, digit, rho=5.0)
        put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.7 + int(digit) / 1e4}, digit, rho=30.0)
    table = claims.ledger(tmp_path)
    text = "Balanced accuracy does not depend on the share rho of atypical images: {} against 10 percent, on mnist"
    assert order(table, text.format("5.0"))["verdict"] == "reproduced"
    assert order(table, text.format("30.0"))["verdict"] == "below so far"
    assert order(table, text.format("20.0"))["verdict"] == "not attempted"


def test_an_error_can_be_compared_with_chance(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("error of A", "auroc"): 0.6 + int(digit) / 1000}, digit, paper="crbnd")
    text = "The reconstruction error is less for positive test images: its AUROC is above one half, on mnist"
    row = order(claims.ledger(tmp_path), text)
    assert (row["verdict"], row["ours"]) == ("reproduced", pytest.approx(0.1045))
    assert row["setting"] == "against 0.5"


def test_what_every_score_does_is_no_evidence(tmp_path):
    for digit in DIGITS:
        put(tmp_path, {("CRBND", f"f1;rule=best;share={s}"): 1 - s / 1000 for s in (10, 30, 50)}, digit, paper="crbnd")
    row = order(claims.ledger(tmp_path), "The F1 is higher at 10 percent of outliers than at 30")
    assert (row["verdict"], "calling everything normal" in row["reason"]) == ("not attempted", True)


# --- the committed records -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    return claims.ledger(ROOT / "results")


@pytest.mark.prose
def test_every_point_of_the_ledger_s_figure_lies_within_its_axes(committed, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    figure = ledger_page._figure(committed)
    points = [(axis, c) for axis in figure.axes for c in axis.collections if isinstance(c, PathCollection)]
    drawn = [(axis, at) for axis, c in points for at in c.get_offsets()]
    assert len(drawn) > 100
    for axis, (x, y) in drawn:
        assert axis.get_xlim()[0] < x < axis.get_xlim()[1]
        assert axis.get_ylim()[0] < y < axis.get_ylim()[1]


@pytest.mark.prose
def test_no_cell_of_the_ledger_has_a_word_that_makes_its_column_wide(committed):
    cells = [
        text
        for _, line in committed.iterrows()
        for name, text in (ledger_page._of_order if line.kind != "number" else ledger_page._of_number)(line).items()
        if name != "why"
    ]
    words = {word for text in cells for word in re.sub(r"<[^>]+>", " ", text).split()}
    assert {word for word in words if len(word) > 20} == set()
    assert {"n_c=10", "increase"} <= words


@pytest.mark.prose
def test_what_the_cross_entropy_reaches_is_contested_as_the_pages_of_nln_say(committed):
    for where, dataset in (("Table 3", "mnist"), ("Table 4", "fashion_mnist")):
        rows = store.where(committed, paper="nln", where=where, dataset=dataset, method="NLN", class_name="mean")
        assert set(rows.verdict[rows.ours.notna()]) == {"contested"}


@pytest.mark.prose
def test_no_smoke_record_is_committed(committed):
    assert committed.attrs["left_out"] == 0
    assert set(committed.tier.dropna()) <= {"demo", "paper"}


@pytest.mark.prose
def test_each_verdict_has_its_reason_and_what_is_attempted_its_source(committed):
    assert committed.reason.str.len().gt(3).all()
    attempted = committed[committed.verdict != "not attempted"]
    assert len(attempted) > 300
    for column in ("ours", "low", "high", "margin", "tier", "seeds", "hardware", "command"):
        assert attempted[column].notna().all(), column
    assert ((attempted.low <= attempted.ours) & (attempted.ours <= attempted.high)).all()
    assert not committed[committed.verdict == "not attempted"].ours.notna().any()


def commands(committed) -> set[str]:
    every = {single for command in committed.command.dropna() for single in command.split(" && ")}
    return {single for command in every for single in unrolled(command)}


def unrolled(command: str) -> list[str]:
    """The commands that a command with loops stands for."""
    loop = re.fullmatch(r"for (\w) in ([^;]+); do (.*); done", command)
    if not loop:
        return [command]
    letter, values, inside = loop.groups()
    return [one for value in values.split() for one in unrolled(inside.replace(f"${letter}", value))]


@pytest.mark.prose
def test_the_commands_are_ones_that_the_command_line_takes(committed):
    seen = set()
    for words in map(shlex.split, sorted(commands(committed))):
        pairs = dict(pair.split("=", 1) for pair in words[words.index("-p") + 1 :: 2]) if "-p" in words else {}
        assert words[0] == "novelty"
        if words[1] == "sweep":
            assert sweep_file.read(ROOT / words[2], pairs)
            continue
        shape = (words[2], *((name, value) for name, value in pairs.items() if name not in ("class_name", "seed")))
        if shape not in seen and pairs.get("protocol") != "inlier_categories":  # its classes are draws, by number
            seen.add(shape)
            checking.check(ROOT / "notebooks" / f"{words[2]}.ipynb", pairs)
    assert len(seen) > 5


def test_a_sweep_that_is_named_makes_what_its_rule_looks_for():
    for paper in claims.PAPERS:
        cells = [
            cell.model_copy(update={"command": cell.command.format(dataset="mnist")})
            for cell in published.rules(paper).cells
        ]
        for rule in [*cells, *published.rules(paper).orders]:
            if "{" in rule.command or rule.notebook:
                continue
            words = shlex.split(rule.command)
            pairs = dict(pair.split("=", 1) for pair in words[words.index("-p") + 1 :: 2]) if "-p" in words else {}
            made = [job.parameters for job in sweep_file.read(ROOT / words[2], pairs) if job.paper == paper]
            own = rule.parameters
            fits = [one for one in made if all(getattr(one, name) == value for name, value in own.items())]
            assert fits, (paper, rule.command)


@pytest.mark.prose
def test_a_control_of_ours_is_counted_apart(committed):
    ours = committed[committed.kind == "control"]
    assert ours["where"].str.contains("the control is ours").all()
    assert not committed[committed.kind == "order"]["where"].str.contains("control is ours").any()
    counts = claims.summary(committed)
    assert counts.loc["crbnd", "our controls"].sum() == (ours.paper == "crbnd").sum() == 4


@pytest.mark.prose
def test_the_setting_of_an_increase_is_told(committed):
    judged = committed[(committed.metric == "relative_auroc_increase") & committed.ours.notna()]
    assert len(judged) > 5
    assert judged.reason.str.contains(r"our best score is at L=\d+, K=\d+, alpha=[01]\.\d").all()


@pytest.mark.prose
def test_a_difference_too_small_to_matter_says_so(committed):
    orders = committed[
        (committed.kind != "number") & committed.verdict.ne("not attempted") & committed.margin.eq(0.005)
    ]
    small = (orders.low >= -0.005) & (orders.high <= 0.005)
    assert small.any()
    assert orders.reason.str.contains("nobody would choose by").equals(small)


# --- the command line ----------------------------------------------------------------------------------------------


def test_the_command_prints_verdicts_and_writes_the_ledger(tmp_path, capsys):
    put(tmp_path / "results", {("CLS", "auroc"): 0.9})
    put(tmp_path / "results", {("CLS", "auroc"): 0.9}, tier="smoke")
    arguments = ["claims", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "About ten patterns are best" not in printed
    left = claims.ledger(tmp_path / "results").query("verdict == 'not attempted'")
    counts = f"{(left.kind != 'number').sum()} orders and controls, {(left.kind == 'number').sum()} printed numbers"
    assert printed.startswith(f"not attempted: {counts}; the reasons are in {tmp_path / 'out' / 'claims.csv'}\n\n")
    assert printed.endswith("/book/claims.html tells what they mean\n")
    assert "left out: 1 records of the smoke tier" in printed
    table = pd.read_csv(tmp_path / "out" / "claims.csv")
    listed = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert len(table) == len(listed) == len(claims.ledger(tmp_path / "results"))
    assert list(listed[0]) == claims.COLUMNS
    assert [line["ours"] for line in listed if line["ours"] is not None] == table.ours.dropna().tolist() == [0.9]


def test_the_command_prints_what_was_attempted_and_no_interval_of_one_class(tmp_path, capsys):
    put(tmp_path / "results", {("CLS", "auroc"): 0.8, ("ICS", "auroc"): 0.9})
    arguments = ["claims", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out.split("not attempted: ")[0]
    assert printed == (
        "ics     mixed within noise  ICS has a higher AUROC than CLS, on mnist (+0.100 on one class, which gives no "
        "interval, 9 of 10 without a record; too few classes to tell)\n"
    )
    table = claims.ledger(tmp_path / "results")
    ours = [ledger_page._of_order(line)["ours"] for _, line in table[table.kind != "number"].iterrows()]
    assert set(ours) == {"", "+0.100"}


@pytest.mark.parametrize("bad", ["nowhere", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path, capsys, bad):
    (tmp_path / "file").write_text("")
    assert cli.main(["claims", "--results", str(tmp_path / bad), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert bad in error
    assert "give the one with the records, or go to the clone" in error
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_ledger_s_folder_is_refused_at_once(tmp_path, capsys):
    put(tmp_path / "results", {("CLS", "auroc"): 0.9})
    (tmp_path / "file").write_text("mine")
    assert cli.main(["claims", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "file")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is a file: give a folder" in err


def test_the_ledger_is_written_and_no_traceback_shown_where_nobody_reads_on(tmp_path):
    put(tmp_path / "results", {("CLS", "auroc"): 0.9})
    asked = ["claims", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "out")]
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "novelty_utils.cli", *asked], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "claims.csv",
        "claims.eval_results.yaml",
        "claims.json",
    ]


def test_a_folder_without_records_is_refused_and_no_ledger_is_overwritten(tmp_path, capsys):
    put(tmp_path / "results", {("CLS", "auroc"): 0.9})
    wrong = tmp_path / "results" / "ics"
    assert cli.main(["claims", "--results", str(wrong), "--output", str(tmp_path / "out")]) == 2
    assert "holds no records" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_ledger_that_cannot_be_written_is_refused_before_it_is_computed(tmp_path, monkeypatch, capsys):
    (tmp_path / "results/ics/digits").mkdir(parents=True)
    (tmp_path / "results/ics/digits/a.json").write_text("{}")
    monkeypatch.setattr(claims, "ledger", lambda *_: pytest.fail("computed"))
    assert cli.main(["claims", "--results", str(tmp_path / "results"), "--output", "/proc/claims"]) == 2
    assert capsys.readouterr().err.startswith("novelty: cannot write to /proc/claims: ")
