"""Options of the live server."""

import argparse

import pytest

from everframe.cli import live
from everframe.core.errors import UserError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    live.add_parser(parser.add_subparsers())
    return parser.parse_args(["live", *words])


def test_every_option_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = vars(parse())
    for name, value in usual.items():
        text = {bool: "1", int: "7", float: "7.5", list: "a b"}.get(type(value), "word")
        monkeypatch.setenv(f"EVERFRAME_{name.upper()}", text)
    given = vars(parse())
    assert {name for name in usual if given[name] == usual[name]} == set()
    assert given["allow_host"] == ["a", "b"]
    assert parse("--allow-host", "c", "--port", "8").allow_host == ["a", "b", "c"]
    assert parse("--port", "8").port == 8


def test_what_the_environment_says_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFRAME_PORT", "many")
    with pytest.raises(UserError, match="EVERFRAME_PORT='many' is no int"):
        parse()
