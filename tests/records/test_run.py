"""The end of a run: a record for each class, with what was trained and what it cost."""

from types import SimpleNamespace

import pytest
import torch

from novelty_utils import records
from novelty_utils.data.datasets import Dataset
from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters
from novelty_utils.records import Result
from novelty_utils.training import History

DATA = Dataset("digits", torch.zeros(5, 1, 2, 2), torch.zeros(5), torch.zeros(5), tuple("0123456789"), "abc")
HISTORY = History({"rec": [3.0, 2.0, 0.5], "cls": [0.1]}, images=60, seconds=1.5, precision="fp32", device="cpu")
WATCH = SimpleNamespace(seconds=lambda: 9.0, peak_memory_mb=lambda: 77)
FOUND = [Result(method="ICS", metric="auroc", value=0.9)]


def test_of_a_training_the_terms_at_its_end_and_whatever_else_is_known():
    plain = {"terms": {"rec": 0.5, "cls": 0.1}, "images": 60, "seconds": 1.5, "precision": "fp32", "device": "cpu"}
    assert records.trained(HISTORY) == plain
    died = {"collapse": {"collapsed": True}, "restarts": 2}
    timed = {"scoring_seconds": 0.1235, "scored_images": 40}
    assert records.trained(HISTORY, died, seconds=0.12345, images=40) == plain | died | timed
    assert HISTORY.terms["rec"] == [3.0, 2.0, 0.5]


def parameters(results) -> RunParameters:
    asked = {"dataset": "digits", "class_name": "all", "tier": "smoke", "seed": 0, "device": "cpu"}
    return RunParameters.check(asked | {"results": str(results)})


def test_each_class_gets_a_record_and_the_checkpoints_go(tmp_path, capsys):
    p = parameters(tmp_path)
    scratch = records.scratch("ics", p)
    (scratch / "CAE").mkdir(parents=True)
    trainings = {"3": {"ICS": records.trained(HISTORY)}, "4": {}}
    records.write_run("ics", p, DATA, WATCH, {"3": FOUND, "4": FOUND}, trainings)
    three, four = records.read("ics", tmp_path)
    assert (three.class_name, three.results, three.training) == ("3", FOUND, trainings["3"])
    assert (four.class_name, four.training) == ("4", {})
    assert (three.seconds, four.seconds, three.peak_memory_mb) == (4.5, 4.5, 77)
    assert not scratch.exists()
    assert capsys.readouterr().out.count("recorded in") == 2


def test_what_could_not_be_written_keeps_its_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("NOVELTY_CHECKPOINTS", str(tmp_path / "kept"))
    p = parameters(tmp_path / "file")
    (tmp_path / "file").write_text("")
    scratch = records.scratch("ics", p)
    scratch.mkdir(parents=True)
    with pytest.raises(InputError):
        records.write_run("ics", p, DATA, WATCH, {"3": FOUND}, {"3": {}})
    assert scratch.exists()
