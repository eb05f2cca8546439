"""Stop signals: what is remembered, what raises at once, and what several processes agree on."""

import os
import signal
import time

import pytest

from ldyn.errors import Interrupted
from ldyn.processes import signals
from ldyn.processes.signals import StopRequest, signals_held_back


def test_the_same_request_seen_twice_is_one():
    with StopRequest() as stop:
        stop.graceful = True
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM


def test_a_second_request_raises_at_once(monkeypatch):
    monkeypatch.setattr(signals, "ECHO_SECONDS", 0.01)
    with StopRequest() as stop:
        stop.graceful = True
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        with pytest.raises(Interrupted, match="SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("order", [(signal.SIGTERM, signal.SIGUSR2), (signal.SIGUSR2, signal.SIGTERM)])
def test_slurm_s_two_signals_are_one_wish_to_be_requeued(order, monkeypatch):
    monkeypatch.setattr(signals, "ECHO_SECONDS", 0.01)
    with StopRequest() as stop:
        stop.graceful = True
        for number in order:
            os.kill(os.getpid(), number)
            time.sleep(0.02)
        assert stop.signal_number == signal.SIGUSR2
        assert stop.interrupted().exit_code == 128 + signal.SIGUSR2


def test_processes_agree_on_the_signal_that_weighs_most():
    weights = []
    for number in (None, signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        stop = StopRequest()
        stop.signal_number = number
        weights.append(stop.weight)
    assert weights == sorted(set(weights))
    stop = StopRequest()
    assert not stop.agree_on(0)
    assert stop.signal_number is None
    assert stop.agree_on(weights[-1])
    assert stop.signal_number == signal.SIGUSR2


def test_without_grace_the_first_raises():
    with StopRequest(), pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_they_wait_for_the_end_of_a_block():
    done = []

    def write():
        with signals_held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("written")

    with StopRequest(), pytest.raises(Interrupted):
        write()
    assert done == ["written"]
