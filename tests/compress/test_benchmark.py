"""`benchmarks.compression`: what each run starts from, what trains it, and the report."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compression
from benchmarks.compression import RUNS, main
from benchmarks.compression_report import collect
from everframe.arch.bundle import Bundle
from everframe.arch.cost import CostTable
from everframe.compress.prune import PrunePlan
from everframe.recipes.configs import pocket
from everframe.recipes.distillation import DistillConfig
from everframe.train.config import TrainConfig
from tests.nets import TINY, random_bundle

TABLE = CostTable(
    width=TINY.width,
    head_dim=TINY.head_dim,
    tokens=16,
    size=(64, 64),
    fixed_ms=2.0,
    heads=(0, 1, 2),
    attention_ms={0: (0.0, 0.5, 0.75), 2: (0.0, 0.75, 1.25)},
    ffn=(0, 128),
    ffn_ms=(0.0, 1.0),
    engine="test",
)


class Workshop:
    """Stands in for minutes of work: notes what was asked for and leaves bundles behind."""

    def __init__(self) -> None:
        self.plans: dict[str, PrunePlan] = {}
        self.trained: dict[str, TrainConfig] = {}
        self.distilled: dict[str, DistillConfig] = {}
        self.played: list[tuple[str, int]] = []

    def prune(
        self, _name: str, _table: CostTable, plan: PrunePlan, _config: TrainConfig, folder: Path
    ) -> None:
        self.plans[folder.parent.name] = plan
        random_bundle().save_pretrained(folder, quantise=False)

    def train(self, config: TrainConfig, folder: Path) -> bool:
        self.trained[folder.name] = config
        return self._leave(folder)

    def distil(self, config: DistillConfig, folder: Path) -> bool:
        self.distilled[folder.name] = config
        return self._leave(folder)

    def measure(
        self, folder: Path, _config: TrainConfig, frames: int, *, steps: int
    ) -> dict[str, Any]:
        self.played.append((folder.name, steps))
        curve = [20.0 + len(folder.name) + steps] * frames
        return {"curves": {"plain": curve, "hidden": curve}}

    @staticmethod
    def _leave(folder: Path) -> bool:
        bundle = random_bundle()
        meta = {"step": 5, "frames": 40}
        replace(bundle, meta=meta).save_pretrained(folder / "bundle", quantise=False)
        return True


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    monkeypatch.setattr(compression, "run_pruning", made.prune)
    monkeypatch.setattr(compression, "run_training", made.train)
    monkeypatch.setattr(compression, "run_distillation", made.distil)
    monkeypatch.setattr(compression, "measure", made.measure)
    return made


Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Run:
    TABLE.save(tmp_path / "cost.json")
    wide = replace(TINY, blocks=tuple(replace(block, ffn=256) for block in TINY.blocks))
    random_bundle(wide).save_pretrained(tmp_path / "wide", quantise=False)
    words = ["--source", str(tiny_model), "--teacher", str(tmp_path / "wide")]
    words += ["--cost", str(tmp_path / "cost.json"), "--out", str(tmp_path / "runs")]
    words += ["--steps", "5", "--recover", "2", "--frames", "12"]

    def command(verb: str, name: str, *more: str) -> None:
        main([verb, name, *words, *more])

    return command


def test_each_control_changes_one_thing(workshop: Workshop, run: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run taylor first"):
        run("run", "distilled")
    for name in RUNS:
        run("run", name, "streams=3", "shortcut.self_share=0.1")
    method, net = workshop.plans.pop("taylor"), str(tmp_path / "runs" / "taylor" / "net")
    assert workshop.plans == {
        "magnitude": replace(method, scores="magnitude"),
        "flops": replace(method, cost_kind="flops"),
        "depth": replace(method, only="depth"),
        "width": replace(method, only="width"),
    }
    taylor, fresh = workshop.trained["taylor"], workshop.trained["random-init"]
    assert (taylor.preset, taylor.init, taylor.steps, taylor.streams) == (net, net, 5, 3)
    recipe = pocket()
    assert fresh == replace(
        taylor, init="", steps=7, lr_muon=recipe.lr_muon, lr_adamw=recipe.lr_adamw
    )
    assert taylor.lr_muon == pytest.approx(0.2 * recipe.lr_muon)
    source = workshop.trained["source-on"].init
    assert workshop.trained["source-on"] == replace(taylor, preset=source, init=source)
    assert Path(source).name == "tiny"
    distilled = workshop.distilled["distilled"]
    assert (distilled.student, Path(distilled.teacher).name) == (net, "wide")
    assert distilled.shortcut.self_share == 0.1
    assert workshop.distilled["distilled-studio"] == replace(distilled, teacher="studio")
    own = workshop.distilled["source-distilled"]
    assert (Path(own.teacher).name, Path(own.student).name) == ("wide", "tiny")
    assert {steps for name, steps in workshop.played if name == "distilled"} == {1, 2, 4}
    assert {steps for name, steps in workshop.played if name == "depth"} == {1}


def test_results_become_a_table_and_a_figure(
    workshop: Workshop, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("prune", "taylor")
    assert not workshop.trained
    for name in ("taylor", "teacher", "source"):
        run("run", name)
    folder = tmp_path / "runs"
    collect(folder, list(RUNS), None, folder / "table.png")
    main(["time", str(folder), "--engine", "torch", "--size", "64x64", "--frames", "1"])
    capsys.readouterr()
    whole, picture = folder / "all.json", folder / "p.png"
    main(["collect", str(folder), "--out", str(whole), "--plot", str(picture)])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:-1]] == ["taylor", "teacher", "source"]
    assert json.loads(shown[-1])["taylor"]["plain"] == 27.0
    rows = {row["name"]: row for row in json.loads(whole.read_text())["runs"]}
    assert rows["teacher"]["table_ms"] is None  # wider than the table goes
    assert rows["taylor"]["table_ms"] == pytest.approx(TABLE.total(TINY))
    assert rows["taylor"]["ms"]["torch"]["p50"] > 0
    assert rows["taylor"]["train_steps"] == 5
    assert picture.stat().st_size > 10_000
    assert Bundle.from_pretrained(folder / "teacher" / "bundle").spec.blocks[0].ffn == 256


def test_a_mistyped_option_is_refused(run: Run) -> None:
    with pytest.raises(SystemExit):
        run("run", "taylor", "--frame-count", "3")
