"""Nothing moves unnoticed: draws, weights, losses and scores are those in tests/golden, by `tools/golden.py`."""

import json

import pytest

import golden


@pytest.mark.parametrize("name", ["draws", "training"])
def test_the_numbers_are_the_committed_ones(name):
    unmoved(name)


def unmoved(name: str) -> None:
    old, new = golden.kept(name), golden.compute(name)
    assert old, f"tests/golden/{name}.json is missing"
    lines = golden.moved(old, new, golden.TOLERANCE.get(name, 0.0))
    told = "\n  ".join([f"{len(lines)} of {len(old)} values of tests/golden/{name}.json moved:", *lines[:20]])
    assert not lines, (
        f"{told}\nOld records may not say any more what this code does. Where that is meant, "
        f"`python tools/golden.py {name}` writes the file anew."
    )


def test_what_moved_is_told():
    old, new = {"a": 1.0, "b": "2, xy", "c": None, "d": 5.0}, {"a": 1.01, "b": "2, xz", "c": None, "e": 6.0}
    assert golden.moved(old, new, 0.001) == [
        "d: 5.0 is gone",
        "e: 6.0 is new",
        "a: was 1.0, is 1.01",
        "b: was 2, xy, is 2, xz",
    ]
    assert golden.moved(old, new, 0.02)[2:] == ["b: was 2, xy, is 2, xz"]
    assert golden.moved({"a": 1.0}, {"a": None}, 0.5) == ["a: was 1.0, is None"]


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
