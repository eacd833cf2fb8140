"""The `cntk-lab` command (a door): ``main`` opens the lab, trains the demo, or says what runs here."""

from cntk_lab.cli._main import main

__all__ = ["main"]
