"""The name of a metric: written and read in one place."""

import pytest

from novelty_utils.records.schema import metric_at, parts_of


def test_what_is_written_is_read():
    name = metric_at("auroc", score="con", K=2, alpha=0.9, scale="held out")
    assert name == "auroc;score=con;K=2;alpha=0.9;scale=held out"  # as the oldest records have it
    assert parts_of(name) == ("auroc", {"score": "con", "K": 2, "alpha": 0.9, "scale": "held out"})


def test_a_metric_may_be_at_nothing_or_bear_a_mark():
    assert metric_at("auroc") == "auroc"
    assert parts_of("auroc") == ("auroc", {})
    assert parts_of("error;held_out") == ("error", {"held_out": ""})


@pytest.mark.parametrize("text", ["1_000", "nan", "inf", "0x10", "1e", "held out"])
def test_what_is_no_plain_number_stays_text(text):
    assert parts_of(f"auroc;rule={text}") == ("auroc", {"rule": text})


def test_a_misspelled_name_is_refused():
    with pytest.raises(TypeError, match="auroc at k: a metric may be at score, K"):
        metric_at("auroc", k=2)
