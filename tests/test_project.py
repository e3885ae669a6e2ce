"""What holds for the package as a whole: light import, torch-free core, declared dependencies."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

import everframe

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.5
TORCH_FILES = (
    "everframe/arch/torch_*.py",
    "everframe/runtime/torch_*.py",
    "everframe/runtime/megakernel/torch_*.py",
    "everframe/runtime/megakernel/triton_*.py",
    "everframe/runtime/megakernel/gluon_*.py",
    "everframe/data/*.py",
    "everframe/train/*.py",
    "everframe/compress/*.py",
    "everframe/recipes/*.py",
    "everframe/evaluate/*.py",
)
WHERE = {
    "torch": TORCH_FILES,
    "triton": (
        "everframe/runtime/megakernel/triton_*.py",
        "everframe/runtime/megakernel/gluon_*.py",
        "everframe/runtime/megakernel/torch_gluon.py",
    ),
    "tensorboard": ("everframe/train/*.py",),
    "onnx": ("everframe/runtime/*.py",),
    "onnxruntime": ("everframe/runtime/onnxruntime_engine.py",),
    "ai_edge_litert": ("everframe/data/people/masks.py",),
    "h5py": ("everframe/evaluate/*.py",),
    "cv2": ("everframe/evaluate/*.py",),
    "matplotlib": ("everframe/evaluate/*.py", "everframe/runtime/megakernel/timeline.py"),
    "av": (
        "everframe/stream/*.py",
        "everframe/data/source.py",
        "everframe/serve/rtc*.py",
        "everframe/serve/broadcast.py",
        "everframe/serve/h264.py",
        "everframe/serve/sender.py",
    ),
    "starlette": ("everframe/serve/*.py",),
    "uvicorn": ("everframe/serve/*.py",),
    "aiortc": ("everframe/serve/*.py",),
    "reactor_webrtc": ("everframe/serve/rtc_reactor.py",),
    "pyvirtualcam": ("everframe/serve/virtual_camera.py",),
}
"""Package -> the only files that may import it; the other core dependencies are free to all."""
UNDECLARED = {"triton", "ai_edge_litert"}
"""Comes with torch; only makes person masks, once, and its error says how to install it."""
IMPORT_NAMES = {
    "pillow": "PIL",
    "opencv-python-headless": "cv2",
    "reactor-webrtc": "reactor_webrtc",
}


def package_files() -> list[str]:
    """Python files of the package, as paths from the root."""
    return sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "everframe").rglob("*.py"))


def project_table() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def names_of(requirements: list[str]) -> set[str]:
    """Import names of a list of requirements."""
    names = {re.split(r"[\[<>=~! ;]", requirement)[0] for requirement in requirements}
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def imports_of(name: str) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of each import of a file from outside the package."""
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        from_import = isinstance(node, ast.ImportFrom)
        modules = [node.module or ""] if from_import else [alias.name for alias in node.names]
        for package in {module.split(".")[0] for module in modules}:
            if package not in sys.stdlib_module_names and package != "everframe":
                yield node.lineno, package


def run_python(code: str, *, python: str = sys.executable) -> str:
    """Run code in a fresh interpreter of this checkout and return what it prints."""
    result = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_is_light() -> None:
    code = (
        "import time; start = time.perf_counter(); import everframe, sys, json;"
        "seconds = time.perf_counter() - start;"
        "print(json.dumps([seconds, [n for n in ('numpy', 'torch', 'openvino', 'av')"
        " if n in sys.modules]]))"
    )
    runs = [json.loads(run_python(code)) for _ in range(3)]
    assert runs[0][1] == []
    assert min(seconds for seconds, _ in runs) < IMPORT_LIMIT_S


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = everframe.Sesion


def test_torch_free_files_import_without_torch() -> None:
    heavy = (*TORCH_FILES, *WHERE["onnxruntime"])  # loaded when the engine is asked for
    names = [n for n in package_files() if not any(fnmatch(n, g) for g in heavy)]
    modules = [n.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for n in names]
    modules = [m for m in modules if not m.endswith("__main__")]
    run_python(
        "import importlib, sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'triton', 'onnxruntime', 'tensorboard'):\n"
        "            raise ImportError('the core imported ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"for name in {modules!r}: importlib.import_module(name)"
    )


def test_every_folder_of_code_is_a_package() -> None:
    folders = {(ROOT / name).parent for name in package_files()}
    missing = [f.relative_to(ROOT).as_posix() for f in folders if not (f / "__init__.py").exists()]
    assert missing == []  # without it the folder is not installed


def test_packages_are_declared_and_stay_in_their_folders() -> None:
    project = project_table()
    extras: dict[str, list[str]] = project["optional-dependencies"]
    core = names_of(project["dependencies"])
    declared = core.union(*(names_of(extra) for extra in extras.values()), UNDECLARED)
    wrong: list[str] = []
    for name in package_files():
        for line, package in imports_of(name):
            allowed = WHERE.get(package, ("*",) if package in core else ())
            if package not in declared or not any(fnmatch(name, glob) for glob in allowed):
                wrong.append(f"{name}:{line} imports {package}")
    assert wrong == []


def test_text_files_name_no_machine() -> None:
    banned = re.compile(r"(?<![\w.])/(?:work|root)/|/home/[a-z]|" + "pypi" + r"\.org|pythonhosted")
    suffixes = {".py", ".md", ".toml", ".txt", ".sh", ".json", ".yaml"}
    here = Path(__file__)
    files = [*(ROOT / "README.md", ROOT / "pyproject.toml", ROOT / ".ci" / "run")]
    for folder in ("everframe", "tests", "benchmarks", "docs", "examples"):
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes and p != here]
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if banned.search(line)
    ]
    assert lines == []


def test_readme_links_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []
