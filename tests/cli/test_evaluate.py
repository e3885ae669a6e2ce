from collections.abc import Callable
from pathlib import Path

import pytest

from everframe.cli.main import main
from everframe.evaluate import quality_run
from everframe.evaluate.quality_run import QualityRequest
from everframe.evaluate.suite import Progress


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[QualityRequest]:
    """Requests that reach the suite, which itself has its own tests."""
    requests: list[QualityRequest] = []

    def record(
        request: QualityRequest, _open: object, *, progress: Callable[[Progress], None]
    ) -> str:
        requests.append(request)
        progress(Progress(done=1, total=2, name="pencil on a", seconds_left=90))
        return "the table"

    monkeypatch.setattr(quality_run, "evaluate_quality", record)
    return requests


def test_the_command_becomes_a_request(
    asked: list[QualityRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    line = "evaluate quality --footage clips --held-out a,b,c --clips 2 --looks pencil, --fast"
    assert main([*line.split(), "--without", "warp,classifier"]) == 0
    (request,) = asked
    assert (request.model, request.footage) == ("pocket", Path("clips"))
    assert request.held_out == ("a", "b")
    assert request.looks == ("pencil",)
    assert request.without == ("warp", "classifier")
    assert (request.height, request.width, request.frames) == (224, 288, None)
    out = capsys.readouterr().out
    assert "1/2  pencil on a  1.5 min left" in out
    assert "the table" in out


def test_the_default_clips_are_those_that_no_recipe_trains_on(asked: list[QualityRequest]) -> None:
    from everframe.recipes.configs import HELD_OUT

    assert main(["evaluate", "quality", "--footage", "clips"]) == 0
    assert asked[0].held_out == HELD_OUT
    assert asked[0].looks == ()


def test_a_missing_folder_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["evaluate", "quality", "--footage", str(tmp_path), "--held-out", "a"]
    assert main([*command, "--without", "perceptual,classifier,warp"]) == 2
    message = capsys.readouterr().err
    assert "no clip named a" in message
    assert message.count("\n") == 1


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "quality", "--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "state_kept" in text
