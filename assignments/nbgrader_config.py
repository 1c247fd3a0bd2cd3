"""nbgrader's settings for the course; `make assignments` puts a copy into the course folder that it builds.

nbgrader reads it as code. The two classes close gaps of nbgrader 0.9: it gives full marks to a test cell that never
ran, none to one that printed a warning, and drops a submission whose kernel dies.
"""

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader import preprocessors
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade, is_solution

NOT_RUN = "NotFinished"


class RestoreGradedCells(preprocessors.NbGraderPreprocessor):
    """Give known cells the metadata that they were released with, and put graded cells that are gone at the end.

    The text of a locked cell is restored by OverwriteCells afterwards. The end is a good place, because a test cell needs
    nothing but what the exercises define, and the gradebook does not know the order of cells.
    """

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            released = gradebook.find_notebook(about["notebook"], about["assignment"])
            points = {cell.name: cell.max_score for cell in released.grade_cells}
            solutions = {cell.name for cell in released.solution_cells}
            sources = {cell.name: cell for cell in released.source_cells}
            metadata = {
                name: _metadata(cell, name in solutions, points.get(name))
                for name, cell in sources.items()
            }
            for cell in reversed(nb.cells):  # of two with one name the last counts
                grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
                cell.metadata.pop("nbgrader", None)
                if grade_id in metadata:
                    cell.metadata.nbgrader = NotebookNode(metadata.pop(grade_id))
            for name in sorted(points.keys() & metadata.keys()):
                self.log.warning(
                    "Cell '%s' is gone from the submission: put back at its end", name
                )
                make = (
                    new_code_cell
                    if sources[name].cell_type == "code"
                    else new_markdown_cell
                )
                nb.cells.append(
                    make(sources[name].source, metadata={"nbgrader": metadata[name]})
                )
        return nb, resources


def _metadata(cell, solution, points):
    known = {
        "grade_id": cell.name,
        "locked": cell.locked,
        "solution": solution,
        "grade": points is not None,
    }
    known |= {
        "task": False,
        "schema_version": 3,
        "cell_type": cell.cell_type,
        "checksum": cell.checksum,
    }
    return known | ({"points": points} if points is not None else {})


class ExecuteAndProve(preprocessors.Execute):
    """Run a submission; a test cell earns its points only if the kernel said that it ran to its end without an error."""

    def preprocess(self, nb, resources=None, km=None):
        self.finished = set()
        why = "the kernel did not report that this cell ran to its end"
        try:
            nb, resources = super().preprocess(nb, resources, km)
        except Exception as error:  # a dead kernel, or one that cannot be interrupted
            why = f"the kernel died or could not be stopped ({type(error).__name__}) in this cell or in one before it"
            self.log.error(
                "%s; the test cells that had not finished get no points", why
            )
        for cell in nb.cells:
            if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
                _settle(cell, cell.metadata.nbgrader.grade_id in self.finished, why)
        return nb, resources

    def on_cell_executed(self, **about):
        super().on_cell_executed(**about)
        if about["execute_reply"]["content"]["status"] == "ok":
            self.finished.add(
                about["cell"].metadata.get("nbgrader", {}).get("grade_id")
            )


def _settle(cell, finished, why):
    """What nbgrader reads marks from: an error output means no points, and so would anything on stderr."""
    failed = any(output.output_type == "error" for output in cell.outputs)
    if finished and not failed:
        for output in cell.outputs:
            if output.output_type == "stream":
                output.name = "stdout"  # a warning is not a mistake
    elif not failed:
        text = f"{NOT_RUN}: {why}: 0 points"
        cell.outputs.append(
            new_output("error", ename=NOT_RUN, evalue=why, traceback=[text])
        )


c = get_config()  # noqa: F821  nbgrader defines it
c.CourseDirectory.course_id = "novelty"
c.ExecuteAndProve.timeout = (
    60  # seconds for a cell; the slowest is the one that imports PyTorch
)
c.Autograde.sanitize_preprocessors = [
    preprocessors.ClearOutput,
    RestoreGradedCells,
    preprocessors.DeduplicateIds,
    preprocessors.OverwriteKernelspec,
    preprocessors.OverwriteCells,
    preprocessors.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    ExecuteAndProve,
    preprocessors.IgnorePattern,
    ClearMetadataPreprocessor,
    preprocessors.LimitOutput,
    preprocessors.SaveAutoGrades,
    preprocessors.AssignLatePenalties,
    preprocessors.CheckCellMetadata,
]
