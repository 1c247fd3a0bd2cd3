import pytest
from notebook_cells import names_of_page


@pytest.fixture(scope="session")
def board(tmp_path_factory) -> dict:
    """The names of the leaderboard after its own run, on digits and on the committed records."""
    return names_of_page("leaderboard", results=str(tmp_path_factory.mktemp("results")))
