"""Stop requests and the watch over losses."""

import signal

import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.training.stopping import Stopped, StopRequest, Watch


def test_the_first_signal_is_noted_and_the_second_acts():
    acted = []
    signal.signal(signal.SIGTERM, lambda *_: acted.append(1))
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.signum is None
            stop.look()
            assert stop.signum == signal.SIGTERM
            assert not acted
            signal.raise_signal(signal.SIGTERM)
            assert acted == [1]
        signal.raise_signal(signal.SIGTERM)
        assert acted == [1, 1]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_the_exit_code_names_the_signal():
    assert Stopped(signal.SIGINT).code == 130
    assert Stopped(signal.SIGTERM).code == 143


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named(value):
    watch = Watch(3)
    watch.push(7, {"loss": np.float32(1)})
    watch.push(8, {"loss": np.float32(value)})
    with pytest.raises(InputError, match=rf"loss is {value} in epoch 3, step 8"):
        watch.check()


def test_losses_are_read_one_step_late():
    watch = Watch(1, every=0.0)
    assert watch.push(1, {"loss": np.float32(np.nan)})  # not read: the newest
    with pytest.raises(InputError, match="step 1"):
        watch.push(2, {"loss": np.float32(0)})
