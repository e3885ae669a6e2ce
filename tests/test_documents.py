"""The documents say what is: paths, settings and published numbers agree with the tree."""

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROVENANCE = {"hardware", "machine"}, {"date"}, {"command", "model"}


def ticked(text: str) -> list[str]:
    """What stands between single back quotes outside blocks of code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def rows_of(link: str) -> list[str]:
    """Lines of the README's tables that link a result."""
    return [line for line in README.splitlines() if f"(benchmarks/results/{link})" in line]


def load(name: str) -> Any:  # noqa: ANN401 - JSON
    """A result."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/data.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    package = ROOT / "everframe"
    roots = [ROOT, package, *(p for p in package.rglob("*") if p.is_dir())]
    paths = [
        name
        for name in ticked(text)
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(\.(py|md|toml|sh)|/)", name)
    ]
    assert len(paths) > 10
    missing = [name for name in paths if not any((root / name).exists() for root in roots)]
    assert missing == []


def test_every_setting_that_is_named_exists() -> None:
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "everframe").rglob("*.py"))
    known = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code))
    unknown = [
        f"{document.name}: {name}"
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for name in ticked(document.read_text(encoding="utf-8"))
        if re.fullmatch(r"[A-Z]{2,}[A-Z0-9]*_[A-Z0-9_]+", name) and name not in known
    ]
    assert unknown == []


def test_every_verb_of_the_readme_exists() -> None:
    for verb in re.findall(r"`?(?:bin/)?everframe ([a-z]+)", README):
        assert (ROOT / "everframe" / "cli" / f"{verb}.py").exists() or verb == "import", verb


def test_linked_results_say_where_they_come_from() -> None:
    names = set(re.findall(r"benchmarks/results/([\w.]+\.json)", README))
    assert names
    for name in names:
        result = load(name)
        if isinstance(result, list):  # rows of engines, which carry it themselves
            assert all({"commit", "date"} <= row.keys() for row in result), name
            continue
        keys = result.keys() | result.get("about", {}).keys()
        assert all(keys & wanted for wanted in PROVENANCE), name


def test_figures_of_speed_memory_and_prompts_agree_with_their_results() -> None:
    paraphrases, restyle = load("paraphrases_pocket.json"), load("restyle_pocket_cpu.json")
    people = load("people_pocket.json")["mean_gain"]
    memory, training = load("memory_pocket_cpu.json"), load("training_pocket_h200.json")
    speed = restyle["summary"]
    wanted = {
        "paraphrases_pocket.json": [
            f"{paraphrases['seen']['top1']:.2f} / {paraphrases['held_out']['top1']:.2f}"
        ],
        "restyle_pocket_cpu.json": [
            f"{speed['fps_median']:.0f} frames/s",
            f"{speed['model_ms_p50_median']:.1f} / {speed['model_ms_p95_median']:.1f} ms",
        ],
        "people_pocket.json": [f"{people['trained on']:.2f} / {people['held out']:.2f}"],
        "memory_pocket_cpu.json": [f"+{100 * memory['growth_after_500']:.1f} %"],
        "training_pocket_h200.json": [f"{training['frames_s_whole_run']:,} frames/s"],
    }
    for name, texts in wanted.items():
        for row in rows_of(name):
            assert [text for text in texts if text not in row] == [], name


@pytest.mark.parametrize("model", ["pocket", "studio"])
def test_figures_of_people_prompts_and_loops_agree_with_their_results(model: str) -> None:
    people = load(f"people_{model}.json")["mean_gain"]
    prompts = load(f"paraphrases_{model}.json")
    for name, text in (
        (f"people_{model}.json", f"{people['trained on']:.2f} / {people['held out']:.2f}"),
        (
            f"paraphrases_{model}.json",
            f"{prompts['seen']['top1']:.2f} / {prompts['held_out']['top1']:.2f}",
        ),
    ):
        assert rows_of(name), name
        assert all(text in row for row in rows_of(name)), name
    worst = load("drift_loops_h200.json")["worst"][model]
    row = next(
        x for x in rows_of("drift_loops_h200.json") if ("`studio`" in x) == (model != "pocket")
    )
    told = re.search(r"at most ([\d.]+) dB; ([\d.]+)", row)
    assert told is not None
    assert worst["psnr_loss"] <= float(told[1])
    assert f"{worst['kept@100000']:.2f}" == told[2]


def test_figures_of_the_soak_agree_with_their_result() -> None:
    result, text = load("soak_pocket_cpu.json"), " ".join(rows_of("soak_pocket_cpu.json"))
    minutes = result["minutes"]
    p50, p95 = (median(row[f"latency_ms_{name}"] for row in minutes) for name in ("p50", "p95"))
    frames = sum(row["frames"] + row["dropped"] for row in minutes)
    assert f"{result['dropped']} of {frames:,}" in text
    assert f"{p50:.1f} / {p95:.1f} ms" in text
    assert f"{minutes[0]['resident_mb']:.0f} to {minutes[-1]['resident_mb']:.0f} MB" in text


def test_figures_of_engines_agree_with_their_results() -> None:
    rows = {(row["shape"], row["engine"]): row["ms_p50"] for row in load("engines_h200.json")}
    text = " ".join(rows_of("engines_h200.json"))
    for shape, digits in (("pocket", 3), ("studio", 3), ("D", 2), ("E", 2)):
        assert f"{rows[shape, 'megakernel']:.{digits}f}" in text, shape
    for shape, digits in (("pocket", 3), ("studio", 3), ("D", 2)):
        assert f"{rows[shape, 'compiled+graph']:.{digits}f}" in text, shape


def test_figures_of_quality_agree_with_their_results() -> None:
    """Each column of the table of quality names its result in the last row."""
    for links in [line for line in README.splitlines() if "[quality](" in line]:
        files = re.findall(r"results/(quality_[\w]+\.json)", links)
        for start, key, digits in (
            ("| the look classifier agrees", "output.top1", 2),
            ("| warp error / blockiness", "output.blockiness", 2),
        ):
            cells = next(x for x in README.splitlines() if x.startswith(start)).split("|")[2:]
            for name, cell in zip(files, cells, strict=False):
                value = load(name)["overall"][key]
                assert f"{value:.{digits}f}" in cell, (name, key, value, cell)
