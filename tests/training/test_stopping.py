"""Interruption by Ctrl-C."""

import signal

import pytest

from vaebench.training.stopping import stoppable


def interrupt_after_the_last_step():
    with stoppable() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)


def test_a_request_after_the_last_step_is_not_lost():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_last_step()
    assert signal.getsignal(signal.SIGINT) is before
    with stoppable() as stopped:
        assert not stopped()
