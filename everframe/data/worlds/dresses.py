"""The dresses of a world: tables of materials and air, for sources and for targets."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from everframe.data.worlds.biomes import Dice
from everframe.data.worlds.geometry import CLASSES
from everframe.data.worlds.materials import Air, Material, Rgb, air_row, material_row


def rgb(code: str) -> Rgb:
    """Linear light of an sRGB colour such as "#a0c0ff" (gamma 2.2)."""
    red, green, blue = (int(code[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return red**2.2, green**2.2, blue**2.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolour:
    """What a hidden dress leaves to chance, per stream."""

    hues: tuple[float, float] = (0.0, 1.0)  # range of the drawn hues, in turns
    saturation: tuple[float, float] = (0.8, 1.25)  # factor
    value: tuple[float, float] = (0.85, 1.1)  # factor
    classes: tuple[str, ...] = CLASSES  # which surfaces are recoloured
    patterns: tuple[str, ...] = ()  # drawn anew for surfaces that have a pattern
    scale: float = 1.5  # greatest factor on a pattern's scale
    sky: bool = False  # whether sky and light are recoloured, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """Tables of one dress: air and materials, by class; `indoor` replaces some in rooms."""

    air: Air
    materials: Mapping[str, Material]
    indoor: Mapping[str, Material] = field(default_factory=dict[str, Material])
    indoor_air: Air | None = None
    elevation: tuple[float, float] = (28.0, 60.0)  # of the sun, degrees
    hidden: Recolour | None = None

    def rows(self, biome: str, dice: Dice) -> tuple[list[list[float]], list[float]]:
        """Return the material rows (one per class) and the air row, hidden choices drawn."""
        inside = biome in ("room", "table")
        merged = dict(self.materials)
        if inside:
            merged |= self.indoor
        merged.setdefault("room", merged["wall"])
        merged.setdefault("ceiling", merged["room"])
        air = self.indoor_air if inside and self.indoor_air is not None else self.air
        if biome == "table" and air.lit > 0.5:
            # The plane under a still life melts into its backdrop.
            air = replace(air, fog=max(air.fog, 0.045))
        if self.hidden is not None:
            merged, air = _recolour(merged, air, self.hidden, dice)
        return [material_row(merged[name]) for name in CLASSES], air_row(air)


def _turn(colour: Rgb, hue: float, saturation: float, value: float) -> Rgb:
    _, s, v = colorsys.rgb_to_hsv(*(min(max(c, 0.0), 1.0) for c in colour))
    peak = max(1.0, *colour)
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(s * saturation, 1.0), min(v * value, 1.0))
    return r * peak, g * peak, b * peak


def _recolour(
    materials: Mapping[str, Material], air: Air, rule: Recolour, dice: Dice
) -> tuple[dict[str, Material], Air]:
    low, high = rule.hues
    first, jitter = dice.between(0.0, 1.0), dice.between(-0.12, 0.12)
    spread = (0.0, 1 / 3 + jitter, 2 / 3 - jitter, 0.5)
    hues = [low + (high - low) * ((first + part) % 1.0) for part in spread]
    saturation, value = dice.between(*rule.saturation), dice.between(*rule.value)
    worn: dict[str, Material] = {}
    for name in CLASSES:
        old = materials[name]
        one, two = hues[dice.below(4)], hues[dice.below(4)]
        kind, factor = dice.between(0.0, 1.0), dice.between(1.0 / rule.scale, rule.scale)
        if name not in rule.classes:
            worn[name] = old
            continue
        pattern = old.pattern
        if rule.patterns and pattern != "none":
            pattern = rule.patterns[min(int(kind * len(rule.patterns)), len(rule.patterns) - 1)]
        worn[name] = replace(
            old, a=_turn(old.a, one, saturation, value), b=_turn(old.b, two, saturation, value),
            glow=_turn(old.glow, two, 1.0, 1.0), pattern=pattern, scale=old.scale * factor,
        )  # fmt: skip
    if rule.sky:
        one, two = dice.between(0.0, 1.0), dice.between(0.0, 1.0)
        air = replace(
            air, horizon=_turn(air.horizon, one, 1.0, 1.0), zenith=_turn(air.zenith, two, 1.0, 1.0),
            cloud=_turn(air.cloud, two, 1.0, 1.0), sun=_turn(air.sun, one + 0.5, 1.0, 1.0),
            above=_turn(air.above, two, 1.0, 1.0),
        )  # fmt: skip
    return worn, air


def plain(code: str, second: str = "#000000", **more: float | str) -> Material:
    """A material from two colour codes; `more` sets grain, scale, strength, gloss, cover, vary."""
    numbers = {name: float(value) for name, value in more.items() if not isinstance(value, str)}
    known = {
        "grain": 0.25, "scale": 1.0, "strength": 1.0, "gloss": 0.0, "cover": 1.0, "vary": 0.0,
    } | numbers  # fmt: skip
    return Material(
        a=rgb(code), b=rgb(second), pattern=str(more.get("pattern", "none")),
        glow_by=str(more.get("glow_by", "all")),
        glow=_glow(str(more.get("glow", "#000000")), known),
        grain=known["grain"], scale=known["scale"], strength=known["strength"],
        gloss=known["gloss"], cover=known["cover"], vary=known["vary"],
    )  # fmt: skip


def _glow(code: str, known: Mapping[str, float]) -> Rgb:
    gain = known.get("gain", 1.0)
    red, green, blue = rgb(code)
    return red * gain, green * gain, blue * gain


def uniform(material: Material, **others: Material) -> dict[str, Material]:
    """The same material for every class but those in `others`."""
    return {name: others.get(name, material) for name in CLASSES}


DAY_INDOOR = {
    "ground": plain("#a07850", "#6d4c30", pattern="planks", scale=5.0, strength=0.6, gloss=0.2),
    "road": plain("#9a3b35", "#d9c7a0", pattern="strata", scale=1.2, strength=0.4),
    "wall": plain("#b48a60", "#7a5836", pattern="planks", scale=2.5, strength=0.5, vary=0.6),
    "roof": plain("#8c6a48", grain=0.35, vary=0.5), "trunk": plain("#444444", gloss=0.3),
    "leaf": plain("#f0dcae", glow="#d8b070", gain=0.5),
    "thing": plain("#5f86a8", gloss=0.5, vary=0.9),
    "room": plain("#d8cfbe", grain=0.08), "ceiling": plain("#efece4", grain=0.03),
}  # fmt: skip
DAY_OUTDOOR = {
    "ground": plain("#5f7a38", "#8a8a50", pattern="patches", strength=0.35, grain=0.55),
    "road": plain("#6b6762", "#e8e4d8", pattern="lane", strength=0.8, grain=0.3),
    "wall": plain("#bc9c80", "#4c5a66", pattern="windows", scale=0.7, strength=0.85, vary=0.7),
    "roof": plain("#8a4636", "#5e2c22", pattern="brick", scale=3.0, strength=0.6, vary=0.5),
    "trunk": plain("#5c432c", grain=0.5), "leaf": plain("#44702c", grain=0.8, vary=0.5),
    "thing": plain("#87827a", grain=0.5, vary=0.4),
}  # fmt: skip
ROOM_AIR = Air(
    sun=(1.15, 1.0, 0.8), above=(0.3, 0.29, 0.27), below=(0.3, 0.26, 0.22), fog=0.0, shade=0.8,
    horizon=rgb("#b4aa9c"), zenith=rgb("#8a8278"), clouds=0.0,
)  # fmt: skip
_STUDIO = Air(
    sun=(1.0, 1.0, 1.0), above=(0.4, 0.4, 0.4), below=(0.2, 0.2, 0.2), horizon=rgb("#c8c8c8"),
    zenith=rgb("#a8a8a8"), clouds=0.0, fog=0.012,
)  # fmt: skip
FLAT_COLOURS = {
    "ground": "#6fa04c", "road": "#8c8c8c", "wall": "#d8b46a", "roof": "#b8503c",
    "trunk": "#7a5230", "leaf": "#3d8a3d", "thing": "#4a7fc0", "room": "#d8d8c8",
    "ceiling": "#f0f0f0",
}  # fmt: skip

SOURCES: dict[str, Cloth] = {
    "clay": Cloth(air=_STUDIO, materials=uniform(plain("#b8b2aa", grain=0.0))),
    "white_model": Cloth(
        air=replace(_STUDIO, horizon=rgb("#eeeeee"), zenith=rgb("#dcdcdc"), ink=0.55),
        materials=uniform(plain("#e6e6e6", grain=0.0)),
    ),
    "blockout": Cloth(
        air=replace(_STUDIO, horizon=rgb("#a8c8e8"), zenith=rgb("#78a8d8"), bands=0.6),
        materials={name: plain(code, grain=0.0) for name, code in FLAT_COLOURS.items()},
        hidden=Recolour(hues=(0.0, 1.0), saturation=(0.6, 1.3)),
    ),
    "flat_labels": Cloth(
        air=replace(_STUDIO, lit=0.0, horizon=rgb("#88b8e0"), zenith=rgb("#88b8e0"), fog=0.0),
        materials={name: plain(code, grain=0.0, vary=0.4) for name, code in FLAT_COLOURS.items()},
    ),
    "day": Cloth(
        air=Air(disc=0.6), materials=DAY_OUTDOOR, indoor=DAY_INDOOR, indoor_air=ROOM_AIR
    ),
    "overcast": Cloth(
        air=Air(
            sun=(0.3, 0.3, 0.3), above=(0.5, 0.52, 0.54), below=(0.2, 0.2, 0.2), shade=0.4,
            horizon=rgb("#c0c4c8"), zenith=rgb("#8f979e"), cloud=rgb("#b4b8bc"), fog=0.014,
        ),
        materials={
            name: replace(m, a=(m.a[0] * 0.8, m.a[1] * 0.8, m.a[2] * 0.85))
            for name, m in DAY_OUTDOOR.items()
        },
        indoor=DAY_INDOOR, indoor_air=replace(ROOM_AIR, sun=(0.6, 0.62, 0.65), shade=0.5),
    ),
    "edges": Cloth(
        air=replace(
            _STUDIO, lit=0.0, ink=1.0, ink_colour=rgb("#e8e8e8"), horizon=rgb("#1c1e22"),
            zenith=rgb("#1c1e22"), fog=0.0,
        ),
        materials=uniform(plain("#24272c", grain=0.0)),
    ),
}  # fmt: skip
