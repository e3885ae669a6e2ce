"""Worlds: draw B procedural scenes and render each as a source clip and as a target clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.worlds.biomes import (
    BIOMES,
    OUTDOOR,
    Dice,
    camera_of,
    draw_world,
    geometry_of,
    light_position,
)
from everframe.data.worlds.camera import Camera, rays
from everframe.data.worlds.dresses import SOURCES, Cloth
from everframe.data.worlds.geometry import Geometry
from everframe.data.worlds.march import GBuffer, Kernels, Rays, compiled, march
from everframe.data.worlds.materials import shade
from everframe.data.worlds.prompts import PROMPTS
from everframe.data.worlds.targets import HIDDEN, TARGETS

_NUMBERS = 256  # uniform numbers drawn per stream; a world uses about 150
_HELD_OUT = 3
_BUILT_UP = ("village", "city")
_SENSE: dict[str, tuple[str, ...]] = {
    "summer_day": OUTDOOR, "snowy_winter": OUTDOOR, "sunset_desert": OUTDOOR, "lava_world": OUTDOOR,
    "autumn": ("village", "forest", "hills"), "rainy_dusk": ("village", "city", "hills"),
    "moonlit_night": OUTDOOR, "underwater": (*OUTDOOR, "room", "table"),
    "jungle": ("village", "city", "forest"), "neon_night": (*_BUILT_UP, "room"),
    "marble_gold": ("room", "table"), "white_nordic": ("room", "table"),
    "drafting_scene": (*_BUILT_UP, "room", "table"), "alien_planet": OUTDOOR,
    "candy_land": (*OUTDOOR, "table"), "toy_plastic": BIOMES, "cosy_wood": ("room",),
    "paper_craft": BIOMES, "crystal_realm": (*OUTDOOR, "table"),
    "knitted_wool": ("village", "forest", "room", "table"), "painted_houses": _BUILT_UP,
    "studio_product": ("table",),
}  # fmt: skip
# A textured source that already looks like the target teaches nothing.
_BARE_SOURCES = ("clay", "white_model", "blockout", "flat_labels", "edges")
_ONLY_FROM = {"summer_day": (*_BARE_SOURCES, "overcast"), "painted_houses": tuple(SOURCES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dress:
    """A target look of a whole world."""

    name: str
    hidden: bool  # True: per-stream choices that only the history tells
    prompts: tuple[str, ...]  # used in training
    held_out: tuple[str, ...]  # never trained on
    biomes: tuple[str, ...]  # where the dress makes sense


def _dress(name: str) -> Dress:
    lines = PROMPTS[name]
    return Dress(
        name=name, hidden=name in HIDDEN, prompts=lines[:-_HELD_OUT], held_out=lines[-_HELD_OUT:],
        biomes=_SENSE[name],
    )  # fmt: skip


DRESSES: tuple[Dress, ...] = tuple(_dress(name) for name in TARGETS)
SOURCE_NAMES: tuple[str, ...] = tuple(SOURCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBatch:
    """The state of B streams: render it at any times, in any order, as often as wanted."""

    geometry: Geometry
    camera: Camera
    light: Tensor  # [B, 3] metres
    source: tuple[int, ...]  # per stream, index into SOURCE_NAMES
    target: tuple[int, ...]  # per stream, index into DRESSES
    biome: tuple[str, ...]
    source_tables: tuple[Tensor, Tensor]  # materials [B, classes, columns], air [B, columns]
    target_tables: tuple[Tensor, Tensor]


Shade = Callable[[GBuffer, Rays, Geometry, Tensor, Tensor, Tensor], Tensor]


class Worlds:
    """Draws and renders batches of worlds on one device."""

    def __init__(
        self, height: int, width: int, device: torch.device | str, *, compile: bool = False,
        samples: int = 1,
    ) -> None:  # fmt: skip
        """Prepare a renderer.

        Args:
            height, width: size of the frames in pixels.
            device: where geometry and frames live.
            compile: fuse the march and the shading with torch.compile. Six functions compile at
                the first render of each [B, T]; keep to a few shapes (torch recompiles a function
                at most 8 times).
            samples: rays per pixel along each axis (2: smoother edges at 4 times the cost).
        """
        self.height, self.width, self.samples = height, width, samples
        self.device = torch.device(device)
        self._kernels = compiled() if compile else Kernels()
        self._shade: Shade = torch.compile(shade, dynamic=False) if compile else shade

    def draw(
        self, streams: int, generator: torch.Generator, *, dresses: Sequence[str] | None = None,
        sources: Sequence[str] | None = None, biomes: Sequence[str] | None = None,
    ) -> WorldBatch:  # fmt: skip
        """Draw B streams; each gets a target dress, a biome that suits it, a source and a camera.

        Args:
            streams: B.
            generator: the only source of chance; may live on any device.
            dresses: names of target dresses to draw from; all by default.
            sources: names of sources to draw from; by default those that suit the dress.
            biomes: biomes to draw from; by default those that suit the dress.

        Raises:
            UserError: a name is unknown.
        """
        known = tuple(dress.name for dress in DRESSES)
        names = _known(dresses, known, "dress")
        given_sources = _known(sources, SOURCE_NAMES, "source")
        given_biomes = _known(biomes, BIOMES, "biome")
        numbers = torch.rand((streams, _NUMBERS), generator=generator, device=generator.device)
        rolls: list[list[float]] = numbers.cpu().tolist()
        worlds: list[dict[str, float]] = []
        cameras: list[dict[str, float]] = []
        lights: list[list[float]] = []
        chosen: list[tuple[str, str, str]] = []
        tables: list[tuple[tuple[list[list[float]], list[float]], ...]] = []
        for roll in rolls:
            dice = Dice(roll)
            name = names[dice.below(len(names))]
            suited = tuple(b for b in given_biomes if b in _SENSE[name]) or given_biomes
            biome = suited[dice.below(len(suited))]
            allowed = _ONLY_FROM.get(name, SOURCE_NAMES) if sources is None else given_sources
            source = allowed[dice.below(len(allowed))]
            world, camera = draw_world(biome, dice)
            cloth: Cloth = TARGETS[name]
            lights.append(light_position(biome, world, cloth.elevation, dice))
            tables.append((SOURCES[source].rows(biome, dice), cloth.rows(biome, dice)))
            worlds.append(world)
            cameras.append(camera)
            chosen.append((source, name, biome))

        def stack(side: int) -> tuple[Tensor, Tensor]:
            materials = torch.tensor([pair[side][0] for pair in tables], device=self.device)
            return materials, torch.tensor([pair[side][1] for pair in tables], device=self.device)

        return WorldBatch(
            geometry=geometry_of(worlds, self.device), camera=camera_of(cameras, self.device),
            light=torch.tensor(lights, device=self.device),
            source=tuple(SOURCE_NAMES.index(source) for source, _, _ in chosen),
            target=tuple(known.index(name) for _, name, _ in chosen),
            biome=tuple(biome for _, _, biome in chosen),
            source_tables=stack(0), target_tables=stack(1),
        )  # fmt: skip

    def render(self, batch: WorldBatch, times: Tensor) -> tuple[Tensor, Tensor]:
        """Render both dresses along the same path.

        Args:
            batch: B streams from `draw`.
            times: [B, T] float32 seconds, any sign and order.

        Returns:
            Source and target, each [B, T, 3, H, W] float32, 0..1, RGB, on the device.
        """
        with torch.no_grad():
            view, buffer, times = self._trace(batch, times)
            source = self._colour(batch, view, buffer, batch.source_tables, times)
            return source, self._colour(batch, view, buffer, batch.target_tables, times)

    def render_background(self, batch: WorldBatch, times: Tensor) -> tuple[Tensor, Tensor]:
        """Render the target and its depth, for placing a foreground into the world.

        Returns:
            Target [B, T, 3, H, W], 0..1, and depth [B, T, 1, H, W] in metres (march.FAR: sky).
        """
        with torch.no_grad():
            view, buffer, times = self._trace(batch, times)
            target = self._colour(batch, view, buffer, batch.target_tables, times)
            return target, self._pool(buffer.depth.unsqueeze(2))

    def _trace(self, batch: WorldBatch, times: Tensor) -> tuple[Rays, GBuffer, Tensor]:
        times = times.to(self.device, torch.float32)
        s = self.samples
        view = rays(batch.camera, batch.geometry, times, self.height * s, self.width * s)
        buffer = march(view, batch.light, batch.geometry, self._kernels)
        return view, buffer, times

    def _colour(
        self, batch: WorldBatch, view: Rays, buffer: GBuffer, tables: tuple[Tensor, Tensor],
        times: Tensor,
    ) -> Tensor:  # fmt: skip
        return self._pool(self._shade(buffer, view, batch.geometry, *tables, times))

    def _pool(self, image: Tensor) -> Tensor:
        if self.samples == 1:
            return image
        return F.avg_pool2d(image.flatten(0, 1), self.samples).unflatten(0, image.shape[:2])


def _known(given: Sequence[str] | None, known: Sequence[str], noun: str) -> tuple[str, ...]:
    if given is None:
        return tuple(known)
    for name in given:
        if name not in known:
            raise UserError(f"unknown {noun} {name!r}; choose from {', '.join(known)}")
    return tuple(given)
