"""The examiner: runs the tests of an assignment, outside the sandbox, on the functions of a submission inside it.

To a test the names that the exercises ask for look as in the notebook. A function is a stand-in that sends its arguments
into the sandbox and gives back what comes out; a number or set has been fetched as a value. Nothing that a submission does to
its own Python reaches the test, the expected value or the mark.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from nbformat import NotebookNode

from . import sandbox

HIDDEN = re.compile(
    r"^### BEGIN HIDDEN TESTS\n.*?^### END HIDDEN TESTS\n?", re.DOTALL | re.MULTILINE
)
SOLVED = re.compile(
    r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL | re.MULTILINE
)
LONGEST = 10_000  # characters of a text that a submission defines or returns
ARRAY = re.compile(r"[<>=|]?[biufc]\d{1,2}")


class AnswerError(Exception):
    """A submission's function raised an error or returned something that is no value."""


def decode(told: Mapping) -> object:
    """The value of what `student.encode` wrote; it was written by a stranger, so anything odd is an AnswerError."""
    try:
        return _decode(told)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise AnswerError(
            f"a result could not be read ({type(error).__name__})"
        ) from None


def _decode(told: Mapping) -> object:
    kind = told["kind"]
    if kind == "plain" and isinstance(told["value"], str):
        return told["value"][:LONGEST]
    if kind == "plain" and (told["value"] is None or isinstance(told["value"], bool)):
        return told["value"]
    if kind in {"int", "float"}:
        return {"int": int, "float": float}[kind](str(told["value"])[:400])
    if kind in {"tuple", "list", "set", "frozenset"}:
        return {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset}[kind](
            map(_decode, told["items"])
        )
    if kind in {"array", "scalar"}:
        if not ARRAY.fullmatch(told["dtype"]):
            raise ValueError("an array of no known type")
        array = (
            np.frombuffer(base64.b64decode(told["data"]), told["dtype"])
            .reshape(told["shape"])
            .copy()
        )
        return array if kind == "array" else array[()]
    if kind == "tensor":
        return torch.from_numpy(_decode(told["array"])).requires_grad_(
            bool(told["gradient"])
        )
    raise AnswerError(
        f"a {str(told.get('type', 'thing'))[:60]} is neither a number, nor an array, nor a tensor"
    )


class _Slope(torch.autograd.Function):
    """Lets a test call backward() on a scalar that was computed in the sandbox, with its gradients."""

    @staticmethod
    def forward(ctx, value, gradients, *tensors):
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx, of_value):
        return None, None, *(None if g is None else of_value * g for g in ctx.gradients)


class Remote:
    """A function of the submission."""

    def __init__(self, student: sandbox.Sandbox, name: str) -> None:
        self.__name__, self._student = name, student

    def __call__(self, *arguments: object, **keywords: object) -> object:
        try:
            told = self._student.ask("call", self.__name__, arguments, keywords)
        except sandbox.FailedError as failed:
            if failed.slow:
                raise
            raise AnswerError(f"{self.__name__} raised {failed}") from None
        if not isinstance(told, dict):
            raise AnswerError(f"{self.__name__} gave no result")
        everything = [*arguments, *keywords.values()]
        modules = [a for a in everything if isinstance(a, torch.nn.Module)]
        for module, state in zip(modules, told.get("modules", []), strict=True):
            _put_back(module, state)
        value = decode(told.get("value"))
        asking = [
            a for a in everything if isinstance(a, torch.Tensor) and a.requires_grad
        ]
        if asking and isinstance(value, torch.Tensor) and told.get("gradients"):
            gradients = [None if g is None else decode(g) for g in told["gradients"]]
            return _Slope.apply(value.detach(), gradients, *asking)
        return value


def _put_back(module: torch.nn.Module, told: Mapping) -> None:
    """What became of a network in the sandbox: modes, weights, buffers."""
    for part, training in zip(module.modules(), told["training"], strict=True):
        part.training = bool(training)
    module.load_state_dict(
        {name: decode(value) for name, value in told["tensors"].items()}
    )


@dataclass
class Mark:
    """What a test cell gets: `share` of its points, 0 or 1, None where a reader decides; why; and whether a reader should look all the same."""

    share: float | None
    why: str = ""
    trace: str = ""
    review: str = ""


@dataclass
class Exercise:
    """A cell of the assignment that students write in: the names it is asked for, and the reference."""

    grade_id: str
    names: set[str]
    reference: str
    tests: set[str]


class Exam:
    """One submission before the examiner; `paper` is the assignment's source notebook."""

    def __init__(self, paper: NotebookNode, student: sandbox.Sandbox) -> None:
        self.paper, self.student = paper, student
        self.world: dict = {"__name__": "exam"}
        self.told: set[int] = set()
        self.missed: set[str] = set()  # exercises of which a test failed
        self.marked: set[str] = set()  # tests that have had their one chance

    def test(self, grade_id: str, written: Mapping[str, str]) -> Mark:
        """Run one test cell; `written` holds the submission's cells by grade_id.

        A test stands on its own. Where it fails and an earlier exercise failed as well, right solutions of the earlier ones
        are put in its place and it is tried once more.
        """
        place = next(
            i
            for i, cell in enumerate(self.paper.cells)
            if about(cell).get("grade_id") == grade_id
        )
        earlier = exercises(self.paper.cells, place)
        own = earlier[-1]
        source = self.paper.cells[place].source
        mark = self.attempt(place, earlier, source)
        # A reference goes into the sandbox only when no test can be won with it any more.
        others = [
            e
            for e in earlier[:-1]
            if e.grade_id in self.missed and e.tests <= self.marked
        ]
        if mark.share == 0 and others and not self.student.ended:
            mark = (
                self.again(
                    place, earlier, others, source, written.get(own.grade_id, "")
                )
                or mark
            )
        self.marked.add(grade_id)
        if mark.share != 1:
            self.missed.add(own.grade_id)
        return mark

    def again(self, place, earlier, others, source, own) -> Mark | None:
        names = set().union(*(e.names for e in earlier))
        try:
            try:
                self.student.ask(
                    "stand_in", names, [*(e.reference for e in others), own]
                )
                second = self.attempt(place, earlier, source)
            finally:
                self.student.ask("restore")
        except (sandbox.FailedError, sandbox.GoneError):
            return None
        return second if second.share == 1 else None

    def attempt(self, place: int, earlier: list[Exercise], source: str) -> Mark:
        try:
            given = [cell.source for cell in self.paper.cells[:place] if is_given(cell)]
            needed = set().union(*map(mentioned, [source, *given]))
            self.fetch(needed & set().union(*(e.names for e in earlier)))
            self.give(place)
            exec(compile(source, "test", "exec"), self.world)
        except sandbox.GoneError as gone:
            return Mark(None if gone.slow else 0, f"NotFinished: {gone}")
        except sandbox.FailedError as failed:
            return (
                Mark(
                    None,
                    f"TimeOut: stopped after {self.student.seconds:g} s of processor time",
                )
                if failed.slow
                else Mark(0, str(failed))
            )
        except Exception as error:
            return Mark(0, said(error), where(error, source))
        return Mark(1)

    def fetch(self, names: set[str]) -> None:
        """Bind what the submission defines under these names."""
        found = self.student.ask("look", sorted(names))
        for name in names:
            self.world.pop(name, None)
            if isinstance(found, dict) and name in found:
                function = found[name].get("kind") == "function"
                self.world[name] = (
                    Remote(self.student, name) if function else decode(found[name])
                )

    def give(self, place: int) -> None:
        """Run the cells that the assignment gives, up to this place, once each."""
        for number, cell in enumerate(self.paper.cells[:place]):
            if (
                about(cell)
                and not about(cell)["solution"]
                and not about(cell)["grade"]
                and number not in self.told
            ):
                self.told.add(number)
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(cell.source, "given", "exec"), self.world)


def about(cell: NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def is_given(cell: NotebookNode) -> bool:
    return (
        bool(about(cell)) and not about(cell)["solution"] and not about(cell)["grade"]
    )


def is_exercise(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(about(cell).get("solution"))


def is_test(cell: NotebookNode) -> bool:
    return (
        cell.cell_type == "code"
        and bool(about(cell).get("grade"))
        and not about(cell)["solution"]
    )


def mentioned(source: str) -> set[str]:
    return {
        node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)
    }


def exercises(cells: list[NotebookNode], place: int) -> list[Exercise]:
    """The exercises before a place, each with the names that it asks for and the tests that follow it."""
    found: list[Exercise] = []
    for number, cell in enumerate(cells):
        if is_exercise(cell) and number < place:
            found.append(
                Exercise(
                    about(cell)["grade_id"], asked_for(cell.source), cell.source, set()
                )
            )
        elif is_exercise(cell):
            break
        elif is_test(cell) and found:
            found[-1].tests.add(about(cell)["grade_id"])
    return found


def asked_for(source: str) -> set[str]:
    """The names that a cell binds outside its solution."""
    names: set[str] = set()
    for node in ast.parse(SOLVED.sub(r"\1pass", source)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {
                leaf.id
                for target in node.targets
                for leaf in ast.walk(target)
                if isinstance(leaf, ast.Name)
            }
    return names


def visible(source: str) -> str:
    """A test cell as students have it."""
    return HIDDEN.sub("", source)


def said(error: Exception) -> str:
    text = str(error)[:LONGEST]
    if isinstance(error, AnswerError | AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where(error: Exception, source: str) -> str:
    """The line of the test at which it ended."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == "test"
    ]
    return source.splitlines()[frames[-1].lineno - 1].strip() if frames else ""
