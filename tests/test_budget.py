"""Budgets that keep the tree readable: sizes, names, and what code may not do."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("everframe", "tests", "benchmarks", "examples")
FILE_LINES = 400
FUNCTION_LINES = 60
ROOT_ENTRIES = 14
DRAWERS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
PRINTING = ("everframe/cli/", "everframe/recipes/", "benchmarks/")
ALLOWED_REFLECTION = {
    "everframe/arch/program.py": "a program stores its primitives by name",
    "tests/runtime/megakernel/gluon_machine.py": "takes Triton's constants as they are",
    "tests/runtime/megakernel/gluon_shim.py": "rewrites the kernel's functions; operators by name",
}
"""File -> why it must use getattr, hasattr, setattr or `global`."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files() -> list[Path]:
    """Every Python file of the tree, in a stable order."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """The path as written in a message."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def calls_to(path: Path, names: set[str]) -> Iterator[int]:
    """Lines that call one of the built-in `names`."""
    for node in ast.walk(tree_of(path)):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in names:
            yield called.lineno


def test_there_are_files_to_check() -> None:
    assert "everframe/core/config.py" in {name_of(path) for path in python_files()}


def test_files_are_short() -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()
    }
    assert {name: n for name, n in lengths.items() if n > FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": length
        for path in python_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, Function)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_there_are_no_drawers() -> None:
    parts = {
        name_of(path)
        for path in python_files()
        if DRAWERS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    }
    assert parts == set()


def test_only_the_command_line_and_benchmarks_print() -> None:
    lines = [
        f"{name_of(path)}:{line}"
        for path in python_files()
        if not name_of(path).startswith(PRINTING)
        for line in calls_to(path, {"print"})
    ]
    assert lines == []


def test_no_reflection_and_no_globals() -> None:
    lines = [
        f"{name_of(path)}:{line}"
        for path in python_files()
        if name_of(path) not in ALLOWED_REFLECTION
        for line in (
            *calls_to(path, {"getattr", "hasattr", "setattr", "globals"}),
            *(n.lineno for n in ast.walk(tree_of(path)) if isinstance(n, ast.Global)),
        )
    ]
    assert lines == []


def test_the_allow_list_is_not_stale() -> None:
    assert [name for name in ALLOWED_REFLECTION if not (ROOT / name).is_file()] == []


def test_the_root_is_short() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so ignored entries cannot be told apart")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    entries = {line.split("/")[0] for line in listing.splitlines()}
    entries = {entry for entry in entries if (ROOT / entry).exists()}
    assert len(entries) <= ROOT_ENTRIES, sorted(entries)
