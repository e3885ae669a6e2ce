"""The package as a user gets it: installed into a new environment, without torch, from an index."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import everframe

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(480),
    pytest.mark.skipif(
        os.environ.get("EVERFRAME_OFFLINE") == "1", reason="pip has no package index here"
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A new environment with the core, and the sources that it was installed from."""

    source: Path
    bin: Path

    def run(self, *command: str, cwd: Path) -> str:
        """Run a program of the environment and return what it prints."""
        full = [str(self.bin / command[0]), *command[1:]]
        result = subprocess.run(full, cwd=cwd, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install a copy, since a build writes into its tree."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "everframe", source / "everframe", ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    fresh = Installed(source=source, bin=folder / "venv" / "bin")
    fresh.run("python", "-m", "pip", "install", "-q", "-c", "constraints.txt", ".", cwd=source)
    return fresh


def test_every_file_is_installed_and_torch_is_not(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import json, importlib.util as u, pathlib, everframe;"
        "folder = pathlib.Path(everframe.__file__).parent;"
        "print(json.dumps([everframe.__version__, u.find_spec('torch') is None,"
        "sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*')"
        " if p.is_file() and p.suffix != '.pyc')]))"
    )
    version, torch_absent, found = json.loads(installed.run("python", "-c", code, cwd=tmp_path))
    assert version == everframe.__version__
    assert torch_absent
    package = installed.source / "everframe"
    wanted = sorted(p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file())
    assert [name for name in wanted if not name.endswith(".pyc")] == found


def test_the_command_line_answers(installed: Installed, tmp_path: Path) -> None:
    assert "usage: everframe" in installed.run("everframe", "--help", cwd=tmp_path)
    assert everframe.__version__ in installed.run("everframe", "--version", cwd=tmp_path)


@pytest.mark.skipif(
    not (ROOT / "everframe" / "weights").is_dir(), reason="no model is bundled with this checkout"
)
def test_the_bundled_clip_is_restyled(installed: Installed, tmp_path: Path) -> None:
    clip, result = str(ROOT / "examples" / "webcam.mp4"), tmp_path / "result.mp4"
    options = ("-p", "pencil sketch", "--limit", "5", "-o", str(result))
    assert result.name in installed.run("everframe", "restyle", clip, *options, cwd=tmp_path)
    assert result.stat().st_size > 1000
