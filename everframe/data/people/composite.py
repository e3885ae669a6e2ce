"""People in other places: compositing with the place's light, and the catalogue of person looks.

A background is measured once (`measure_light`); exposure and colour of the person then follow from
constants of the clip, so that nothing flickers. Everything is smooth in (frame, mask).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from everframe.data.looks.colour import luma
from everframe.data.looks.filters import blur, slope
from everframe.data.looks.look import DrawState, State
from everframe.data.people import backdrops, materials
from everframe.data.people.matte import (
    clean_edges,
    display,
    linear,
    local_tone,
    matte_of,
    mean_inside,
    normals,
    px,
    smoothstep,
)
from everframe.data.people.prompts import HELD_OUT, PROMPTS

Backdrop = Callable[[int, int, int, torch.Generator], Tensor]
ApplyPersonLook = Callable[[Tensor, Tensor, State], Tensor]

EXPOSURE_FOLLOW, COLOUR_FOLLOW, CONTRAST_FOLLOW = 0.45, 0.45, 0.3
"""How far the person goes towards the background: 0 keeps the camera's look, 1 matches fully."""
GAIN_LIMITS = (0.4, 1.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundLight:
    """What a place does to a person in it; linear light, constant along a stream.

    Attributes:
        ambient: [B, 1, 3, 1, 1] mean colour.
        spread: [B, 1, 1, 1, 1] deviation of brightness.
        key: [B, 1, 3, 1, 1] colour of the bright parts.
        toward: [B, 1, 2, 1, 1] (down, right) to the brightest side, length 0..1.
        shadow: 0 (far landscape) .. 1 (a wall just behind): contact shading of the background.
    """

    ambient: Tensor
    spread: Tensor
    key: Tensor
    toward: Tensor
    shadow: float = 0.3


def measure_light(background: Tensor, *, shadow: float = 0.3) -> BackgroundLight:
    """Light of a background [B, T or 1, 3, H, W] in 0..1."""
    light = linear(background)
    tone = luma(light)
    ambient = light.mean((1, 3, 4), keepdim=True)
    mean = tone.mean((1, 3, 4), keepdim=True)
    spread = (tone - mean).square().mean((1, 3, 4), keepdim=True).add(1e-6).sqrt()
    bright = smoothstep(tone, 0.0, 1.0) * tone + 1e-4
    total = bright.sum((1, 3, 4), keepdim=True)
    key = (light * bright).sum((1, 3, 4), keepdim=True) / total
    down = torch.linspace(-1, 1, background.shape[-2], device=light.device)[:, None]
    right = torch.linspace(-1, 1, background.shape[-1], device=light.device)[None, :]
    toward = torch.cat(
        [(bright * place).sum((1, 3, 4), keepdim=True) / total for place in (down, right)], 2
    )
    length = toward.square().sum(2, keepdim=True).add(1e-6).sqrt()
    toward = toward / length * torch.tanh(2.5 * length)
    return BackgroundLight(ambient=ambient, spread=spread, key=key, toward=toward, shadow=shadow)


def match_light(person: Tensor, matte: Tensor, light: BackgroundLight) -> Tensor:
    """Linear person [B, T, 3, H, W] with exposure, cast and contrast drawn to the place's."""
    tone = luma(person)
    mean = mean_inside(tone, matte)
    deviation = mean_inside((tone - mean).square(), matte).add(1e-6).sqrt()
    ambient = luma(light.ambient)
    exposure = ((ambient + 0.04) / (mean + 0.05)) ** EXPOSURE_FOLLOW
    cast = ((light.ambient + 0.03) / (ambient + 0.03)) ** COLOUR_FOLLOW
    contrast = (((light.spread + 0.05) / (deviation + 0.05)) ** CONTRAST_FOLLOW).clamp(0.92, 1.25)
    gain = (exposure * cast).clamp(*GAIN_LIMITS)
    scaled = person * gain
    centre = mean * gain
    return (centre + (scaled - centre) * contrast).clamp(min=0)


def relight_and_composite(
    person: Tensor, mask: Tensor, background: Tensor, light: BackgroundLight
) -> Tensor:
    """Put the person of a clip before a background, lit by it.

    Args:
        person: [B, T, 3, H, W] camera frames in 0..1.
        mask: [B, T, 1, H, W] raw person mask in 0..1.
        background: [B, T or 1, 3, H, W] in 0..1.
        light: of the background, from `measure_light`.

    Returns:
        [B, T, 3, H, W] in 0..1.
    """
    matte = matte_of(mask)
    body = match_light(linear(clean_edges(person, matte)), matte, light)
    behind = linear(background)
    normal = normals(local_tone(person, matte), matte)
    side = (normal[:, :, :2] * light.toward).sum(2, keepdim=True)
    body = body * (1 + 0.5 * side)
    # Rim: the band inside the edge that faces the bright side.
    soft = blur(matte, px(person, 2.2))
    down, right = slope(soft)
    steep = (down * down + right * right + 1e-8).sqrt()
    facing = -(down * light.toward[:, :, 0:1] + right * light.toward[:, :, 1:2]) / steep
    band = smoothstep(steep * px(person, 2.2), 0.05, 0.4)
    rim = band * smoothstep(facing, 0.1, 0.9)
    body = body + 0.55 * rim * light.key
    # Wrap: the background's light leaks around the edge.
    leak = (1 - blur(matte, px(person, 3.0))).clamp(0, 1) * 0.45
    body = body + leak * (blur(behind, px(person, 7.0)) - body)
    low = blur(matte, px(person, 7.0)) * light.shadow
    behind = behind * (1 - 0.55 * low)
    return display(behind + matte * (body - behind))


def swap_room(camera: Tensor, mask: Tensor, room: Tensor) -> Tensor:
    """Camera frames of the same people in another room: augmentation of what cameras see.

    Args:
        camera: [B, T, 3, H, W] in 0..1.
        mask: [B, T, 1, H, W] in 0..1; it stays valid for the result.
        room: [B, T or 1, 3, H, W] in 0..1, any other footage.
    """
    return relight_and_composite(camera, mask, room, measure_light(room, shadow=0.15))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLook:
    """A look that treats people and room differently.

    Attributes:
        name: unique, snake_case.
        hidden: a state drawn once per stream decides too (the place behind the person).
        prompts: paraphrases for training.
        held_out: paraphrases that are never trained on.
        draw: (B, H, W, generator) -> state on the generator's device; {} unless hidden.
        apply: (frames [B, T, 3, H, W] in 0..1, mask [B, T, 1, H, W], state) -> frames. Exposure
            follows the whole clip: give one stream's frames together.
    """

    name: str
    hidden: bool
    prompts: tuple[str, ...]
    held_out: tuple[str, ...]
    draw: DrawState
    apply: ApplyPersonLook


def _look(name: str, draw: DrawState, apply: ApplyPersonLook, *, hidden: bool) -> PersonLook:
    texts = tuple(PROMPTS[name].split("; "))
    return PersonLook(
        name=name,
        hidden=hidden,
        prompts=texts[:-HELD_OUT],
        held_out=texts[-HELD_OUT:],
        draw=draw,
        apply=apply,
    )


def graded_person(name: str, material: Callable[[Tensor, Tensor], Tensor]) -> PersonLook:
    """A look without state that remakes the person (or the room) in place."""

    def draw(_batch: int, _height: int, _width: int, _generator: torch.Generator) -> State:
        return {}

    def apply(x: Tensor, mask: Tensor, _state: State) -> Tensor:
        return material(x, mask)

    return _look(name, draw, apply, hidden=False)


def placed_person(name: str, backdrop: Backdrop, *, shadow: float) -> PersonLook:
    """A look that puts the person before a drawn place."""

    def draw(batch: int, height: int, width: int, generator: torch.Generator) -> State:
        return {"place": backdrop(batch, height, width, generator)}

    def apply(x: Tensor, mask: Tensor, state: State) -> Tensor:
        place = state["place"]
        return relight_and_composite(x, mask, place, measure_light(place, shadow=shadow))

    return _look(name, draw, apply, hidden=True)


def _draw_silhouette(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    return {"place": backdrops.sun_disc(batch, height, width, generator)}


def silhouette(x: Tensor, mask: Tensor, state: State) -> Tensor:
    """Nearly black person with a thin edge of light before a low sun."""
    place = state["place"]
    matte = matte_of(mask)
    hue = place.mean((3, 4), keepdim=True)
    body = hue * (0.05 + 0.07 * luma(x))
    leak = (1 - blur(matte, px(x, 1.6))).clamp(0, 1) * matte
    return materials.over(body + 0.8 * leak * blur(place, px(x, 5.0)), matte, place)


def _draw_sea(batch: int, height: int, width: int, generator: torch.Generator) -> State:
    return {
        "place": backdrops.sea(batch, height, width, generator),
        "caustics": backdrops.caustics(batch, height, width, generator),
    }


def under_the_sea(x: Tensor, mask: Tensor, state: State) -> Tensor:
    """Blue-green person with ripples of light from above, before deep water."""
    place = state["place"]
    matte = matte_of(mask)
    normal = normals(local_tone(x, matte), matte)
    above = smoothstep(-normal[:, :, 0:1], -0.55, 0.75)
    tint = torch.tensor([0.55, 0.95, 1.05], device=x.device).view(3, 1, 1)
    rippled = (x * tint * (0.8 + 0.75 * state["caustics"] * above)).clamp(0, 1)
    return relight_and_composite(rippled, mask, place, measure_light(place, shadow=0.0))


PERSON_LOOKS: tuple[PersonLook, ...] = (
    graded_person("marble_person", materials.marble),
    graded_person("chrome_person", materials.chrome),
    graded_person("gold_person", materials.gold),
    graded_person("hologram_person", materials.hologram),
    graded_person("clay_person", materials.clay),
    graded_person("zombie_person", materials.zombie),
    graded_person("portrait_blur", materials.portrait_blur),
    graded_person("colour_person", materials.colour_person),
    _look("silhouette", _draw_silhouette, silhouette, hidden=True),
    placed_person("studio_backdrop", backdrops.studio, shadow=0.6),
    placed_person("colour_stage", backdrops.gradient, shadow=0.35),
    placed_person("outer_space", backdrops.space, shadow=0.0),
    placed_person("mountain_sunset", backdrops.mountains, shadow=0.0),
    placed_person("city_night", backdrops.city, shadow=0.0),
    _look("under_the_sea", _draw_sea, under_the_sea, hidden=True),
)
