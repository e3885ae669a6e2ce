"""Configs survive JSON, take typed overrides, and refuse what they do not know."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from everframe.core.config import from_dict, from_json, override, stable_hash, to_dict, to_json
from everframe.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """A nested config."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    kind: Literal["adamw", "muon"] = "adamw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A config with every kind of field."""

    name: str
    steps: int = 100
    resume: bool = False
    stop_at: int | None = None
    label: str | None = None
    sizes: tuple[int, ...] = (64, 128)
    frames: tuple[tuple[int, int], ...] = ()
    weights: dict[str, float] = field(default_factory=lambda: {"edge": 1.0})
    optim: Optim = Optim()
    teacher: Optim | None = None


def test_json_round_trip_is_exact() -> None:
    run = Run(name="a", stop_at=3, sizes=(), teacher=Optim(lr=0.1), weights={"x": 1 / 3})
    assert from_json(Run, to_json(run)) == run
    assert from_dict(Run, to_dict(run)) == run


def test_missing_keys_take_defaults_and_required_ones_are_named() -> None:
    assert from_dict(Run, {"name": "a"}) == Run(name="a")
    with pytest.raises(UserError, match="name is missing"):
        from_dict(Run, {"steps": 1})


@pytest.mark.parametrize(
    ("assignment", "changed"),
    [
        ("steps=200", Run(name="a", steps=200)),
        ("resume=true", Run(name="a", resume=True)),
        ("stop_at=7", Run(name="a", stop_at=7)),
        ("label=7", Run(name="a", label="7")),
        ("label=none", Run(name="a", label=None)),
        ("name=b=c", Run(name="b=c")),
        ("sizes=1,2,3", Run(name="a", sizes=(1, 2, 3))),
        ("sizes=", Run(name="a", sizes=())),
        ("frames=[[1, 2], [3, 4]]", Run(name="a", frames=((1, 2), (3, 4)))),
        ("frames=((1, 2))", Run(name="a", frames=((1, 2),))),
        ("frames=[]", Run(name="a", frames=())),
        ("optim.lr=3e-4", Run(name="a", optim=Optim(lr=3e-4))),
        ("optim.lr=1", Run(name="a", optim=Optim(lr=1.0))),
        ("optim.betas=(0.5, 0.6)", Run(name="a", optim=Optim(betas=(0.5, 0.6)))),
        ("optim.kind=muon", Run(name="a", optim=Optim(kind="muon"))),
        ('weights={"edge": 2}', Run(name="a", weights={"edge": 2.0})),
        ('teacher={"lr": 0.5}', Run(name="a", teacher=Optim(lr=0.5))),
    ],
)
def test_override_reads_values_by_field_type(assignment: str, changed: Run) -> None:
    assert override(Run(name="a"), [assignment]) == changed


def test_overrides_apply_in_order_and_leave_the_original_alone() -> None:
    run = Run(name="a", teacher=Optim())
    changed = override(run, ["steps=1", "steps=2", "teacher.lr=0.25"])
    assert (changed.steps, changed.teacher) == (2, Optim(lr=0.25))
    assert run == Run(name="a", teacher=Optim())


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("setps=1", "unknown key setps; did you mean steps"),
        ("optim.lrr=1", "unknown key lrr; did you mean lr"),
        ("zzz=1", "unknown key zzz; known: frames, label"),
        ("steps=fast", "steps must be a whole number, got 'fast'"),
        ("steps=1.5", "steps must be a whole number"),
        ("steps=true", "steps must be a whole number"),
        ("resume=1", "resume must be true or false"),
        ("optim.lr=nan", "lr must be a finite number"),
        ("optim.betas=0.5", "betas must be a list of 2"),
        ("optim.kind=sgd", "kind must be one of adamw, muon, got 'sgd'"),
        ("teacher.lr=1", "teacher has no fields to set"),
        ("steps.more=1", "steps has no fields to set"),
        ("weights={", "weights is not valid JSON"),
        ("steps", "write key=value"),
    ],
)
def test_bad_overrides_say_what_is_wrong(assignment: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(Run(name="a"), [assignment])


def test_from_dict_names_the_nested_key() -> None:
    with pytest.raises(UserError, match=r"unknown key optim\.lrr; did you mean lr"):
        from_dict(Run, {"name": "a", "optim": {"lrr": 1}})
    with pytest.raises(UserError, match=r"sizes\[1\] must be a whole number"):
        from_dict(Run, {"name": "a", "sizes": [1, "x"]})
    with pytest.raises(UserError, match="Run must be an object"):
        from_json(Run, "[1]")


def test_hash_follows_content() -> None:
    assert stable_hash(Run(name="a")) == stable_hash(from_json(Run, to_json(Run(name="a"))))
    assert stable_hash(Run(name="a")) != stable_hash(Run(name="a", optim=Optim(lr=0.002)))
    # A constant: a changed hash would orphan every saved run.
    assert stable_hash(Optim()) == "39f283164c56a3e0"
