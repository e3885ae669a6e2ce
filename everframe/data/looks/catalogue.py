"""The list of all looks: names, kinds and prompts meet the operators here."""

from functools import lru_cache

import torch

from everframe.data.looks import (
    display,
    drawing,
    inks,
    light,
    material,
    painting,
    pieces,
    press,
    worlds,
)
from everframe.data.looks.look import ApplyLook, DrawState, Look, State
from everframe.data.looks.prompts_hidden import PROMPTS_HIDDEN
from everframe.data.looks.prompts_plain import PROMPTS_COLOUR, PROMPTS_PLAIN

HELD_OUT = 3
"""How many phrases at the end of each look's list are never trained on."""


def no_state(_batch: int, _height: int, _width: int, _generator: torch.Generator) -> State:
    """Draw of the looks that camera and prompt decide."""
    return {}


def _split(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    phrases = tuple(text.split("; "))
    return phrases[:-HELD_OUT], phrases[-HELD_OUT:]


def _colour(apply: ApplyLook) -> Look:
    prompts, held_out = _split(PROMPTS_COLOUR[apply.__name__])
    return Look(
        name=apply.__name__,
        kind="colour",
        prompts=prompts,
        held_out=held_out,
        draw=no_state,
        apply=apply,
    )


def _plain(apply: ApplyLook) -> Look:
    prompts, held_out = _split(PROMPTS_PLAIN[apply.__name__])
    return Look(
        name=apply.__name__,
        kind="plain",
        prompts=prompts,
        held_out=held_out,
        draw=no_state,
        apply=apply,
    )


def _hidden(apply: ApplyLook, draw: DrawState) -> Look:
    prompts, held_out = _split(PROMPTS_HIDDEN[apply.__name__])
    return Look(
        name=apply.__name__,
        kind="hidden",
        prompts=prompts,
        held_out=held_out,
        draw=draw,
        apply=apply,
    )


LOOKS: tuple[Look, ...] = (
    _colour(light.sepia),
    _colour(light.noir),
    _colour(light.night_vision),
    _colour(light.thermal),
    _colour(light.golden_hour),
    _colour(light.moonlight),
    _colour(light.infrared_film),
    _colour(light.cyberpunk),
    _colour(light.x_ray),
    _colour(light.film_negative),
    _plain(drawing.pencil),
    _plain(drawing.charcoal),
    _plain(drawing.cross_hatch),
    _plain(drawing.blueprint),
    _plain(drawing.banknote),
    _plain(drawing.ballpoint),
    _plain(painting.oil_painting),
    _plain(painting.watercolour),
    _plain(painting.ukiyo_e),
    _plain(painting.cartoon),
    _plain(painting.anime),
    _plain(painting.pointillism),
    _plain(painting.low_poly),
    _plain(painting.clay),
    _plain(press.newspaper),
    _plain(press.comic),
    _plain(press.pop_art),
    _plain(display.pixel_art),
    _plain(display.handheld),
    _plain(display.vhs),
    _plain(display.terminal),
    _plain(material.stone_relief),
    _plain(material.gold_statue),
    _plain(material.chrome),
    _plain(light.dreamy_glow),
    _plain(light.frost),
    _plain(light.underwater),
    _plain(light.hologram),
    _plain(light.neon_lines),
    _hidden(inks.poster_palette, inks.draw_poster_palette),
    _hidden(inks.duotone, inks.draw_duotone),
    _hidden(inks.false_colour, inks.draw_false_colour),
    _hidden(inks.halftone_ink, inks.draw_halftone_ink),
    _hidden(inks.risograph, inks.draw_risograph),
    _hidden(inks.linocut, inks.draw_linocut),
    _hidden(inks.zine, inks.draw_zine),
    _hidden(inks.chalk, inks.draw_chalk),
    _hidden(pieces.stained_glass, pieces.draw_stained_glass),
    _hidden(pieces.mosaic, pieces.draw_mosaic),
    _hidden(pieces.toy_bricks, pieces.draw_toy_bricks),
    _hidden(pieces.crystal, pieces.draw_crystal),
    _hidden(pieces.knitted, pieces.draw_knitted),
    _hidden(pieces.embroidery, pieces.draw_embroidery),
    _hidden(pieces.quilt, pieces.draw_quilt),
    _hidden(worlds.tinted_watercolour, worlds.draw_tinted_watercolour),
    _hidden(worlds.neon_haze, worlds.draw_neon_haze),
    _hidden(worlds.aurora, worlds.draw_aurora),
    _hidden(worlds.alien_planet, worlds.draw_alien_planet),
    _hidden(worlds.camouflage, worlds.draw_camouflage),
    _hidden(worlds.marble, worlds.draw_marble),
    _hidden(worlds.patina, worlds.draw_patina),
    _hidden(worlds.graffiti, worlds.draw_graffiti),
    _hidden(worlds.nebula, worlds.draw_nebula),
    _hidden(worlds.paper_collage, worlds.draw_paper_collage),
    _hidden(worlds.tie_dye, worlds.draw_tie_dye),
    _hidden(worlds.contour_map, worlds.draw_contour_map),
)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Look]:
    return {look.name: look for look in LOOKS}


def look_by_name(name: str) -> Look:
    """The look called `name`; KeyError that lists the names if there is none."""
    looks = _by_name()
    if name not in looks:
        raise KeyError(f"no look {name!r}; there are: {', '.join(looks)}")
    return looks[name]
