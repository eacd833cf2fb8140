"""The progress bar in a terminal, in a log, and when the size is not known."""

import io

import pytest

from cntk_lab.datasets import _progress
from cntk_lab.datasets._progress import Progress, megabytes


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("count", "words"), [(0, "0.0 MB"), (22_844, "22.8 kB"), (11_496_804, "11.5 MB")])
def test_bytes_in_words(count, words):
    assert megabytes(count) == words


def test_a_terminal_redraws_one_line(monkeypatch):
    monkeypatch.setattr(_progress, "REDRAW_SECONDS", 0)
    stream = Terminal()
    with Progress("digits", 2_000_000, stream) as progress:
        progress.update(500_000)
        progress.update(1_000_000)
    assert stream.getvalue().split("\r")[1:] == [
        "digits: [######..................]  25 %  0.5 MB of 2.0 MB",
        "digits: [############............]  50 %  1.0 MB of 2.0 MB",
        "digits: [########################] 100 %  2.0 MB of 2.0 MB\n",
    ]


def test_an_unknown_size_counts_bytes(monkeypatch):
    monkeypatch.setattr(_progress, "REDRAW_SECONDS", 0)
    stream = Terminal()
    with Progress("digits", None, stream) as progress:
        progress.update(1_500_000)
    assert stream.getvalue() == "\rdigits: 1.5 MB\rdigits: 1.5 MB\n"


def test_redrawing_is_at_most_ten_times_a_second():
    stream = Terminal()
    progress = Progress("digits", 1000, stream)
    for done in range(1000):
        progress.update(done)
    assert stream.getvalue().count("\r") < 10


def test_a_shorter_line_wipes_the_longer_one(monkeypatch):
    monkeypatch.setattr(_progress, "REDRAW_SECONDS", 0)
    stream = Terminal()
    progress = Progress("digits", None, stream)
    progress.update(10_000_000)
    progress.update(1_000_000)
    assert stream.getvalue().endswith("\rdigits: 1.0 MB ")


def test_a_log_gets_a_line_per_quarter():
    stream = io.StringIO()
    with Progress("digits", 1_000_000, stream) as progress:
        for done in range(0, 600_000, 1000):
            progress.update(done)
    assert [line[:9] + line[34:41] for line in stream.getvalue().splitlines()] == [
        "digits: [  25 % ",
        "digits: [  50 % ",
        "digits: [ 100 % ",
    ]


def test_a_transfer_that_ended_early_is_not_drawn_as_complete():
    stream = Terminal()
    progress = Progress("digits", 1000, stream)
    progress.update(100)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert " 10 %" in stream.getvalue()
    assert "100 %" not in stream.getvalue()


def test_a_notebook_redraws_like_a_terminal(monkeypatch):
    class ZMQInteractiveShell:
        pass

    class FakeIPython:
        get_ipython = staticmethod(ZMQInteractiveShell)

    monkeypatch.setitem(_progress.sys.modules, "IPython", FakeIPython)
    stream = io.StringIO()
    Progress("digits", 1000, stream).update(500)
    assert stream.getvalue().startswith("\rdigits: [####")


def test_switched_off_it_draws_nothing():
    stream = Terminal()
    with Progress("digits", 1000, stream, enabled=False) as progress:
        progress.update(500)
    assert not stream.getvalue()
