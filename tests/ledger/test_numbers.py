"""What a verdict about a printed number rests on: recipe, deviation, dead trainings, and that it counts once."""

import pytest
from test_claims import DIGITS, number, put

from novelty_utils.ledger import claims, evidence, matching, numbers, published
from novelty_utils.params import CLASSES

pytestmark = pytest.mark.slow

HELD_OUT = "error;held_out"
TABLE_3 = "auroc;score=con;K=2;alpha=1.0;scale=held out"


def nln(folder, value, error, digit, tier="demo", terms=None, **changes):
    results = {("AE-con", TABLE_3): value, ("AE-con", HELD_OUT): error}
    record = put(folder, results, digit, paper="nln", tier=tier, **changes)
    record.training["AE-con"] = {"seconds": 1.0, "collapse": {"collapsed": False}} | (terms or {})
    record.path(folder).write_text(record.model_dump_json())
    return record


def table_3(folder):
    table = claims.ledger(folder)
    return table[
        (table.paper == "nln") & (table["where"] == "Table 3") & (table.dataset == "mnist") & table.ours.notna()
    ]


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_every_tier_of_every_notebook_has_a_recipe_and_a_demo_run_is_not_full(paper):
    of_paper = published.rules(paper)
    for notebook in claims.PAPERS[paper]:
        for tier, full in (("demo", False), ("paper", True)):
            given = {"tier": tier, "width": 16, "batch": 32, "protocol": "miso"}
            recipe = of_paper.recipe(notebook, given)
            assert recipe.says
            assert recipe.full == full
    with pytest.raises(ValueError, match="no recipe"):
        of_paper.recipe(paper, {"tier": "smoke"})


def test_the_words_of_a_recipe_are_those_of_the_record():
    recipe = published.rules("ade_gan").recipe("ade_gan", {"tier": "demo", "width": 24, "batch": 48})
    assert "width 24, batches of 48" in recipe.says


def test_networks_of_another_size_count_where_the_named_one_has_no_run_and_are_not_mixed_with_it(tmp_path):
    def ade_gan(value, digit, **changes):
        put(tmp_path, {("R1", "auroc"): value}, digit, paper="ade_gan", **changes)

    def told(digit):
        row = number(claims.ledger(tmp_path), "Table 1", digit, "ADe-GAN", paper="ade_gan")
        return (row["ours"], row["recipe"]) if row["ours"] == row["ours"] else None

    for digit in DIGITS[:9]:
        ade_gan(0.6, digit, width=64)
    assert told("mean") is None
    ade_gan(0.5, "9")
    assert told("mean") is None  # nine of one size and one of another are no mean over ten
    assert told("3") == (0.6, "short: 4500 steps, width 64, batches of 32")
    ade_gan(0.7, "3", day=1)
    assert told("3") == (0.7, "short: 4500 steps, width 16, batches of 32")
    ade_gan(0.6, "9", width=64)
    assert told("mean") == (pytest.approx(0.6), "short: 4500 steps, width 64, batches of 32")


def test_a_short_shortfall_is_below_so_far_and_a_long_one_open_until_another_implementation_was_run(tmp_path):
    for digit in DIGITS:
        nln(tmp_path, 0.5, 0.1, digit)
    (row,) = table_3(tmp_path).to_dict("records")
    assert (row["verdict"], row["recipe"][:6]) == ("below so far", "short:")
    for digit in DIGITS:
        nln(tmp_path, 0.5, 0.05, digit, tier="paper")
    (row,) = table_3(tmp_path).to_dict("records")
    assert (row["verdict"], row["recipe"][:8]) == ("open", "printed:")


def test_without_a_second_look_a_long_shortfall_is_open(tmp_path):
    for garment in CLASSES["fashion_mnist"]:
        put(tmp_path, {("CLS", "auroc"): 0.5}, garment, dataset="fashion_mnist", tier="paper")
    assert number(claims.ledger(tmp_path), "Table 4", "mean", "CLS", dataset="fashion_mnist")["verdict"] == "open"


def test_the_recipe_that_redraws_held_out_normals_better_stands_beside_the_printed_one_and_is_not_counted(tmp_path):
    for digit in DIGITS:
        nln(tmp_path, 0.8, 0.03, digit, tier="paper")
        nln(tmp_path, 0.92, 0.02, digit)
    rows = table_3(tmp_path)
    assert rows.ours.tolist() == [pytest.approx(0.8), pytest.approx(0.92)]
    assert rows.same_as.tolist() == ["", numbers.BESIDE]
    assert claims.summary(claims.ledger(tmp_path)).loc["nln", "Table 3"].drop("not attempted").sum() == 1


def test_a_short_run_that_is_worse_on_held_out_normals_is_not_shown_whatever_its_auroc(tmp_path):
    for digit in DIGITS:
        nln(tmp_path, 0.8, 0.02, digit, tier="paper")
        nln(tmp_path, 0.92, 0.03, digit)
    assert table_3(tmp_path).ours.tolist() == [pytest.approx(0.8)]


def test_a_dead_training_is_counted_and_the_mean_told_without_it(tmp_path):
    dead = {"collapse": {"error": 0.11, "constant_error": 0.11, "spread": 0.0, "collapsed": True}}
    for digit in DIGITS:
        nln(tmp_path, 0.5 if digit == "3" else 0.9, 0.1, digit, tier="paper", terms=dead if digit == "3" else None)
    (row,) = table_3(tmp_path).to_dict("records")
    assert row["ours"] == pytest.approx(0.86)
    assert row["reason"].endswith("; 9 of 10 trained, 0.900 without the others")
    assert row["verdict"] == "below so far"


def test_where_all_trainings_died_there_is_no_mean_without_them():
    dead = evidence.Sample("mnist", "1", "demo", 0, "auroc", "", 0.5, 0.0, (), True)
    assert evidence.how_many_trained([dead]) == "; 0 of 1 trained"
    assert evidence.how_many_trained([dead, dead._replace(value=0.7, dead=False)], mean=False) == "; 1 of 2 trained"
    assert evidence.how_many_trained([dead._replace(dead=False)]) == ""


def test_of_a_method_without_training_the_measured_deviation_counts_also_where_it_is_smaller(tmp_path):
    for digit in DIGITS[:5]:
        for seed in (0, 1):
            put(tmp_path, {(name, "auroc"): 0.8 + seed / 1000 for name in ("HOG", "CLS")}, digit, seed)
    put(tmp_path, {("HOG", "auroc"): 0.8, ("CLS", "auroc"): 0.8}, "pullover", dataset="fashion_mnist")
    table = claims.ledger(tmp_path)
    hog, trained = (number(table, "Table 4", "pullover", name, dataset="fashion_mnist") for name in ("HOG", "CLS"))
    assert hog["high"] - hog["ours"] == pytest.approx(1.96 * 0.0005**0.5 / 1000**0.5, rel=1e-3)
    assert trained["high"] - trained["ours"] == pytest.approx(1.96 * 0.02, rel=1e-4)
    assert "transferred from other records (mnist)" in hog["reason"]
    assert "deviation between seeds assumed" in trained["reason"]
    assert (hog["trained"], hog["recipe"], trained["trained"]) == (False, "no training", True)


def test_a_cell_that_is_printed_again_is_marked_and_counts_once(tmp_path):
    put(tmp_path, {("ICS", "bacc_tuned_on_test"): 0.9})
    table = claims.ledger(tmp_path)
    assert number(table, "Table 5", "3", "ICS", setting="beta=1e-5")["same_as"] == "Table 1, alpha=1;beta=1e-5;rho=10"
    assert number(table, "Table 6", "3", "ICS", setting="rho=10")["same_as"].startswith("Table 1")
    assert (table.verdict != "not attempted").sum() == 3
    assert claims.summary(table).drop(columns="not attempted").to_numpy().sum() == 1


def test_the_same_place_with_another_printed_value_is_another_number():
    printed = published.read("nln").query("dataset == 'mnist' and class_name == 'mean'")
    of_paper = published.rules("nln")
    table_3, con = (
        printed[(printed.table == where) & printed.setting.str.contains(part) & (printed.method != "VAE")]
        for where, part in (("Table 3", "model=AE-con"), ("Table 6", "score=con"))
    )
    keys = [matching.sought("nln", one.to_dict("records")[0], of_paper) for one in (table_3, con)]
    assert keys[0][:-1] == keys[1][:-1]
    assert keys[0] != keys[1]


def test_a_training_of_which_it_cannot_be_told_whether_it_died_refutes_nothing(tmp_path, monkeypatch):
    said = {}
    for known in (False, None):
        monkeypatch.setattr(evidence.store, "collapsed", lambda *_, known=known: known)
        folder = tmp_path / str(known)
        for garment in CLASSES["fashion_mnist"]:
            put(folder, {("CLS", "auroc"): 0.5}, garment, dataset="fashion_mnist", tier="paper")
        said[known] = number(claims.ledger(folder), "Table 4", "mean", "CLS", dataset="fashion_mnist")["verdict"]
    assert said == {False: "open", None: "below so far"}
