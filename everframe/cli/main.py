"""The command `everframe`: finds the verb, runs it, and turns faults into one line.

Only the module of the verb that was asked for is imported, so that `everframe --help` is quick and
needs none of the optional packages.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn, cast

from everframe import __version__
from everframe.cli.verb import VerbModule
from everframe.core.errors import UserError

EXIT_FAULT = 1
"""An unexpected fault: ours."""
EXIT_INPUT = 2
"""Bad input: the message says how to mend it."""
EXIT_INTERRUPTED = 130
"""Ctrl-C."""

EXAMPLES = """\
examples:
  everframe restyle clip.mp4 -p "pencil sketch"
  everframe restyle clip.mp4 -p "pencil sketch" -p "4s:neon night" --compare
  everframe restyle camera:0 -p "oil painting" -o me.mp4     (Ctrl-C ends it)
  everframe live                                             (a page for your webcam)
  everframe prompts                                          (looks that the model knows)

`everframe VERB --help` explains a verb.
"""


VERBS = {
    "restyle": "restyle a video, a camera or pictures by a prompt",
    "live": "restyle live in the browser and for OBS",
    "models": "list the models on this machine",
    "prompts": "list the looks a model knows, with example prompts",
    "data": "make and inspect training data",
    "train": "train a model with a recipe",
    "prune": "make a model smaller, to a budget of measured milliseconds",
    "distill": "teach a small model to need fewer steps",
    "evaluate": "measure quality, drift and prompt fidelity",
    "export": "write a model as ONNX files",
    "bench": "measure speed on this machine",
}
"""Verb -> its line in `everframe --help`; its module is `everframe.cli.<verb>`."""

VERB_EXTRAS = {"evaluate": "evaluate", "restyle": "gpu", "bench": "gpu", "live": "gpu"}
"""Verb -> the extra that has all it needs, torch among it; for the others `EXTRAS` says."""

EXTRAS = {
    "torch": "train",
    "tensorboard": "train",
    "onnxruntime": "onnxruntime",
    "h5py": "evaluate",
    "cv2": "evaluate",
    "matplotlib": "evaluate",
    "aiortc": "webrtc",
    "reactor_webrtc": "webrtc-native",
    "pyvirtualcam": "virtual-camera",
}
"""Optional package -> the extra that installs it."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose faults are `UserError`s, so that all input faults look the same."""

    def error(self, message: str) -> NoReturn:
        """Raise the fault with a pointer to the help."""
        raise UserError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _dispatch([argument for argument in arguments if argument != "--debug"])
    except UserError as error:
        _explain(f"error: {error}", debug=debug)
        return EXIT_INPUT
    except KeyboardInterrupt:
        _explain("interrupted", debug=debug)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return EXIT_FAULT
    except OSError as error:
        if error.filename is None:
            return _unexpected(error, debug=debug)
        why = (error.strerror or type(error).__name__).lower()
        fix = "check that the path exists, its permissions and the space left"
        _explain(f"error: cannot use {error.filename} ({why}); {fix}", debug=debug)
        return EXIT_INPUT
    except Exception as error:
        return _unexpected(error, debug=debug)


def _unexpected(error: Exception, *, debug: bool) -> int:
    hint = "" if debug else "; add --debug to see where"
    _explain(f"unexpected error: {type(error).__name__}: {error}{hint}", debug=debug)
    return EXIT_FAULT


def _dispatch(arguments: list[str]) -> int:
    parser = Parser(
        prog="everframe",
        description="Live-stream diffusion: restyle endless video by a prompt, frame by frame.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"everframe {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    module: VerbModule | None = None
    for name, summary in VERBS.items():
        if find_spec(f"everframe.cli.{name}") is None:
            continue
        if name == wanted:
            module = _load(name)
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    args, late = parser.parse_known_args(arguments)
    _take_late(parser, args, late)
    if module is None:
        parser.print_help()
        return EXIT_INPUT if arguments else 0
    try:
        return module.run(args)
    except ModuleNotFoundError as error:
        raise _missing(error, str(wanted)) from error


def _take_late(parser: Parser, args: argparse.Namespace, late: list[str]) -> None:
    """Give a verb that has `assignments` those that follow an option too: argparse fills a `*`
    positional once only.
    """
    taken = "assignments" in args and not any(argument.startswith("-") for argument in late)
    if late and not taken:
        parser.error(f"unrecognized arguments: {' '.join(late)}")
    if late:
        args.assignments = [*args.assignments, *late]


def _load(verb: str) -> VerbModule:
    try:
        return cast(VerbModule, import_module(f"everframe.cli.{verb}"))
    except ModuleNotFoundError as error:
        raise _missing(error, verb) from error


def _missing(error: ModuleNotFoundError, verb: str) -> Exception:
    package = (error.name or "").split(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return error
    if package == "torch":
        extra = VERB_EXTRAS.get(verb, extra)
    return UserError(
        f'everframe {verb} needs {package}, which is optional: pip install "everframe[{extra}]"'
    )


def _explain(message: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"everframe: {message}", file=sys.stderr)
