"""Second looks: what is on file, and what another implementation changes, on made-up numbers."""

import json
import re
from pathlib import Path

import pytest
from test_claims import number, put

import second_looks_page
from novelty_utils.ledger import claims, published, readings, second_looks
from novelty_utils.ledger.second_looks import looks
from novelty_utils.params import CLASSES

LOOK = {look.claim: look for look in looks()}
ICS = {"paper": "ics", "dataset": "fashion_mnist", "seed": 0, "dead": {"ICS": False}, "seconds": 1.0}
PINNED = readings.claims()["ics-fashion"].parameters


def theirs(folder, **values) -> None:
    entries = [ICS | {"class": name, "reconstruction": "sum", "auroc": {"ICS": v}} for name, v in values.items()]
    write(folder, entries)


def write(folder, entries) -> None:
    path = folder / "second_look" / "ics.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([{k.replace("_", "-"): v for k, v in entry.items()} for entry in entries]))


def ours(folder, value, tier="demo") -> list:
    made = [put(folder, {("ICS", "auroc"): value}, name, dataset="fashion_mnist", tier=tier, **extra())
            for name in CLASSES["fashion_mnist"]]  # fmt: skip
    return made


def extra() -> dict:
    return {name: value for name, value in PINNED.items() if name != "tier"}


def test_each_paper_has_one_headline():
    assert sorted(look.about.paper for look in looks() if look.headline) == sorted(claims.PAPERS)


@pytest.mark.parametrize("name", LOOK)
def test_each_look_names_rows_that_exist_and_readings_that_are_listed(name, tmp_path):
    look, table = LOOK[name], claims.ledger(tmp_path)
    assert look.about.paper in claims.PAPERS
    for row in look.rows:
        found = table[(table.paper == look.about.paper) & (table.dataset == look.about.dataset)]
        for column, value in row.items():
            found = found[found[column] == value]
        assert len(found), row
    listed = {(choice.what, reading.says) for choice, reading in look.about.readings()}
    assert {(one.choice, one.reading) for one in look.tried if one.choice} <= listed


def test_a_row_of_the_ledger_finds_its_look():
    line = {"paper": "ics", "dataset": "fashion_mnist", "where": "Table 4", "method": "ICS", "kind": "number"}
    assert second_looks.of_row(line).claim == "ics-fashion"
    for other in ({"method": "CLS"}, {"dataset": "mnist"}, {"where": "Table 1"}):
        assert second_looks.of_row(line | other) is None


def test_another_implementation_on_part_of_the_classes_is_compared_on_these(tmp_path):
    made = ours(tmp_path, 0.8)
    theirs(tmp_path, pullover=0.89)
    found = second_looks.second(LOOK["ics-fashion"], made, tmp_path)
    assert (found.classes, found.theirs, found.ours, found.line) == (["pullover"], 0.89, 0.8, 0.899)
    assert found.disagree
    assert second_looks_page._theirs(LOOK["ics-fashion"], found) == "0.890 (pullover)"
    assert second_looks.second(LOOK["ics-fashion"], made, tmp_path / "nowhere") is None


def test_theirs_is_the_mean_over_the_fixed_classes_of_the_longest_living_trainings(tmp_path):
    one = ICS | {"reconstruction": "sum"}
    values = [("pullover", 1.0, 0.5), ("pullover", 9.0, 0.8), ("t-shirt", 1.0, 0.6), ("coat", 1.0, 0.0)]
    entries = [one | {"class": name, "epochs": s, "auroc": {"ICS": v}} for name, s, v in values]
    entries += [one | {"class": "t-shirt", "epochs": 9.0, "auroc": {"ICS": 0.1}, "dead": {"ICS": True}}]
    entries += [one | {"class": "t-shirt", "epochs": 9.0, "auroc": {"ICS": 0.2}, "reconstruction": "mean"}]
    write(tmp_path, entries)
    found = second_looks.second(LOOK["ics-fashion"], [], tmp_path)
    assert found.theirs == pytest.approx(0.7)
    assert (found.ours, found.disagree, found.seeds) == (None, False, 1)


@pytest.mark.parametrize(
    ("value", "other", "tier", "verdict"),
    [
        (0.8, 0.95, "demo", "contested"), (0.8, 0.95, "paper", "contested"), (0.8, 0.82, "demo", "below so far"),
        (0.8, 0.82, "paper", "not reproduced"), (0.93, 0.5, "demo", "reproduced"),
    ],
)  # fmt: skip
def test_where_theirs_reaches_what_ours_does_not_the_verdict_is_contested(tmp_path, value, other, tier, verdict):
    ours(tmp_path, value, tier)
    theirs(tmp_path, **{"pullover": other, "t-shirt": other})
    found = number(claims.ledger(tmp_path), "Table 4", "mean", "ICS", dataset="fashion_mnist")
    assert found["verdict"] == verdict


@pytest.mark.parametrize(("reached", "verdict"), [(0.95, "contested"), (0.82, "not reproduced")])
def test_what_another_reading_reaches_is_contested(tmp_path, reached, verdict):
    ours(tmp_path, 0.8, "paper")
    for name in LOOK["ics-fashion"].about.classes:
        put(tmp_path, {("ICS", "auroc"): reached}, name, dataset="fashion_mnist", **extra() | {"bn": "keras"})
    theirs(tmp_path, **{"pullover": 0.82, "t-shirt": 0.82})
    found = number(claims.ledger(tmp_path), "Table 4", "mean", "ICS", dataset="fashion_mnist")
    assert found["verdict"] == verdict


def test_a_long_run_of_ours_is_compared_with_theirs_where_a_short_one_reaches_the_number(tmp_path):
    ours(tmp_path, 0.95)
    ours(tmp_path, 0.8, "paper")
    theirs(tmp_path, **{"pullover": 0.95, "t-shirt": 0.95})
    row = number(claims.ledger(tmp_path), "Table 4", "mean", "ICS", dataset="fashion_mnist")
    assert (row["tier"], row["verdict"]) == ("paper", "contested")


@pytest.mark.parametrize("there", [{}, {"pullover": 0.5}])
def test_without_another_implementation_on_all_fixed_classes_a_mean_is_open(tmp_path, there):
    ours(tmp_path, 0.8, "paper")
    theirs(tmp_path, **there)
    table = claims.ledger(tmp_path)
    assert number(table, "Table 4", "mean", "ICS", dataset="fashion_mnist")["verdict"] == "open"


def test_a_dead_training_of_theirs_is_no_second_look_and_one_of_another_method_is_no_matter(tmp_path):
    entries = [
        ICS | {"reconstruction": "sum", "class": name, "auroc": {"ICS": 0.5}} for name in ("pullover", "t-shirt")
    ]
    write(tmp_path, [one | {"dead": {"ICS": False, "CLS": True}} for one in entries])
    assert second_looks.second(LOOK["ics-fashion"], [], tmp_path).theirs == 0.5
    write(tmp_path, [one | {"dead": {"ICS": True, "CLS": False}} for one in entries])
    assert second_looks.second(LOOK["ics-fashion"], [], tmp_path) is None


def test_a_class_that_they_did_not_run_is_not_contested(tmp_path):
    ours(tmp_path, 0.7)
    theirs(tmp_path, **{"pullover": 0.95, "t-shirt": 0.95})
    table = claims.ledger(tmp_path)
    said = [number(table, "Table 4", name, "ICS", dataset="fashion_mnist")["verdict"] for name in ("pullover", "bag")]
    assert said == ["contested", "below so far"]


def test_where_only_a_mean_over_ten_is_printed_the_same_distance_is_asked_on_all_of_them():
    about = readings.claims()["nln-mnist"]
    printed = published.read("nln").query("table == 'Table 3' and method == 'NLN' and dataset == 'mnist'").value.item()
    for further, disagree in ((0.05, True), (0.01, False)):
        said = second_looks._disagree(about, 0.6 + further, 0.6, printed - 0.06, printed)
        assert said == disagree
    assert not second_looks._disagree(about, 0.9, None, None, printed)


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_has_the_numbers_of_the_records_and_of_the_second_implementation_and_says_what_is_missing(tmp_path):
    names = dict.fromkeys(claims.PAPERS, "X")
    empty = second_looks_page.text(tmp_path, names)
    assert empty.count("| independent implementation |") == len(looks())
    assert "not run yet" in empty
    ours(tmp_path, 0.8123)
    theirs(tmp_path, **{"pullover": 0.9511, "t-shirt": 0.9513})
    page = second_looks_page.text(tmp_path, names)
    assert "class pullover and t-shirt, 1 seed. It reaches what ours does not. | 0.951 | 0.915 |" in page
    assert [("fixed beforehand" in text, "after all ten" in text) for text in page.split("What would still")[2:4]] == [
        (True, False),
        (False, True),
    ]
    assert second_looks_page.today("ics-fashion", tmp_path).splitlines()[2] == "| 0.812 | 0.812 | 0.915 | 0.951 |"


def test_every_part_that_a_page_includes_is_written(tmp_path):
    second_looks_page.write_parts(tmp_path, tmp_path, dict.fromkeys(claims.PAPERS, "X"))
    book = Path(second_looks_page.__file__).parents[1] / "book"
    text = "".join((book / f"{name}.md").read_text() for name in ("overturned", "claims"))
    written = {path.name for path in tmp_path.iterdir()}
    assert written <= set(re.findall(r"{include} (\S+)", text))
    assert set(re.findall(r"{include} (overturned\S+)", text)) <= written
