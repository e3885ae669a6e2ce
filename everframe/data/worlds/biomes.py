"""Ranges of numbers from which the worlds and their cameras are drawn, one table per biome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from everframe.data.worlds.camera import Camera
from everframe.data.worlds.geometry import Geometry

BIOMES = ("village", "city", "forest", "hills", "room", "table")
OUTDOOR = BIOMES[:4]
_Range = tuple[float, float]

# Each pair is (least, greatest). What a biome does not name comes from `_BASE`.
_BASE: dict[str, _Range] = {
    "amp": (0.0, 0.0), "bend": (0.0, 0.0), "bend_freq": (0.05, 0.09), "road_half": (1.5, 2.0),
    "disc": (0.0, 0.0), "side": (1.0, 1.0), "margin": (2.0, 2.0), "cell": (5.0, 6.0),
    "fill": (0.75, 0.95), "box": (0.4, 0.6), "tree": (0.3, 0.35), "box_w": (0.26, 0.36),
    "h_min": (1.5, 2.2), "h_range": (1.0, 3.0), "rounding": (0.02, 0.06), "top_h": (0.9, 1.6),
    "top_w": (1.12, 1.22), "gable": (1.0, 1.0), "trunk_h": (1.0, 1.8), "trunk_r": (0.1, 0.2),
    "crown_r": (0.9, 1.3), "crown_h": (1.8, 3.0), "cone": (0.0, 1.0), "bump": (0.03, 0.1),
    "thing_r": (0.35, 0.7), "thing_h": (0.6, 1.2), "pile": (0.0, 0.0), "room_x": (1e3, 1e3),
    "room_z": (1e3, 1e3), "room_y": (1e3, 1e3),
}  # fmt: skip
_WORLDS: dict[str, dict[str, _Range]] = {
    "village": {"amp": (0.6, 3.5), "bend": (0.8, 2.5), "margin": (2.0, 2.6)},
    "city": {
        "road_half": (2.4, 3.2), "cell": (8.0, 10.0), "margin": (3.6, 4.2), "fill": (0.92, 1.0),
        "box": (0.82, 0.94), "tree": (0.04, 0.12), "box_w": (0.36, 0.44), "h_min": (4.0, 6.0),
        "h_range": (10.0, 26.0), "top_h": (1.0, 5.0), "top_w": (0.5, 0.85), "gable": (0.0, 0.0),
        "crown_h": (2.0, 3.0), "thing_r": (0.8, 1.4), "thing_h": (1.0, 2.4), "pile": (0.0, 0.3),
    },
    "forest": {
        "amp": (0.5, 3.0), "bend": (0.8, 2.0), "road_half": (0.8, 1.2), "margin": (0.9, 1.3),
        "cell": (2.8, 3.6), "fill": (0.65, 0.9), "box": (0.0, 0.03), "tree": (0.8, 0.9),
        "crown_r": (0.8, 1.1), "crown_h": (2.4, 4.2), "thing_r": (0.4, 0.8), "thing_h": (0.5, 0.9),
    },
    "hills": {
        "amp": (3.5, 7.0), "bend": (1.5, 3.0), "cell": (6.0, 8.0), "fill": (0.4, 0.7),
        "box": (0.1, 0.3), "tree": (0.3, 0.5), "road_half": (1.0, 1.6), "margin": (2.6, 3.4),
        "thing_r": (0.7, 1.5), "thing_h": (0.8, 2.0),
    },
    "room": {
        "disc": (1.0, 1.0), "road_half": (1.3, 1.7), "margin": (0.25, 0.35), "cell": (1.7, 2.0),
        "fill": (0.75, 0.95), "box": (0.6, 0.75), "tree": (0.12, 0.2), "box_w": (0.3, 0.42),
        "h_min": (0.35, 0.5), "h_range": (0.4, 1.7), "rounding": (0.03, 0.07),
        "top_h": (0.06, 0.14), "top_w": (0.94, 1.06), "gable": (0.0, 0.0), "trunk_h": (1.1, 1.5),
        "trunk_r": (0.03, 0.05), "crown_r": (0.28, 0.42), "crown_h": (0.45, 0.8),
        "cone": (0.3, 0.9), "bump": (0.0, 0.0), "thing_r": (0.16, 0.28), "thing_h": (0.35, 0.75),
        "pile": (0.4, 0.7), "room_x": (2.0, 3.0), "room_z": (2.0, 3.0), "room_y": (2.6, 3.3),
    },
    "table": {
        "disc": (1.0, 1.0), "side": (-1.0, -1.0), "road_half": (2.6, 3.1), "margin": (0.75, 0.95),
        "cell": (1.25, 1.5), "fill": (0.85, 1.0), "box": (0.35, 0.55), "tree": (0.0, 0.0),
        "box_w": (0.28, 0.4), "h_min": (0.25, 0.5), "h_range": (0.5, 1.5), "rounding": (0.05, 0.13),
        "top_h": (0.1, 0.3), "top_w": (0.5, 0.9), "gable": (0.0, 0.0), "thing_r": (0.32, 0.46),
        "thing_h": (0.6, 1.3), "pile": (0.2, 0.5),
    },
}  # fmt: skip
_STILL: dict[str, _Range] = {
    "z0": (-400.0, 400.0), "speed": (0.0, 0.0), "offset": (-0.5, 0.5), "height": (1.4, 2.0),
    "radius": (0.0, 0.0), "spin": (0.0, 0.0), "phase": (0.0, 6.28), "inward": (0.0, 0.0),
    "aim": (1.0, 1.0), "yaw": (-0.2, 0.2), "pan": (0.0, 0.0), "pan_rate": (0.25, 0.5),
    "turn": (0.0, 0.0), "pitch": (-0.05, 0.1), "sway": (0.0, 0.0), "focal": (1.4, 1.9),
}  # fmt: skip
_MOVES: dict[str, dict[str, _Range]] = {
    "travel": {"speed": (0.8, 3.5), "sway": (0.2, 1.2), "pan": (0.0, 0.35)},
    "hand": {"sway": (1.5, 3.0), "pan": (0.1, 0.4), "speed": (0.0, 0.4), "yaw": (-0.9, 0.9)},
    "tripod": {"pan": (0.2, 0.7), "yaw": (-0.7, 0.7), "pan_rate": (0.15, 0.4)},
    "aerial": {
        "radius": (12.0, 18.0), "spin": (-0.16, 0.16), "height": (8.0, 12.0), "inward": (1.0, 1.0),
        "sway": (0.0, 0.8), "offset": (0.0, 0.0),
    },
    "look_round": {
        "z0": (-0.2, 0.2), "offset": (-0.2, 0.2), "radius": (0.5, 0.9), "spin": (-0.2, 0.2),
        "inward": (1.0, 1.0), "aim": (1.3, 1.55), "height": (1.35, 1.6), "sway": (0.0, 1.2),
        "focal": (1.0, 1.3),
    },
    "room_hand": {
        "z0": (-0.4, 0.4), "offset": (-0.4, 0.4), "yaw": (0.0, 6.28), "pan": (0.2, 0.6),
        "sway": (0.5, 2.0), "focal": (1.0, 1.3), "pitch": (-0.22, -0.02),
    },
    "turntable": {
        "z0": (0.0, 0.0), "offset": (0.0, 0.0), "radius": (4.6, 6.2), "spin": (-0.5, 0.5),
        "inward": (1.0, 1.0), "aim": (0.4, 0.7), "height": (1.6, 3.4), "sway": (0.0, 0.6),
        "yaw": (-0.05, 0.05), "focal": (1.7, 2.3),
    },
}  # fmt: skip
_MOVES_IN: dict[str, tuple[str, ...]] = {
    "village": ("travel", "travel", "hand", "tripod", "aerial"),
    "city": ("travel", "travel", "hand", "tripod"),
    "forest": ("travel", "travel", "hand", "tripod"),
    "hills": ("travel", "hand", "tripod", "aerial"),
    "room": ("look_round", "room_hand"),
    "table": ("turntable",),
}


class Dice:
    """A stream of uniform numbers in 0..1, used up one by one."""

    def __init__(self, values: Sequence[float]) -> None:
        """Take the numbers to hand out; running out of them raises StopIteration."""
        self._values: Iterator[float] = iter(values)

    def between(self, low: float, high: float) -> float:
        """Return a number in low..high."""
        return low + (high - low) * next(self._values)

    def below(self, count: int) -> int:
        """Return an integer in 0..count - 1."""
        return min(int(next(self._values) * count), count - 1)


def _roll(dice: Dice, ranges: dict[str, _Range], own: dict[str, _Range]) -> dict[str, float]:
    return {name: dice.between(*own.get(name, pair)) for name, pair in ranges.items()}


def draw_world(biome: str, dice: Dice) -> tuple[dict[str, float], dict[str, float]]:
    """Draw the numbers of one world and of its camera, by field name."""
    seed = float(dice.below(1 << 20))
    world = _roll(dice, _BASE, _WORLDS[biome])
    world["seed"] = seed
    if biome == "room":
        # Walls stand on cell borders, so that no piece of furniture is cut.
        world["room_x"] = world["cell"] * round(world["room_x"])
        world["room_z"] = world["cell"] * round(world["room_z"])
    moves = _MOVES_IN[biome]
    camera = _roll(dice, _STILL, _MOVES[moves[dice.below(len(moves))]])
    if camera["inward"] > 0.5 and abs(camera["spin"]) < 0.06:
        camera["spin"] = 0.06 if camera["spin"] >= 0.0 else -0.06
    return world, camera


def light_position(
    biome: str, world: dict[str, float], elevation: _Range, dice: Dice
) -> list[float]:
    """Place the light: a far sun at `elevation` degrees, or a lamp under the room's ceiling."""
    azimuth = dice.between(0.0, 6.2832)
    height = dice.between(*elevation)
    if biome == "room":
        x, z = dice.between(-0.5, 0.5), dice.between(-0.5, 0.5)
        return [x * world["room_x"], world["room_y"] - 0.35, z * world["room_z"]]
    angle = torch.tensor([azimuth, height * 0.0174533])
    (sa, se), (ca, ce) = angle.sin().tolist(), angle.cos().tolist()
    return [5e3 * sa * ce, 5e3 * se, 5e3 * ca * ce]


def geometry_of(worlds: Sequence[dict[str, float]], device: torch.device) -> Geometry:
    """Pack the numbers of B worlds as tensors [B, 1, 1, 1]."""

    def column(name: str) -> Tensor:
        kind = torch.int32 if name == "seed" else torch.float32
        return torch.tensor([w[name] for w in worlds], dtype=kind).reshape(-1, 1, 1, 1).to(device)

    return Geometry(*(column(name) for name in Geometry._fields))


def camera_of(cameras: Sequence[dict[str, float]], device: torch.device) -> Camera:
    """Pack the numbers of B cameras as tensors [B, 1]."""
    return Camera(
        *(torch.tensor([[c[name]] for c in cameras]).to(device) for name in Camera._fields)
    )
