"""Nothing moves unnoticed: draws, weights, losses and scores are those in tests/golden, by `tools/golden.py`."""

import json

import pytest

import golden


@pytest.mark.parametrize("name", ["draws", "training"])
def test_the_numbers_are_the_committed_ones(name):
    unmoved(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.NOTEBOOKS)
def test_the_results_of_a_notebook_are_the_committed_ones(name):
    unmoved(name)


def unmoved(name: str) -> None:
    old, new = golden.kept(name), golden.compute(name)
    assert old, f"tests/golden/{name}.json is missing"
    lines = golden.moved(name, old, new)
    told = "\n  ".join([f"{len(lines)} of {len(old)} values of tests/golden/{name}.json moved:", *lines[:20]])
    assert not lines, (
        f"{told}\nOld records may not say any more what this code does. Where that is meant, "
        f"`python tools/golden.py {name}` writes the file anew."
    )


def test_what_moved_is_told():
    old, new = {"a": 1.0, "b": "2, xy", "c": None, "d": 5.0}, {"a": 1.01, "b": "2, xz", "c": None, "e": 6.0}
    told = ["d: 5.0 is gone", "e: 6.0 is new", "a: was 1.0, is 1.01", "b: was 2, xy, is 2, xz"]
    assert golden.moved("training", old, new) == golden.moved("draws", old, new) == told
    assert golden.moved("draws", {"a": 1.0}, {"a": None}) == ["a: was 1.0, is None"]


def test_another_machine_may_compute_a_little_differently():
    here, there = {golden.MACHINE: "this"}, {golden.MACHINE: "that"}
    for key, little, much in (("CLS, auroc", 0.01, 0.03), ("CLS, held_out_rejected", 0.08, 0.2)):
        old = {key: 0.5, **here}
        assert golden.moved("ics", old, {key: 0.5 + 1e-9, **here}) == []
        assert golden.moved("ics", old, {key: 0.5 + little, **here}) == [f"{key}: was 0.5, is {0.5 + little}"]
        assert golden.moved("ics", old, {key: 0.5 + little, **there}) == []
        assert golden.moved("ics", old, {key: 0.5 + much, **there}) == [f"{key}: was 0.5, is {0.5 + much}"]


def test_a_file_is_written_anew_only_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    monkeypatch.setattr(golden, "MAKERS", {"one": lambda: {"x": 1.0, "ü": None}, "two": lambda: {"y": 2.0}})
    assert golden.main(["one"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["one.json"]
    assert (
        json.loads((tmp_path / "one.json").read_text(encoding="utf-8")) == golden.kept("one") == {"x": 1.0, "ü": None}
    )
    assert golden.main([]) == 0
    assert "one: 0 of 2 values moved\ntwo: 1 of 1 values moved\n  y: 2.0 is new\n" in capsys.readouterr().out
    assert golden.main(["three"]) == 2
    assert "choose from one, two" in capsys.readouterr().out
