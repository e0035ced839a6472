"""Stop requests."""

import signal

from fgu_jax.training.stopping import Stopped, StopRequest


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
