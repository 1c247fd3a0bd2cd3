"""The command line: what it refuses, what it says, and that both ways of running do the same."""

import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from tiny_notebook import write_notebook
from tqdm import tqdm

from novelty_utils import __version__, cli
from novelty_utils.data import image_folders
from novelty_utils.errors import InputError
from novelty_utils.runs import execution

WRITE = """\
from types import SimpleNamespace
from novelty_utils import records

images = SimpleNamespace(name=p.dataset, checksum="abc", images=[])
result = [records.Result(method="m", metric="auroc", value=0.5)]
for k in p.labels():
    made = records.make("tiny", p, images, p.classes_of(p.dataset)[k], result, {}, 0.0, 0)
    records.write(made, p.results)
"""


@pytest.fixture(autouse=True)
def clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_notebook(tmp_path)
    Path("file").touch()
    Path("mine.ipynb").write_text('{"cells": [], "metadata": {}}')
    return tmp_path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("walk tiny", "invalid choice: 'walk'"),
        ("run", "required: NAME"),
        ("run tiny --head", "unrecognized arguments: --head"),
        ("run tiny -p dataset mnist", "arguments: mnist: write parameters as -p KEY=VALUE, such as -p dataset=mnist"),
        ("run tiny -p note=two words", "arguments: words: write parameters as -p KEY=VALUE, such as -p dataset=mnist"),
        ("run tiny dataset=mnist", "in quotes if VALUE has spaces (see novelty run --help)"),
        ("sweep table.yml seed=1", "-p dataset=mnist, in quotes if VALUE has spaces (see novelty sweep --help)"),
        ("params tiny -p seed=1", "unrecognized arguments: -p seed=1 (see novelty params --help)"),
        ("claims mine", "unrecognized arguments: mine (see novelty claims --help)"),
        ("run icz", "notebook 'icz' is not known: choose one of tiny"),
        ("params icz", "notebook 'icz' is not known"),
        ("run tiny -p beta", "-p 'beta' is not a parameter"),
        ("run tiny -p =1", "-p '=1' is not a parameter"),
        ("run tiny -p beta=1 -p beta=1", "parameter 'beta' is given twice"),
        ("run tiny -p betta=1", "unknown parameter 'betta'"),
        ("run tiny -p seed=one", "seed='one'"),
        ("run tiny -p class_name=dress", "not a class of digits"),
        ("run tiny -p dataset=folder:nowhere", "nowhere is not a folder"),
        ("run tiny -p results=file", "is a file; give a folder"),
        ("run tiny -p results=/proc/x --headless", "cannot write to /proc/x: "),
        ("run tiny -p results=/proc/x", "cannot write to /proc/x: "),
        ("run tiny -p tier=huge --headless", "tier='huge'"),
        ("run tiny -p tier=huge --output new/out.ipynb", "tier='huge'"),
        ("run tiny --output new/out.html", "output='new/out.html' is not a notebook"),
        ("run tiny --output file/out.ipynb", "its folder cannot be made"),
        ("run tiny --output notebooks/tiny.ipynb", "is the notebook itself"),
        ("run tiny --output mine.ipynb", "output='mine.ipynb' is there, and no run has written it"),
        (f"run tiny --output new/{'x' * 240}.ipynb", "xx.ipynb' has a name of more than 215 bytes"),
        (f"run {'x' * 300}.ipynb", "has a part of more than 255 bytes"),
        ("run ~nobody-of-this-name/ics.ipynb", "there is no home folder of that name"),
        (f"claims --results {'x' * 300}", "has a part of more than 255 bytes"),
        (f"claims --results results --output {'x' * 300}", "has a part of more than 255 bytes"),
        ("claims --results results --output claims", "--results 'results' is not a folder"),
        ("run tiny -p device=cuda", "device='cuda'"),
        ("run tiny -p device=cuda --headless", "device='cuda'"),
        ("run tiny --output new/out.ipynb --headless", "--headless writes no notebook"),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(line, message, capsys):
    before = sorted(Path().rglob("*"))
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("novelty: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_papermill_and_headless_do_the_same(clone, capsys):
    write_notebook(clone, WRITE)
    arguments = ["run", "tiny", "-p", "beta=1e-3", "-p", "class_name=3", "-p", 'note=it\'s "a=b"\\n']
    records = []
    Path("new").mkdir()
    Path("new/out.failed.ipynb").touch()  # of an earlier run
    for way, folder in (["--output", "new/out.ipynb"], "with"), (["--headless"], "without"):
        assert cli.main([*arguments, "-p", f"results={folder}", *way]) == 0
        parameters, *rest = json.loads(Path(folder, "record.json").read_text())
        assert parameters.pop("results") == folder
        records.append((parameters, rest))
    assert records[0] == records[1]
    assert records[0][0]["note"] == 'it\'s "a=b"\\n'
    assert records[0][1] == [1e-3, "3", "__main__"]
    out, err = capsys.readouterr()
    (file,) = Path("with").glob("*/*/*")
    told = f"records:  {file}\n"
    assert out == f"notebook: new/out.ipynb\n{told}{{'beta': 0.001}}\n{told.replace('with', 'without')}"
    assert file.name.startswith("3-smoke-s0-")
    assert err == ""
    assert [path.name for path in Path("new").iterdir()] == ["out.ipynb"]
    assert "{'beta': 0.001}" in Path("new/out.ipynb").read_text()


def test_a_run_ends_with_the_files_of_its_records_or_their_number(clone, capsys):
    notebook = write_notebook(clone, WRITE)
    notebook.write_text(notebook.read_text().replace(".mkdir()", ".mkdir(exist_ok=True)"))
    told = []
    for class_name in ("3", "3", "4", "all"):
        assert cli.main(["run", "tiny", "--headless", "-p", f"class_name={class_name}"]) == 0
        told.append(capsys.readouterr().out.splitlines()[-1])
    assert told[0] == told[1] == f"records:  {next(Path('results').glob('tiny/digits/3-*.json'))}"
    assert told[2] == f"records:  {next(Path('results').glob('tiny/digits/4-*.json'))}"
    assert told[3] == "records:  10 in results/tiny/digits"
    Path("photos/sound").mkdir(parents=True)
    Path("photos/bent").mkdir()
    pairs = ["-p", "dataset=folder:photos", "-p", "class_name=all"]
    assert cli.main(["run", "tiny", "--headless", *pairs]) == 0
    files = [str(next(Path("results").glob(f"tiny/folder-photos/{name}-*"))) for name in ("bent", "sound")]
    assert capsys.readouterr().out.splitlines()[-2:] == [f"records:  {file}" for file in files]


def test_a_failing_cell_is_exit_code_1_and_one_line_after_its_traceback(capsys):
    assert cli.main(["run", "tiny", "--headless", "-p", "act=leave"]) == 1
    trace, line = capsys.readouterr().err.split("novelty: ")
    assert '[cell 3]", line 15, in <module>\n    sys.exit(0)\n' in trace
    assert trace.endswith("SystemExit: 0\n")
    assert line == "tiny.ipynb[cell 3] failed: SystemExit: 0\n"


def test_a_dead_kernel_is_exit_code_1_and_one_line():
    command = [sys.executable, "-m", "novelty_utils.cli", "run", "tiny", "-p", "act=die", "--output", "out.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True)
    line = "novelty: tiny.ipynb failed: DeadKernelError: Kernel died; what ran is in out.failed.ipynb\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)
    assert not Path("out.ipynb").exists()


def test_the_default_output_is_passed_on(monkeypatch, capsys):
    monkeypatch.setattr(execution, "run_papermill", lambda notebook, values, output, results: output)
    assert cli.main(["run", "tiny", "-p", "seed=4"]) == 0
    assert capsys.readouterr().out == "notebook: runs/tiny-digits-0-smoke-s4.ipynb\nrecords:  results\n"


def test_ctrl_c_is_exit_code_130(clone, capsys):
    write_notebook(clone, "raise KeyboardInterrupt")
    assert cli.main(["run", "tiny", "--headless"]) == 130
    assert capsys.readouterr().err == "novelty: interrupted\n"


def test_the_end_of_a_batch_job_leaves_no_half_notebook(clone):
    process = subprocess.Popen(
        [sys.executable, "-m", "novelty_utils.cli", "run", "tiny", "-p", "act=pause", "--output", "new/out.ipynb"],
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if Path("waiting").exists():
            break
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "novelty: interrupted; what ran is in new/out.failed.ipynb\n"
    assert [path.name for path in Path("new").iterdir()] == ["out.failed.ipynb"]


def test_a_thread_may_run_a_command(capsys):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cli.main, ["params", "tiny"]).result() == 0
    assert "weight of a loss" in capsys.readouterr().out


def test_params_lists_type_default_and_description(capsys):
    assert cli.main(["params", "tiny"]) == 0
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: [word.strip() for word in row[1:] if word.strip()] for row in rows}
    assert list(table)[:2] == ["name", "dataset"]
    assert table["beta"] == ["number, >= 0", "0.5", "weight of a loss, eq. 1"]
    assert table["tier"][:2] == ["smoke | demo | paper", "smoke"]
    assert table["seed"][:2] == ["integer, >= 0, < 2147483648", "0"]


@pytest.mark.parametrize(("line", "text"), [("--version", f"novelty {__version__}\n"), ("--help", "run a notebook")])
def test_version_and_help(line, text, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([line])
    assert caught.value.code == 0
    assert text in capsys.readouterr().out


def test_the_command_line_loads_nothing_heavy():
    script = """\
import sys
from novelty_utils import cli
code = cli.main(["params", "tiny"])
heavy = {"torch", "torchvision", "numpy", "pandas", "sklearn", "matplotlib", "papermill", "nbformat", "IPython"}
heavy |= {"dask", "distributed", "yaml"}
print(code, sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_a_picture_that_cannot_be_read_is_told_after_the_bar_is_gone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(image_folders, "tqdm", lambda of, **how: tqdm(of, **how | {"disable": False, "delay": 0}))
    (tmp_path / "pictures").mkdir()
    file = tmp_path / "pictures" / "notes.txt"
    file.write_text("no picture")
    with pytest.raises(InputError):
        image_folders.pictures([file], 8)
    bar = capsys.readouterr().err
    assert "read images" in bar
    assert bar.endswith("\r"), "the line of an error begins where the bar was"


# --- what is around it is out of order -----------------------------------------------------------------------------

NOVELTY = f"{sys.executable} -m novelty_utils.cli"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("params tiny | head -1", 0, ""),
        ("params tiny | true", 0, ""),
        ("params tiny > /dev/full", 1, "novelty: cannot go on: No space left on device\n"),
        ("run icz > /dev/full 2> /dev/full", 2, ""),
        ("params tiny >&-", 0, ""),
        ("run icz 2>&-", 2, ""),
    ],
)
def test_an_output_that_takes_nothing_is_no_traceback(line, code, said):
    done = subprocess.run(["bash", "-c", f"{NOVELTY} {line}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_closed_error_output_swallows_what_it_would_get(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["run", "icz"]) == 2
    assert capsys.readouterr().out == ""


def test_a_letter_that_the_terminal_does_not_know_is_spelled_out(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.main(["run", "tiny", "--headless", "-p", "results=caf\u00e9"]) == 0
    assert b"records:  caf\\xe9" in written.getvalue()


def test_without_a_home_folder_a_refusal_is_one_line():
    done = subprocess.run(
        [*NOVELTY.split(), "fit", "nobody", "folder:.", "--save", "x.pt"],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": "/proc/nowhere", "MPLCONFIGDIR": "", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("novelty: detector 'nobody' is not known")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("line", ["run tiny", "sweep s.yml", "claims", "params tiny"])
def test_a_folder_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys, line):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(line.split()) == 2
    assert capsys.readouterr().err == "novelty: the current folder is gone: go to another one, such as the clone\n"


@pytest.mark.parametrize(
    "line",
    [
        "run tiny -p results=loop",
        "run tiny -p dataset=folder:loop",
        "run tiny --output loop.ipynb",
        "run loop.ipynb",
        "claims --results loop",
        "sweep loop",
    ],
)
def test_a_link_that_leads_to_itself_is_one_line(clone, capsys, line):
    for name in ("loop", "loop.ipynb"):
        Path(name).symlink_to(name)
    assert cli.main(line.split()) == 2
    err = capsys.readouterr().err
    assert "ymbolic links" in err and err.count("\n") == 1


LONG = "9" * 5000


@pytest.mark.parametrize(
    "line",
    [
        f"run tiny -p seed={LONG}",
        f"run tiny -p beta={LONG}",
        f"run tiny -p class_name={LONG}",
        f"sweep s.yml --workers {LONG}",
        f"sweep s.yml --hours {LONG}",
        "sweep s.yml --workers 1_0",
        "sweep s.yml --hours １",
    ],
    ids=range(7),
)
def test_numbers_of_5000_digits_and_unplain_ones_are_one_short_line(capsys, line):
    assert cli.main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and len(err) < 400


@pytest.mark.parametrize(
    "line", ["claims --results none", "claims --results .", "sweep none.yml", "run icz", "params icz"]
)
def test_a_refusal_waits_for_no_library(clone, line):
    code = f"import sys; from novelty_utils import cli; cli.main({line.split()}); print(set(sys.modules) & {HEAVY})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


HEAVY = {"torch", "pandas", "scipy", "matplotlib", "dask", "distributed", "sklearn"}
