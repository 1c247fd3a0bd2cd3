"""Runs made again: paired with the first record, and how far the two lie apart."""

from pathlib import Path

import pytest

from novelty_utils.errors import InputError
from novelty_utils.ledger.evidence import Evidence
from novelty_utils.records import replications, store
from novelty_utils.records.store import Record, Result

MACHINE = {"cpu": "x", "cores": 1, "threads": 1, "gpu": None}


def put(
    folder: Path,
    values: dict[str, float | None],
    parameters: dict | None = None,
    created: str = "2026-01-01T00:00:00+00:00",
    **changes,
) -> Record:
    lines = [Result(method="AE", metric=metric, value=value) for metric, value in values.items()]
    record = Record(
        version=1, paper="nln", tier="demo", dataset="mnist", class_name="3", seed=0,
        parameters={"seed": 0, "L": 32} | (parameters or {}), data={"name": "mnist", "checksum": "abc", "images": 7},
        results=lines, training={}, machine=MACHINE | changes, code={"commit": "1" * 40}, seconds=1.0,
        peak_memory_mb=1, created=created,
    )  # fmt: skip
    store.write(record, folder)
    return record


@pytest.fixture
def folder(tmp_path) -> Path:
    put(tmp_path, {"auroc": 0.9, "auroc;score=con": 0.8, "auroc_lost": 0.1, "f1": 0.1})
    put(tmp_path, {"auroc": 0.5}, parameters={"L": 64})
    return tmp_path


def test_the_largest_difference_of_any_auroc_that_both_have(folder):
    put(folder / "repeats", {"auroc": 0.91, "auroc;score=con": 0.77, "auroc_new": 0.9, "f1": 0.9})
    (found,) = replications.read(folder, "ics", "nln")
    assert (found.compared, found.largest, found.same_hardware) == (2, pytest.approx(0.03), True)


def test_a_parameter_that_came_later_does_not_hide_the_first_record(folder):
    again = put(folder / "repeats", {"auroc": 0.9}, parameters={"arch": "paper"}, cpu="y")
    (found,) = replications.read(folder, "nln")
    assert (found.again, found.compared, found.largest, found.same_hardware) == (again, 1, 0.0, False)


def test_a_repeat_on_the_same_hardware_enters_no_mean(folder):
    put(folder / "repeats", {"auroc": 0.91})
    firsts = store.read("nln", folder)
    assert len(firsts) == 2
    assert replications.averaged(firsts, store.read("nln", folder / "repeats")) == firsts


def test_a_number_that_one_machine_lacks_is_that_of_the_other(folder):
    put(folder / "repeats", {"auroc": None, "f1": 0.3}, cpu="y")
    both = replications.averaged(store.read("nln", folder), store.read("nln", folder / "repeats"))
    (first,) = (one for one in both if one.parameters["L"] == 32)
    assert {r.metric: r.value for r in first.results}["auroc"] == 0.9


def test_a_repeat_of_other_images_is_no_repeat(folder):
    (first,) = (one for one in store.read("nln", folder) if one.parameters["L"] == 32)
    again = put(folder / "repeats", {"auroc": 0.5}, cpu="y")
    assert replications.same_run(first, again) != replications.same_run(
        first, again.model_copy(update={"data": {"checksum": "z"}})
    )


def test_of_a_dead_and_a_living_training_the_living_one_counts(folder):
    living, dead = ({"AE": {"seconds": 1.0, "collapse": {"collapsed": died}}} for died in (False, True))
    first = store.read("nln", folder)[0].model_copy(update={"training": dead})
    again = put(folder / "repeats", {"auroc": 0.5}, cpu="y").model_copy(update={"training": living})
    for runs in ((first, again), (again, first)):
        assert {r.metric: r.value for r in replications._mean(runs).results}["auroc"] == 0.5
    assert replications._mean((first, first)).training == dead


def test_a_repeat_on_other_hardware_counts_as_much_as_the_first(folder):
    put(folder / "repeats", {"auroc": 0.5, "auroc_new": 0.4}, cpu="y")
    # a second kind of hardware by another parameter that came later, and an older record of it that does not count
    put(folder / "repeats", {"auroc": 0.2}, parameters={"arch": "paper"}, cpu="z")
    put(folder / "repeats", {"auroc": 0.0}, parameters={"later": 1}, cpu="z", created="2025-01-01T00:00:00+00:00")
    evidence = Evidence("nln", folder)
    (sample,) = evidence.select("AE", "auroc", {"L": 32})
    assert sample.value == pytest.approx((0.9 + 0.5 + 0.2) / 3)
    assert not evidence.select(
        "AE", "auroc_new", {"L": 32}
    )  # beside the means of three it would compare unlike trainings
    assert [s.value for s in evidence.select("AE", "auroc", {"L": 64})] == [0.5]
    assert evidence.provenance([sample])["hardware"] == "x and z and y, 1 thread"


@pytest.mark.parametrize(
    ("values", "parameters", "message"),
    [
        ({"auroc": 0.9}, {"L": 128}, r"repeats/nln/mnist/3-demo-s0-\w+\.json repeats no record beside it"),
        ({"f1": 0.9}, {}, "has no AUROC in common with the record that it repeats"),
        ({"auroc": None}, {}, "has no AUROC in common with the record that it repeats"),
    ],
)
def test_a_repeat_of_nothing_is_an_error(folder, values, parameters, message):
    put(folder / "repeats", values, parameters=parameters)
    with pytest.raises(InputError, match=message):
        replications.read(folder, "nln")


@pytest.mark.prose
def test_every_committed_repeat_has_its_first_record():
    folder = Path(store.__file__).parents[2] / "results"
    papers = [path.name for path in (folder / "repeats").iterdir()]
    found = replications.read(folder, *papers)
    assert len(found) == len(list((folder / "repeats").glob("*/*/*.json"))) > 0
    assert all(one.first.created < one.again.created for one in found)
