"""What the committed records of before the rule say about their trainings, and what they cannot say."""

from pathlib import Path

import pytest

from novelty_utils.records import old_trainings, store

RESULTS = Path(__file__).parents[2] / "results"
DEAD = {  # named one by one on 2026-11-29 by an independent check that compared errors with those of black images
    "nln/mnist/2-demo-s0-8a21e71288.json",
    "nln/mnist/5-demo-s2-1e8e9e73c1.json",
    "nln/mnist/1-demo-s0-0857b98b8c.json",
    "crbnd/mnist/8-demo-s0-0b63c505bc.json",
    "crbnd/mnist/3-demo-s0-4d07b76a73.json",
    "crbnd/mnist/5-demo-s0-c858614054.json",
}
OLD = {
    str(record.path("")): record
    for paper in ("nln", "crbnd", "ics", "nln_defects")
    for record in store.read(paper, RESULTS)
    if not any("collapse" in how for how in record.training.values())
}


def test_the_dead_ones_are_known():
    left = DEAD & OLD.keys()  # those that were not made again since
    assert left, "all were made again: this test looks at none"
    for where in left:
        assert True in [old_trainings.collapsed(OLD[where], name) for name in OLD[where].training], where


def test_no_other_is_called_dead():
    found = {
        (where, name)
        for where, record in OLD.items()
        for name in record.training
        if old_trainings.collapsed(record, name)
    }
    assert {where for where, _ in found} <= DEAD


def test_a_training_that_began_to_learn_in_its_last_epoch_is_alive():
    late = OLD["nln/mnist/0-demo-s1-6dd095e626.json"]
    squared, _ = old_trainings._constants()["mnist", "miso", "0", 28]
    assert late.training["AE-con"]["terms"]["rec"] > squared
    assert old_trainings.collapsed(late, "AE-con") is False


def changed(record, **of_training):
    name = next(iter(record.training))
    terms = record.training[name]["terms"] | of_training
    return record.model_copy(update={"training": {name: record.training[name] | {"terms": terms}}}), name


def test_what_cannot_be_told_is_not_guessed():
    record = next(iter(OLD.values()))
    elsewhere = record.model_copy(update={"dataset": "folder:photos"})
    assert old_trainings.collapsed(elsewhere, next(iter(record.training))) is None
    silent = record.model_copy(update={"results": [r for r in record.results if ";" not in r.metric]})
    assert old_trainings.collapsed(silent, next(iter(record.training))) is None
    defects = next(r for r in OLD.values() if r.paper == "nln_defects")
    assert store.collapsed(defects, "NLN") is None
    assert store.collapsed(defects, "mean image") is False  # no network


def test_every_training_of_nln_can_be_told():
    told = [old_trainings.collapsed(r, name) for r in OLD.values() if r.paper == "nln" for name in r.training]
    assert told and None not in told


def test_ics_is_judged_by_its_mean_error_alone():
    record = next(r for r in OLD.values() if r.paper == "ics" and r.dataset == "mnist")
    squared, _ = old_trainings._constants()["mnist", "simo", record.class_name, 32]
    bad, name = changed(record, rec=0.91 * squared)
    assert old_trainings.collapsed(bad, name) is True
    good, _ = changed(record, rec=0.89 * squared)
    assert old_trainings.collapsed(good, name) is False
    summed = bad.model_copy(update={"parameters": bad.parameters | {"rec": "sum"}})
    assert old_trainings.collapsed(summed, name) is None


def test_the_constant_errors_shrink_with_a_border_of_zeros():
    inside, with_border = (old_trainings._constants()["mnist", "simo", "8", side] for side in (28, 32))
    assert with_border == pytest.approx([value * (28 / 32) ** 2 for value in inside], abs=1e-5)
