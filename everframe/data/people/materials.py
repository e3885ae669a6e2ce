"""The person made of something else, in place: pure operators on (frame, mask).

The room behind stays, sometimes graded. None has a state: camera and prompt decide the picture.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from everframe.data.looks.colour import contrast, luma, saturate, screen, swatch, tint_ramp
from everframe.data.looks.filters import blur, kuwahara, lines
from everframe.data.looks.texture import fractal_noise, grain_of, stripes, vignette_of
from everframe.data.people.matte import (
    clean_edges,
    lit,
    local_tone,
    matte_of,
    mean_inside,
    normals,
    px,
    smoothstep,
)


def over(person: Tensor, matte: Tensor, behind: Tensor) -> Tensor:
    """Person laid over a background, 0..1."""
    return (behind + matte * (person - behind)).clamp(0, 1)


@lru_cache(maxsize=16)
def _veins(height: int, width: int, device: torch.device) -> Tensor:
    """[H, W] broken veins and clouds 0..1, the same on every device."""
    generator = torch.Generator().manual_seed(height * 4096 + width)
    size = (1, 1, height, width)
    vein = fractal_noise(size, max(8, height // 4), 4, generator, 0.6)[0, 0, 0]
    cloud = fractal_noise(size, max(8, height // 6), 2, generator)[0, 0, 0]
    thin = torch.exp(-((vein / 0.1) ** 2)) * smoothstep(cloud, -0.3, 1.2)
    return (0.75 * thin + 0.25 * torch.exp(-((vein / 0.5) ** 2))).to(device)


def _sculpted(x: Tensor, matte: Tensor, radius: int = 2) -> tuple[Tensor, Tensor]:
    """Painterly detail and normals of the person."""
    smooth = kuwahara(clean_edges(x, matte), radius)
    detail = local_tone(smooth, matte)
    return detail, normals(detail, matte, roundness=1.4)


def marble(x: Tensor, mask: Tensor) -> Tensor:
    """White marble statue in the room."""
    matte = matte_of(mask)
    detail, normal = _sculpted(x, matte)
    shade = 0.3 + 0.62 * lit(normal, -0.6, -0.6, 0.45) + 0.9 * detail
    shade = shade + 0.16 * smoothstep(lit(normal, -0.5, -0.4, 0.8), 0.86, 1.0)
    veins = _veins(x.shape[-2], x.shape[-1], x.device)
    stone = tint_ramp(shade, (0.0, 0.35, 0.7, 1.0), "3c3a40", "96918f", "dcd7d0", "fffdf8")
    stone = stone * (1 - veins * (1 - swatch("bcb9bf", x)))
    return over(stone, matte, x)


def chrome(x: Tensor, mask: Tensor) -> Tensor:
    """Polished metal robot that mirrors a sky, a dark horizon and a floor."""
    matte = matte_of(mask)
    detail, normal = _sculpted(x, matte, 4)
    normal = blur(normal, px(x, 1.3))  # a mirror doubles every tremor of the surface
    glance = 0.5 - 0.42 * normal[:, :, 0:1] + 0.12 * normal[:, :, 1:2] + 0.25 * detail
    metal = tint_ramp(
        glance,
        (0.06, 0.27, 0.42, 0.58, 0.74, 0.94),
        *("23262e", "7c8088", "1a1d26", "9fb3c8", "e9f2fb", "5d7fa8"),
    )
    seams = 0.6 * lines(luma(x), px(x, 1.4), 12.0)
    spark = smoothstep(lit(normal, -0.7, -0.5, 0.6), 0.93, 1.0)
    metal = metal * (1 - seams) + 0.5 * spark + 0.25 * (1 - normal[:, :, 2:3]) ** 2
    return over(metal, matte, x)


def gold(x: Tensor, mask: Tensor) -> Tensor:
    """Polished gold statue in the room."""
    matte = matte_of(mask)
    detail, normal = _sculpted(x, matte)
    shade = 0.2 + 0.5 * lit(normal, -0.6, 0.5, 0.4) + 1.0 * detail
    spark = smoothstep(lit(normal, -0.55, 0.35, 0.75), 0.85, 1.0)
    shade = shade + 0.28 * spark + 0.2 * smoothstep(lit(normal, 0.5, -0.8, 0.3), 0.45, 1.0)
    metal = tint_ramp(
        shade,
        (0.02, 0.25, 0.48, 0.7, 0.95),
        *("2b1402", "7d4706", "cf9216", "ffd75c", "fff7d0"),
    )
    return over(metal, matte, x)


def hologram(x: Tensor, mask: Tensor) -> Tensor:
    """Cyan projection with scan lines in a dimmed room."""
    matte = matte_of(mask)
    tone = luma(clean_edges(x, matte))
    normal = normals(local_tone(x, matte), matte)
    edge = (1 - normal[:, :, 2:3]) ** 1.5
    scan = 0.82 + 0.18 * stripes(x, 4.0, 0.0)
    power = (0.12 + 0.75 * contrast(tone, 5.0, 0.45) + 0.5 * edge) * scan
    light = tint_ramp(power, (0.0, 0.45, 0.8, 1.1), "02202e", "12a5c8", "5cf0ff", "effeff")
    room = 0.3 * luma(x) * swatch("5f86c8", x)
    halo = 0.35 * blur(matte, px(x, 9.0)) * swatch("18b4e8", x)
    behind = screen(room, halo).clamp(0, 1)
    return over(light + 0.18 * behind, matte, behind)


def clay(x: Tensor, mask: Tensor) -> Tensor:
    """Plasticine figure in its own colours, with kneading marks."""
    matte = matte_of(mask)
    flat = saturate(kuwahara(kuwahara(clean_edges(x, matte), 6), 5), 1.8)
    detail = local_tone(kuwahara(x, 2), matte)
    normal = normals(detail, matte, roundness=1.5, depth=1.2)
    dents = 0.03 * grain_of(x, 32)
    shade = 0.7 + 0.52 * lit(normal, -0.6, -0.5, 0.45) + dents
    shine = 0.2 * smoothstep(lit(normal, -0.55, -0.45, 0.7), 0.85, 1.0)
    mean = mean_inside(luma(flat), matte)
    lifted = flat * (1 + 0.8 * (0.5 - mean).clamp(min=0)) + 0.3 * (0.5 - mean).clamp(min=0)
    return over(lifted * shade + shine, matte, x)


def zombie(x: Tensor, mask: Tensor) -> Tensor:
    """Sick green skin, hollow features, a cold dark room."""
    matte = matte_of(mask)
    own = clean_edges(x, matte)
    tone = luma(own)
    hollow = local_tone(own, matte, 7.0)
    flesh = (contrast(tone, 4.5, 0.45) * 0.85 + 1.6 * hollow + 0.05).clamp(0, 1)
    skin = tint_ramp(flesh, (0.0, 0.3, 0.6, 1.0), "0a120a", "3a5232", "7fa25c", "d6e8a6")
    warm = smoothstep(own[:, :, 0:1] - own[:, :, 2:3], 0.02, 0.2)
    cloth = 0.7 * saturate(own, 0.35) * swatch("c9d3c0", x)
    body = cloth + (0.45 + 0.55 * warm) * (skin - cloth)
    room = 0.55 * saturate(x, 0.3) * swatch("a9c8c0", x) * (1 - 0.5 * vignette_of(x))
    return over(body, matte, room)


def portrait_blur(x: Tensor, mask: Tensor) -> Tensor:
    """The person sharp, the room far out of focus."""
    matte = matte_of(mask)
    sigma = px(x, 11.0)
    away = 1 - smoothstep(blur(matte, px(x, 2.0)), 0.0, 0.6)  # the person must not smear outwards
    soft = blur(x * away, sigma) / (blur(away, sigma) + 1e-2)
    return over(clean_edges(x, matte), matte, soft)


def colour_person(x: Tensor, mask: Tensor) -> Tensor:
    """The person in full colour, everything else in black and white."""
    matte = matte_of(mask)
    grey = contrast(luma(x), 4.0, 0.5).expand_as(x)
    return over(saturate(x, 1.25), matte, grey * 0.92)
