"""Every notebook runs to its end under protocols of the other papers, and records what the leaderboard reads."""

import pytest
from notebook_cells import names_after

from novelty_utils.records import store

pytestmark = pytest.mark.slow

# The last code of each notebook, a training of a few steps, and fewer networks where there are many.
NOTEBOOKS = {
    "ics": (
        "tables.show(pd.DataFrame(rows_), caption=caption)",
        {'"smoke": 40': '"smoke": 1', "few = 30 if": "few = 1 if"},
        {"methods": "ICS"},
    ),
    "nln": ("holds_up() if len", {'"smoke": 250': '"smoke": 2'}, {"models": "AE"}),
    "crbnd": ("half, best, held_out = (", {'"smoke": (100, 100)': '"smoke": (2, 2)'}, {}),
    "ade_gan": ("tables.show(pd.DataFrame(held))", {'"smoke": 800': '"smoke": 4'}, {}),
    "rivals": (
        "display(tables.show(pd.DataFrame(this_run)",
        {'"smoke": 200': '"smoke": 4'},
        {"methods": "AE,OCSVM of codes,REAPER"},
    ),
}
CASES = [("ics", "simo"), ("nln", "one_class"), ("nln", "simo"), ("crbnd", "one_class")]
CASES += [("ade_gan", "one_class"), ("ade_gan", "simo"), ("rivals", "one_class"), ("rivals", "miso")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_a_notebook_runs_under_another_papers_protocol(name, protocol, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr("builtins.display", print, raising=False)  # a kernel has it
    until, quick, fewer = NOTEBOOKS[name]
    names = names_after(name, until, quick, protocol=protocol, results=str(tmp_path), **fewer)
    names["plt"].close("all")
    (record,) = store.read(name, tmp_path)
    assert record.parameters["protocol"] == protocol
    timed = [entry for entry in record.training.values() if "scoring_seconds" in entry]
    assert timed
    assert all(entry["scored_images"] == 500 and entry["scoring_seconds"] > 0 for entry in timed)
    shares = {result.metric for result in record.results if "share=" in result.metric}
    assert ("auroc;share=10" in shares) == (protocol == "simo")
