"""The frame of the command line: help, faults, exit codes."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import everframe
from everframe.cli import main as entry
from everframe.cli.main import EXTRAS, VERB_EXTRAS, VERBS, main

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_the_verbs_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    for verb, summary in VERBS.items():
        assert (summary in shown) == (find_spec(f"everframe.cli.{verb}") is not None)
    assert main([]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("verb", ["restyle", "models", "prompts", "prune"])
def test_each_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    assert f"everframe {verb}" in capsys.readouterr().out.split("examples:")[1]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"everframe {everframe.__version__}\n"


def test_help_is_quick_and_loads_no_heavy_package() -> None:
    code = (
        "import sys; from everframe.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('numpy', 'torch', 'av', 'openvino', 'rich') if n in sys.modules])"
    )
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        times.append(time.perf_counter() - start)
        assert done.stdout.splitlines()[-1] == "[]"
    assert min(times) < 0.3


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nope"], "invalid choice: 'nope'"),
        (["restyle"], "IN"),
        (["restyle", "a.mp4"], "no prompt"),
        (["restyle", "a.mp4", "-p", ""], "the prompt is empty"),
        (["restyle", "a.mp4", "-p", "x" * 10_000], "10000 characters"),
        (["restyle", "a.mp4", "-p", "a", "--size", "1x1"], "nearest is 64x64"),
        (["restyle", "a.mp4", "-p", "a", "--strength", "7"], "not a number from 0 to 1"),
        (["restyle", "a.mp4", "-p", "a", "--steps", "3"], "invalid choice: 3"),
        (["restyle", "a.mp4", "-p", "a", "--limit", "0"], "whole number from 1"),
        (["restyle", "a.mp4", "-p", "a", "--fps", "x"], "not a frame rate"),
        (["restyle", "no-such.mp4", "-p", "a"], "no file no-such.mp4"),
        (["restyle", "a.mp4", "--timeline", "no.txt"], "cannot read the timeline"),
        (["restyle", "a.mp4", "--timeline", "no.txt", "-p", "a"], "not both"),
        (["restyle", "a.mp4", "-p", "a", "--stats", "no/such/folder.json"], "--stats"),
        (["restyle", "a.mp4", "-p", "\U0001f642"], "the prompt has no words"),
        (["models", "show"], "which model"),
        (["models", "show", "no-such"], "no model 'no-such'"),
        (["models", "list", "pocket"], "models show pocket"),
        (["prompts", "--model", "no-such"], "no model 'no-such'"),
        (["train", "debug", "--dry-run", "stes=3"], "did you mean steps"),
        (["train", "debug", "--dry-run", "steps"], "write key=value"),
        (["train", "debug", "--bogus", "steps=3"], "unrecognized arguments: --bogus steps=3"),
        (["restyle", "a.mp4", "-p", "a", "b=2"], "unrecognized arguments: b=2"),
        (["--bogus"], "--bogus"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("everframe: error: ")
    assert fault in shown.err
    assert shown.err.count("\n") == 1
    assert len(shown.err) < 400
    assert shown.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["streams=2", "steps=9", "--dry-run"],
        ["--dry-run", "streams=2", "steps=9"],
        ["streams=2", "--dry-run", "steps=9"],
        ["streams=2", "--out", "a=b", "steps=8", "--dry-run", "steps=9"],
    ],
    ids=" ".join,
)
def test_values_of_a_recipe_may_stand_before_and_after_options(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "debug", *words]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["streams"], config["steps"]) == (2, 9)


class Verb:
    """A verb that fails as told."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def add_parser(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
        subparsers.add_parser("models")

    def run(self, _args: argparse.Namespace) -> int:
        raise self._error


def gives(verb: Verb) -> Callable[[str], Verb]:
    """An `import_module` that always gives this verb."""

    def load(_name: str) -> Verb:
        return verb

    return load


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "everframe: interrupted\n"),
        (
            RuntimeError("boom"),
            1,
            "everframe: unexpected error: RuntimeError: boom; add --debug to see where\n",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            "everframe: error: everframe models needs torch, which is optional: "
            'pip install "everframe[train]"\n',
        ),
        (
            PermissionError(13, "Permission denied", "out.json"),
            2,
            "everframe: error: cannot use out.json (permission denied); check that",
        ),
        (OSError("odd"), 1, "everframe: unexpected error: OSError: odd"),
        (ModuleNotFoundError("No module named 'x'", name="x"), 1, "everframe: unexpected error"),
    ],
)
def test_faults_of_a_verb(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(entry, "import_module", gives(Verb(error)))
    assert main(["models"]) == status
    assert capsys.readouterr().err.startswith(message)


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "import_module", gives(Verb(RuntimeError("boom"))))
    assert main(["models", "--debug"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "add --debug" not in shown


def test_a_missing_extra_is_named_when_a_verb_is_imported() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'everframe.arch.bundle':\n"
        "            raise ModuleNotFoundError('no torch', name='torch.nn')\n"
        "from everframe.cli.main import main\n"
        "sys.meta_path.insert(0, Block())\n"
        "sys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'pip install "everframe[train]"' in done.stderr


def test_the_extras_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in {*EXTRAS.values(), *VERB_EXTRAS.values()}:
        assert f"\n{extra} = [" in text, extra
    assert VERB_EXTRAS.keys() <= VERBS.keys()


def test_python_dash_m_gives_the_exit_status() -> None:
    command = [sys.executable, "-m", "everframe", "restyle", "no-such.mp4", "-p", "neon"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.returncode == 2
    assert done.stderr.startswith("everframe: error: no file no-such.mp4")
