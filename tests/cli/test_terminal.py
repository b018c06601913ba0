"""Progress lines where output is no terminal, and interruption after a time limit."""

import signal
import time

import pytest

from vaebench.cli.terminal import interrupted_after, progress
from vaebench.core.progress import ProgressEvent


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_the_time_limit_acts_like_ctrl_c(handler):
    previous, usual = signal.getsignal(signal.SIGALRM), signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.05):
            time.sleep(30)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert signal.getsignal(signal.SIGALRM) is previous


def test_the_time_limit_calls_the_handler_of_sigint():
    signals = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    try:
        with interrupted_after(0.05):
            time.sleep(0.3)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert signals == [signal.SIGINT]


def test_work_within_the_time_limit_is_not_interrupted():
    with interrupted_after(0.05):
        pass
    with interrupted_after(None):
        time.sleep(0.1)


def test_a_log_has_one_line_a_step_and_a_line_an_epoch(capsys):
    with progress() as callback:
        for note in ("vae, step 1 of 9", "vae, step 2 of 9", "head", "head"):
            callback(ProgressEvent("A", 0.1, note=note))
        callback(ProgressEvent("training", 0.5, 12.0, {"epoch": 3, "loss": 7.0}))
    lines = capsys.readouterr().err.splitlines()
    assert "A: 10%, vae, step 1 of 9" in lines
    assert "A: 10%, head" in lines
    assert "training: epoch 3: validation loss 7.00 nats, 12 s left" in lines
    assert sum(line.startswith("A: 10%") for line in lines) == 2


@pytest.mark.parametrize("forced", [True, False], ids=["terminal", "log"])
def test_a_name_that_looks_like_markup_is_shown_as_it_is(capsys, monkeypatch, forced):
    monkeypatch.setenv("FORCE_COLOR" if forced else "NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with progress() as callback:
        callback(ProgressEvent("reading [red]a[/b]", 0.5, note="[bold]c[/d]"))
    shown = capsys.readouterr().err
    assert "reading [red]a[/b]" in shown
    assert "[bold]c[/d]" in shown
