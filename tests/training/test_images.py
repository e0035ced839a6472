"""Where the training images of a run live, on devices of which only some are ours."""

import jax
import numpy as np
import pytest

from fgu_jax.config import presets
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training.images import place_images

IMAGES = np.arange(3 * 4 * 2 * 3, dtype=np.uint8).reshape(3, 4, 2, 3)  # 72 bytes


class Accelerator:
    """A device of this process, of which a free share is known."""

    platform = "gpu"

    def __init__(self, memory):
        self._memory = memory

    def memory_stats(self):
        return None if self._memory is None else {"bytes_limit": self._memory}


@pytest.fixture
def place(monkeypatch):
    def nobody(*_):
        raise AssertionError("devices of other processes were asked")

    def placed(where, memory=None, any_process=None):
        device = Accelerator(memory)
        mesh = make_mesh(2)
        with monkeypatch.context() as patch:
            patch.setattr(jax, "local_devices", lambda: [device])
            patch.setattr(jax, "devices", nobody)
            if any_process is not None:
                patch.setattr(processes, "maximum", any_process)
            config = presets.resolve({"images_on_device": where})
            return place_images(config, IMAGES, mesh)

    return placed


def test_auto_asks_a_device_of_its_own_process(place):
    # 40% of the memory may be taken: 72 bytes of 180.
    np.testing.assert_array_equal(place("auto", 180), IMAGES)
    assert place("auto", 179) is None
    assert place("auto", None) is None
    assert place("never", 180) is None
    np.testing.assert_array_equal(place("always", 1), IMAGES)


@pytest.mark.parametrize("where", ["auto", "always", "never"])
def test_all_processes_do_what_the_poorest_can(place, where):
    said = []

    def another_cannot(value):
        said.append(value)
        return 1

    assert place(where, 1 << 20, another_cannot) is None
    assert said == [where == "never"]
