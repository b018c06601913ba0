"""A fixture that writes finished runs."""

import pytest
from made_up import write_run


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a finished run."""
    return lambda **changes: write_run(tmp_path / "run", **changes)
