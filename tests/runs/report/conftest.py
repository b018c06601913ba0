"""A fixture that makes finished runs."""

import pytest
from made_up import write_run


@pytest.fixture
def make_run(tmp_path):
    """Makes a finished run in a fresh folder."""
    return lambda **changes: write_run(tmp_path / "run", **changes)
