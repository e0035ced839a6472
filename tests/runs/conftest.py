"""A folder of checkpoints."""

import pytest
from saved_states import PAST, drawn_state

from fgu_jax.runs.checkpoints import Checkpoints


@pytest.fixture
def saved(tmp_path):
    """A folder with checkpoints 3 and 6."""
    folder = tmp_path / "checkpoints"
    writer = Checkpoints(folder)
    writer.save(drawn_state(3), PAST)
    writer.save(drawn_state(6), PAST)
    writer.close()
    return folder
