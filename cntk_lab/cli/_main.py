"""The command line: reads the arguments, calls one function, turns its outcome into an exit status.

Exit status 0 means done, 1 that something named on standard error went wrong, 2 that the arguments make no sense, 130
that the user stopped it. What the commands do is in the files beside this one, which load when they are asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cntk_lab import __version__
from cntk_lab.errors import LabError

DONE, WENT_WRONG, STOPPED = 0, 1, 130
MODELS = ("convnet", "mlp")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `cntk-lab` command and return its exit status.

    Args:
        arguments: the words after the command's name; those of the process if None.

    Returns:
        0, 1 or 130, as a shell expects it.

    Raises:
        SystemExit: with status 2 if the arguments make no sense, 0 after --help and --version.

    Example:
        >>> main(["demo", "--epochs", "0"])
        Traceback (most recent call last):
        SystemExit: 2

    Source: this project.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    chosen = _parser().parse_args(words[:cut])
    try:
        return _run(chosen, words[cut + 1 :])
    except LabError as error:
        sys.stdout.flush()
        sys.stderr.write(f"error: {error}\n")
        return WENT_WRONG
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return STOPPED


def _run(chosen: argparse.Namespace, for_jupyter: list[str]) -> int:
    if chosen.command == "demo":
        from cntk_lab.cli._demo import run_demo

        run_demo(
            Path(chosen.out), model=chosen.model, epochs=chosen.epochs, seed=chosen.seed, offline=chosen.offline or None
        )
        return DONE
    if chosen.command == "convert":
        from cntk_lab.cli._convert import convert

        sys.stdout.write(convert(chosen.model, chosen.target, verify=not chosen.no_verify, opset=chosen.opset) + "\n")
        return DONE
    if chosen.command == "doctor":
        from cntk_lab.cli._doctor import report

        sys.stdout.write(report() + "\n")
        return DONE
    from cntk_lab.cli._lab import open_lab

    folder = Path(chosen.folder) if chosen.folder else None
    return open_lab(folder, browser=not chosen.no_browser, port=chosen.port, more=for_jupyter)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cntk-lab",
        description="Opens JupyterLab on your copy of the tutorials; with a command, does that instead.",
        usage="%(prog)s [options] [COMMAND ...] [-- options of JupyterLab]",
        epilog="Your notebooks are never overwritten: tutorials are copied only where they are missing.",
    )
    parser.add_argument("--version", action="version", version=f"cntk-lab {__version__}")
    parser.add_argument(
        "--folder", metavar="DIR", help="where your copy of the tutorials is (default: cntk-lab-tutorials)"
    )
    parser.add_argument("--no-browser", action="store_true", help="start JupyterLab without opening a browser")
    parser.add_argument("--port", type=int, help="port of JupyterLab (default: the first free one from 8888)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train a model on MNIST and draw it",
        description="Trains a model on MNIST, prints its test error, writes graph.svg and curves.png.",
    )
    demo.add_argument(
        "--out", metavar="DIR", default=".", help="folder for graph.svg and curves.png (default: this one)"
    )
    demo.add_argument("--model", choices=MODELS, default=MODELS[0], help="which model to train (default: %(default)s)")
    demo.add_argument("--epochs", type=_positive, help="passes over the training images (default: the model's own)")
    demo.add_argument(
        "--seed", type=int, default=1, help="of initial weights and order of images (default: %(default)s)"
    )
    demo.add_argument("--offline", action="store_true", help="use only what is on this machine, download nothing")
    convert = commands.add_parser(
        "convert",
        help="write a model file in another format",
        description="Reads a model and writes it in the format that the other name ends with. ONNX is run beside "
        "the model before they are kept.",
    )
    convert.add_argument("model", metavar="MODEL", help="the file to read")
    convert.add_argument("target", metavar="TARGET", help="the file to write: *.onnx, *.model (CNTK v2) or *.dnn (v1)")
    convert.add_argument("--opset", type=_positive, help="version of ONNX's operators (default: the lowest needed)")
    convert.add_argument("--no-verify", action="store_true", help="write ONNX without running it")
    commands.add_parser(
        "doctor",
        help="say what runs here and how to get what is missing",
        description="Says what runs on this machine.",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
