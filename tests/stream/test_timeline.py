"""Timed prompts, as typed and from files."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from everframe.core.errors import UserError
from everframe.stream.timeline import (
    Cue,
    Start,
    Timeline,
    check_prompt,
    parse_prompts,
    read_timeline,
)


def at_s(seconds: str, prompt: str, transition: int = 0) -> Cue:
    return Cue(start=Start(time_s=Fraction(seconds)), prompt=prompt, transition=transition)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("4s:neon", Start(time_s=Fraction(4))),
        ("0.5s: neon", Start(time_s=Fraction(1, 2))),
        ("1:30:neon", Start(time_s=Fraction(90))),
        ("1:02:30:neon", Start(time_s=Fraction(3750))),
        ("0:01.5:neon", Start(time_s=Fraction(3, 2))),
        ("250f:neon", Start(frame=250)),
    ],
)
def test_forms_of_time(text: str, start: Start) -> None:
    timeline = parse_prompts(["pencil", text], transition=3)
    assert timeline.opening == "pencil"
    assert timeline.cues == (Cue(start=start, prompt="neon", transition=3),)


@pytest.mark.parametrize(
    "text",
    ["style: neon", "blade runner 2049: rain", "16:9 film look", "2049: rain", "a 4s:b", "re:make"],
)
def test_a_colon_may_belong_to_the_prompt(text: str) -> None:
    assert parse_prompts([text]) == Timeline(opening=text)


def test_a_time_can_be_forced_before_a_prompt_that_looks_timed() -> None:
    assert parse_prompts(["0s:3:10: to Yuma"]).opening == "3:10: to Yuma"


def test_a_cue_is_reached_at_its_exact_frame() -> None:
    start = Start(time_s=Fraction(1, 2))
    assert not start.reached(11, Fraction(11, 24))
    assert start.reached(12, Fraction(12, 24))
    assert not Start(frame=3).reached(2, Fraction(99))
    assert Start(frame=3).reached(3, Fraction(0))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no prompt for the start"),
        (["4s:neon"], "no prompt for the start"),
        (["a", "b"], "two prompts start at the first frame"),
        (["a", "0f:b"], "two prompts start"),
        (["a", "4s:b", "3s:c"], "'c': starts at 3s, not after the one at 4s"),
        (["a", "4f:b", "4f:c"], "starts at frame 4"),
        (["a", "1:75:b"], "60 or more"),
        ([""], "the prompt is empty"),
        (["..."], "the prompt has no words"),
        (["a", "4s:  "], "the prompt is empty"),
        (["x" * 10_000], "has 10000 characters"),
    ],
)
def test_bad_prompts_name_the_fault(texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as fault:
        parse_prompts(texts)
    assert len(str(fault.value)) < 300


def test_white_space_is_made_plain() -> None:
    assert check_prompt("  neon\n\tnight  ") == "neon night"
    assert check_prompt("墨絵") == "墨絵"


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "show.txt"
    path.write_text(
        "# my show\n\n0s pencil sketch\n4s neon night | transition 12 frames\n1:30: oil\n",
        encoding="utf-8",
    )
    wanted = (at_s("4", "neon night", 12), at_s("90", "oil", 5))
    assert read_timeline(path, transition=5) == Timeline(opening="pencil sketch", cues=wanted)


def test_json_file(tmp_path: Path) -> None:
    path = tmp_path / "show.json"
    rows = [
        {"at": 0, "prompt": "pencil sketch"},
        {"at": "4s", "prompt": "neon", "transition": 12},
        {"at": 6.5, "prompt": "oil"},
        {"at": "250f", "prompt": "comic"},
    ]
    path.write_text(json.dumps(rows))
    timeline = read_timeline(path)
    assert timeline.opening == "pencil sketch"
    assert timeline.cues[:2] == (at_s("4", "neon", 12), at_s("6.5", "oil"))
    assert timeline.prompts()[3] == {"at": "frame 250", "prompt": "comic", "transition": 0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "0s a\nneon night\n", "a.txt line 2: 'neon night' does not start with a time"),
        ("a.txt", "0s a\n\n4s\n", "a.txt line 3"),
        ("a.txt", "0s a\n4s b | fade\n", "line 2: after '|'".replace("|", r"\|")),
        ("a.txt", "0s a\n4s b | transition 99999\n", "line 2: a transition lasts"),
        ("a.txt", "0s a\n4s b\n2s c\n", "line 3: starts at 2s"),
        ("a.txt", "0s a\n1:99 b\n", "line 2: '1:99' has 60"),
        ("a.txt", "", "no prompt for the start"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "{}", "write a list"),
        ("a.json", "[3]", "entry 1: write"),
        ("a.json", '[{"at": 0, "prompt": 3}]', "entry 1: 'prompt' must be"),
        ("a.json", '[{"at": -1, "prompt": "a"}]', "entry 1: '-1s' is no time"),
        ("a.json", '[{"at": true, "prompt": "a"}]', "entry 1: 'at' must be"),
        ("a.json", '[{"at": 0, "prompt": "a", "x": 1}]', "unknown field 'x'"),
        ("a.json", '[{"at": 0, "prompt": "a", "transition": "b"}]', "whole number"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_timeline(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80" * 9)
    for name in ("missing.txt", "binary.txt", "."):
        with pytest.raises(UserError, match="cannot read the timeline"):
            read_timeline(tmp_path / name)
