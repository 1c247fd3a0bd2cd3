"""A claim under every reading: table, sentence and figure on made-up records; and what the list may say."""

import re

import pandas as pd
import pytest

import readings_sweep
from novelty_utils import records
from novelty_utils.ledger import published, readings
from novelty_utils.ledger.readings import FAILS, HOLDS, NOT_RUN, PART, SO_FAR, Claim
from novelty_utils.params import CLASSES
from novelty_utils.records.schema import Record, Result
from novelty_utils.runs import checking

pytestmark = pytest.mark.slow

DEFAULT = {"tier": "demo", "depth": 4, "noise": 0.25}
DEPTH = {
    "what": "depth", "open": "no depth is printed", "default": {"says": "four", "source": "the cited U-Net"},
    "others": [
        {"says": "two", "source": "ours", "parameters": {"depth": 2}},
        {"says": "longer", "source": "a guess", "parameters": {"tier": "paper"}},
        {"says": "the error", "source": "the same record", "method": "error of A"},
    ],
}  # fmt: skip


def claim(**changes) -> Claim:
    about = {"name": "x", "paper": "ade_gan", "claim": "it works", "where": "Table 1", "dataset": "mnist"}
    about |= {"classes": ["1", "8"], "method": "M", "metric": "auroc", "parameters": DEFAULT, "choices": [DEPTH]}
    return Claim.model_validate(about | {"printed": {"table": "Table 1", "method": "ADe-GAN"}} | changes)


def record(results, class_name, seed=0, tier="demo", day=1, **parameters) -> Record:
    given = DEFAULT | {"dataset": "mnist", "seed": seed, "tier": tier} | parameters
    return Record(
        version=1, paper="ade_gan", tier=tier, dataset="mnist", class_name=class_name, seed=seed, parameters=given,
        data={"name": "mnist", "checksum": "abc", "images": 1}, training={},
        machine={"cpu": "a", "threads": 1, "gpu": None},
        results=[Result(method=method, metric="auroc", value=value) for method, value in results.items()],
        code={"commit": None}, seconds=1.0, peak_memory_mb=1, created=f"2026-01-0{day}T00:00:00+00:00",
    )  # fmt: skip


def row(rows: pd.DataFrame, reading: str) -> dict:
    (found,) = rows[rows.reading == reading].to_dict("records")
    return found


def test_without_records_every_reading_is_not_run():
    rows = readings.table(claim(), [])
    assert (rows.state == NOT_RUN).all()
    assert rows.ours.isna().all()
    assert rows.default.tolist() == [True, False, False, False]
    assert readings.sentence(rows) == (
        "The claim holds under: none that was run. The default: not run. Other readings: 3 not run."
    )


def test_ours_is_the_mean_over_the_fixed_classes_of_the_means_over_seeds():
    records = [record({"M": value}, "1", seed) for seed, value in enumerate((0.2, 0.4))]
    records += [record({"M": 0.9}, "8"), record({"M": 0.0}, "5")]  # a class that was not fixed beforehand
    found = row(readings.table(claim(), records), "four")
    assert (found["1"], found["8"], found["seeds"]) == (pytest.approx(0.3), 0.9, 1)
    assert found["ours"] == pytest.approx(0.6)
    cells = published.read("ade_gan").query("table == 'Table 1' and method == 'ADe-GAN' and class_name in ('1', '8')")
    assert found["line"] == pytest.approx(cells.value.mean())


def test_a_reading_is_looked_up_by_all_its_parameters_and_the_newest_of_a_run_counts():
    records = [record({"M": 0.5}, name, depth=2) for name in ("1", "8")]
    records += [record({"M": 0.7}, name, depth=2, day=2) for name in ("1", "8")]
    records += [record({"M": 0.1}, name, depth=2, day=3, noise=0.5) for name in ("1", "8")]
    rows = readings.table(claim(), records)
    assert row(rows, "two")["ours"] == pytest.approx(0.7)
    assert (rows.state != NOT_RUN).sum() == 1


def test_a_record_that_lacks_a_parameter_is_no_evidence():
    old = record({"M": 0.5}, "1")
    del old.parameters["depth"]
    assert (readings.table(claim(), [old]).state == NOT_RUN).all()


def test_another_method_is_read_from_the_records_of_the_default():
    rows = readings.table(claim(), [record({"M": 0.5, "error of A": 0.99}, name) for name in ("1", "8")])
    assert row(rows, "the error")["ours"] == pytest.approx(0.99)
    assert row(rows, "four")["ours"] == 0.5


@pytest.mark.parametrize(("tier", "reading", "state"), [("demo", "four", SO_FAR), ("paper", "longer", FAILS)])
def test_a_short_run_below_the_line_does_not_refute_and_a_long_one_does(tier, reading, state):
    rows = readings.table(claim(), [record({"M": 0.5}, name, tier=tier) for name in ("1", "8")])
    assert row(rows, reading)["state"] == state


def test_a_dead_training_does_not_refute_however_long_it_was():
    records = [record({"M": 0.5, "health": 1.0}, "1", tier="paper"), record({"M": 0.5}, "8", tier="paper")]
    records[0].results[1].metric = "collapsed"
    found = row(readings.table(claim(), records), "longer")
    assert (found["state"], found["trained"]) == (SO_FAR, "1 of 2")


def test_what_comes_within_the_margin_holds():
    line = row(readings.table(claim(), []), "four")["line"]
    for value, state in ((line - 0.019, HOLDS), (line - 0.021, SO_FAR), (0.999, HOLDS)):
        rows = readings.table(claim(), [record({"M": value}, name) for name in ("1", "8")])
        assert row(rows, "four")["state"] == state


def test_with_one_of_two_classes_nothing_is_judged():
    found = row(readings.table(claim(), [record({"M": 0.99}, "1")]), "four")
    assert (found["state"], found["1"], pd.isna(found["ours"])) == (PART, 0.99, True)


def test_a_printed_mean_over_all_classes_is_held_against_all_of_them():
    about = claim(paper="nln", printed={"table": "Table 3", "method": "NLN"})
    records = [record({"M": 0.99}, name) for name in ("1", "8")]
    rows = readings.table(about, records)
    assert (row(rows, "four")["state"], row(rows, "four")["ours"], row(rows, "four")["line"]) == (PART, 0.99, 0.921)
    records += [record({"M": 0.9}, name) for name in CLASSES["mnist"] if name not in ("1", "8")]
    found = row(readings.table(about, records), "four")
    assert (found["every"], found["state"]) == (pytest.approx(0.918), HOLDS)


def test_a_claim_against_another_method_takes_it_from_the_same_records():
    about = claim(printed={}, against="statistics")
    records = [record({"M": 0.8, "statistics": 0.7}, name) for name in ("1", "8")]
    records += [record({"M": 0.8, "statistics": 0.81}, name, depth=2) for name in ("1", "8")]
    rows = readings.table(about, records)
    assert [(row(rows, name)["line"], row(rows, name)["state"]) for name in ("four", "two")] == [
        (pytest.approx(0.7), HOLDS), (pytest.approx(0.81), SO_FAR),
    ]  # fmt: skip


def test_the_sentence_names_what_holds_and_fails_and_counts_the_others():
    records = [record({"M": 0.95}, name, depth=2) for name in ("1", "8")]
    records += [record({"M": 0.5, "error of A": 0.4}, name) for name in ("1", "8")]
    records += [record({"M": 0.5}, name, tier="paper") for name in ("1", "8")]
    assert readings.sentence(readings.table(claim(), records)) == (
        "The claim holds under: two (depth). The default: below so far. "
        "It fails, at full length: longer (depth). Other readings: 1 below so far."
    )


def test_the_table_for_a_page_has_the_default_once_and_words_for_what_is_missing():
    page = readings.shown(readings.table(claim(), [record({"M": 0.5}, name) for name in ("1", "8")]))
    assert page.ours.tolist() == ["0.500", "", "", ""]
    assert page.state.tolist() == [SO_FAR, NOT_RUN, NOT_RUN, NOT_RUN]
    assert page.reading.tolist() == ["the default", "two", "longer", "the error"]
    assert page["choice: default"].tolist() == ["", "depth: four", "", ""]
    assert not page.astype(str).isin(["nan", "None"]).any().any()


def test_the_figure_has_a_row_for_every_reading_and_marks_the_default(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    about = claim()
    rows = readings.table(about, [record({"M": 0.5}, name) for name in ("1", "8")])
    (axis,) = readings.figure(about, rows).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["four (default)", "two", "longer", "the error"]
    assert [line.get_xdata()[0] for line in axis.lines] == pytest.approx(rows.line.tolist())
    assert [text.get_text() for text in axis.texts].count(NOT_RUN) == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"against": "statistics"}, "either printed or against"),
        ({"parameters": {"tier": "demo"}}, "parameters must say their default"),
        ({"classes": ["1"], "colour": "red"}, "Extra inputs"),
        (
            {"choices": [DEPTH | {"default": {"says": "a", "source": "b", "parameters": {"depth": 4}}}]},
            "a default changes",
        ),
    ],
)
def test_a_wrong_entry_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        claim(**wrong)


@pytest.mark.parametrize("name", readings.claims())
def test_the_list_names_things_that_exist(name):
    about = readings.claims()[name]
    assert set(about.classes) <= set(CLASSES[about.dataset])
    assert len({choice.what for choice in about.choices}) == len(about.choices)
    schema, _ = checking.read_schema(readings_sweep.ROOT / "notebooks" / f"{about.paper}.ipynb")
    unknown = (set(about.parameters) | set(about.run)) - set(schema.model_fields)
    assert not unknown
    rows = readings.table(about, [])
    assert about.against or rows.line.notna().all(), "what is printed is not found"


def test_the_sweep_lists_the_runs_of_all_readings():
    wanted = readings_sweep.text(list(readings.claims().values()))
    assert readings_sweep.FILE.read_text() == wanted, "run tools/readings_sweep.py"


@pytest.mark.prose
@pytest.mark.parametrize("paper", ["ade_gan", "crbnd", "ics", "nln"])
def test_what_a_page_of_choices_calls_not_run_has_no_record(paper):
    page = (readings_sweep.ROOT / "book" / f"choices-{paper}.md").read_text(encoding="utf-8")
    last = [row.split("|")[-2] for row in page.splitlines() if row.startswith("| ")]
    open_ = " ".join(cell for cell in last if re.search("not (run|measured)", cell))
    named = set(re.findall(r'`(?:\w+="?)?(\w+)"?`', open_))
    run = {str(value) for record in records.read(paper, records.BOOK) for value in record.parameters.values()}
    assert run
    assert not named & run
