"""Tables of the target dresses. Names match `prompts.PROMPTS`; sense and colours are our own."""

from __future__ import annotations

from dataclasses import replace

from everframe.data.worlds.dresses import (
    DAY_OUTDOOR,
    ROOM_AIR,
    Cloth,
    Recolour,
    plain,
    rgb,
    uniform,
)
from everframe.data.worlds.materials import Air

_NIGHT = Air(
    sun=(0.1, 0.12, 0.22), above=(0.05, 0.06, 0.14), below=(0.05, 0.03, 0.08),
    horizon=rgb("#2a1440"), zenith=rgb("#05060f"), cloud=rgb("#241a38"), stars=0.4, fog=0.016,
)  # fmt: skip
_GREEN = replace(DAY_OUTDOOR["ground"], a=rgb("#4f8a2c"), b=rgb("#9aa548"))

NATURE: dict[str, Cloth] = {
    "summer_day": Cloth(
        air=Air(sun=(1.45, 1.3, 1.05), horizon=rgb("#b8dcf4"), zenith=rgb("#2f7ad0"), disc=0.8),
        materials=DAY_OUTDOOR | {
            "ground": _GREEN, "leaf": plain("#3c7a22", grain=0.9, vary=0.5),
            "wall": plain("#e4d2b4", "#6f8ea4", pattern="windows", scale=0.7, vary=0.4, gloss=0.1),
            "roof": plain("#b4502f", "#7a3018", pattern="brick", scale=3.0, strength=0.7),
        },
    ),
    "snowy_winter": Cloth(
        air=Air(
            sun=(0.75, 0.78, 0.85), above=(0.5, 0.56, 0.66), below=(0.32, 0.35, 0.4), shade=0.6,
            horizon=rgb("#dfe6ee"), zenith=rgb("#9fb4cc"), cloud=rgb("#eef2f6"), fog=0.022,
            cover=0.97,
        ),
        materials=DAY_OUTDOOR | {
            "ground": plain("#e8eef6", grain=0.1), "road": plain("#c2c9d2", "#8d959e",
            pattern="patches", strength=0.5, cover=0.3), "leaf": plain("#5d7470", "#e8eef6",
            pattern="patches", strength=0.7), "wall": plain("#8f7a6a", "#ffd890",
            pattern="windows", scale=0.8, strength=0.7, glow="#ffb850", gain=0.5, glow_by="windows",
            vary=0.4),
        },
    ),
    "sunset_desert": Cloth(
        air=Air(
            sun=(1.7, 0.85, 0.4), above=(0.34, 0.2, 0.26), below=(0.26, 0.14, 0.1), disc=1.0,
            horizon=rgb("#ffab5c"), zenith=rgb("#5a3878"), cloud=rgb("#ff7d5c"), clouds=0.7,
            fog=0.016,
        ),
        materials=DAY_OUTDOOR | {
            "ground": plain("#d8a060", "#c08848", pattern="strata", scale=0.5, strength=0.6),
            "road": plain("#c49258", grain=0.3), "leaf": plain("#7d8048", grain=0.7),
            "wall": plain("#d0a070", "#a87848", pattern="strata", scale=0.8, strength=0.5),
            "roof": plain("#b8845a", grain=0.3), "thing": plain("#b06a40", grain=0.5),
        },
        elevation=(9.0, 22.0),
    ),
    "autumn": Cloth(
        air=Air(
            sun=(1.25, 1.0, 0.7), above=(0.36, 0.36, 0.38), horizon=rgb("#e8dcc8"),
            zenith=rgb("#88a8c4"), fog=0.018,
        ),
        materials=DAY_OUTDOOR | {
            "ground": plain("#8a6a2c", "#b8541c", pattern="patches", strength=0.7, grain=0.6),
            "leaf": plain("#d8821c", "#a82c12", pattern="object", grain=0.8),
            "road": plain("#6d5f50", "#a8641c", pattern="patches", strength=0.45),
        },
    ),
    "lava_world": Cloth(
        air=Air(
            sun=(0.5, 0.25, 0.15), above=(0.16, 0.06, 0.05), below=(0.45, 0.14, 0.04),
            horizon=rgb("#b03a12"), zenith=rgb("#1c0808"), cloud=rgb("#401410"), clouds=0.9,
            fog=0.022,
        ),
        materials=uniform(
            plain("#2c2422", grain=0.6),
            ground=plain("#241c1a", glow="#ff5a10", gain=2.0, glow_by="cracks", grain=0.6),
            road=plain("#ff5a10", "#ffb030", pattern="patches", glow="#ff5810", gain=0.8),
            leaf=plain("#401810", glow="#e03808", gain=0.7, glow_by="cracks"),
            roof=plain("#181412", glow="#ff4a08", gain=0.6, glow_by="cracks"),
        ),
    ),
    "rainy_dusk": Cloth(
        air=Air(
            sun=(0.12, 0.14, 0.2), above=(0.22, 0.26, 0.34), below=(0.1, 0.1, 0.12), shade=0.3,
            horizon=rgb("#7c8694"), zenith=rgb("#343e4e"), cloud=rgb("#4c5564"), clouds=0.9,
            fog=0.026,
        ),
        materials=DAY_OUTDOOR | {
            "road": plain("#2c3036", "#c8c0a0", pattern="lane", gloss=1.6, grain=0.2),
            "ground": plain("#3c4830", grain=0.5, gloss=0.5),
            "wall": plain("#6a5e58", "#ffc870", pattern="windows", scale=0.8, strength=0.6,
            glow="#ffb450", gain=1.0, glow_by="windows"),
            "roof": plain("#3c3230", gloss=0.8), "leaf": plain("#2c4428", grain=0.7),
        },
    ),
    "moonlit_night": Cloth(
        air=Air(
            sun=(0.3, 0.4, 0.62), above=(0.06, 0.09, 0.17), below=(0.03, 0.04, 0.06), stars=1.0,
            horizon=rgb("#2c4468"), zenith=rgb("#060c20"), cloud=rgb("#2c3c58"), disc=0.6,
            fog=0.012, clouds=0.3,
        ),
        materials=DAY_OUTDOOR | {
            "wall": plain("#8a94a0", "#ffd080", pattern="windows", scale=0.6, strength=0.4,
            glow="#ffb040", gain=0.35, glow_by="windows"),
        },
    ),
    "underwater": Cloth(
        air=Air(
            sun=(0.5, 0.95, 0.95), above=(0.1, 0.34, 0.42), below=(0.04, 0.16, 0.2), clouds=0.0,
            horizon=rgb("#0f6a86"), zenith=rgb("#4cc4d0"), fog=0.07, ripple=0.55, cover=0.4,
            cover_colour=rgb("#c8c090"),
        ),
        materials=DAY_OUTDOOR | {
            "ground": plain("#d0c498", grain=0.4), "road": plain("#b8b08c", grain=0.4),
            "leaf": plain("#e0606c", "#f0a040", pattern="object", grain=0.6),
            "wall": plain("#7a9488", "#4c6c5c", pattern="brick", scale=2.0),
            "roof": plain("#5c8070", grain=0.6), "trunk": plain("#8c5c78"),
        },
        indoor={"room": plain("#6c9090", "#507878", pattern="grid", scale=2.0),
                "ceiling": plain("#80c0c0", glow="#207080", gain=0.5)},
    ),
    "jungle": Cloth(
        air=Air(
            sun=(1.15, 1.15, 0.75), above=(0.22, 0.34, 0.22), below=(0.1, 0.15, 0.07),
            horizon=rgb("#b4d09c"), zenith=rgb("#5c98a0"), fog=0.02, cover=0.85,
            cover_colour=rgb("#37661c"),
        ),
        materials=DAY_OUTDOOR | {
            "ground": plain("#2c5416", "#5f8020", pattern="patches", grain=0.8),
            "road": plain("#5c4a2c", "#3c5c1c", pattern="patches", grain=0.5),
            "wall": plain("#7c7c64", "#2f5c1c", pattern="patches", strength=0.95, grain=0.5),
            "roof": plain("#3c6420", grain=0.7), "leaf": plain("#2c7a1c", grain=0.9, vary=0.6),
            "trunk": plain("#4c3c20", "#3c6420", pattern="patches"),
        },
    ),
}  # fmt: skip

BUILT: dict[str, Cloth] = {
    "neon_night": Cloth(
        air=_NIGHT,
        materials=uniform(
            plain("#1c1c28", grain=0.3),
            road=plain("#141420", "#28e8ff", pattern="lane", glow="#18d8ff", gain=1.2,
                       glow_by="pattern", gloss=1.6),
            wall=plain("#20203a", "#ff48c8", pattern="windows", scale=0.8, strength=0.3,
                       glow="#ff50d0", gain=1.2, glow_by="windows"),
            roof=plain("#201028", glow="#f02090", gain=0.5, grain=0.1),
            leaf=plain("#0c3038", glow="#10b8c0", gain=0.3),
            ground=plain("#16161f", "#a020f0", pattern="grid", scale=0.5, glow="#9020ff",
                         glow_by="pattern", gloss=0.8),
            thing=plain("#302040", glow="#5040ff", gain=0.6),
        ),
        indoor={"room": plain("#30224c", "#ff30b0", pattern="grid", scale=0.8, strength=0.6,
                              glow="#ff30b0", gain=1.2, glow_by="pattern"),
                "ceiling": plain("#2c2844", "#20d0f0", pattern="grid", scale=0.5,
                                 glow="#20c0f0", glow_by="pattern"),
                "leaf": plain("#40f0ff", glow="#30e8ff", gain=1.2),
                "road": plain("#301858", glow="#5018a0", gain=0.4)},
        indoor_air=replace(_NIGHT, sun=(0.5, 0.25, 0.6), above=(0.16, 0.08, 0.26),
                           below=(0.08, 0.16, 0.24), fog=0.0),
    ),
    "marble_gold": Cloth(
        air=replace(ROOM_AIR, sun=(0.85, 0.82, 0.75), above=(0.4, 0.38, 0.36),
                    horizon=rgb("#f0ead8"), zenith=rgb("#d8ccb0"), clouds=0.0),
        materials=uniform(
            plain("#efebe4", "#8c8880", pattern="veins", strength=0.7, gloss=0.7, grain=0.1),
            roof=plain("#d8a030", gloss=1.2, grain=0.1), trunk=plain("#d8a030", gloss=1.2),
            thing=plain("#e0a838", gloss=1.4, grain=0.05),
            leaf=plain("#fff0c8", glow="#ffd080", gain=0.5),
            ground=plain("#e8e4dc", "#383634", pattern="checker", scale=1.2, gloss=0.9, grain=0.1),
            road=plain("#3c2c28", "#c89030", pattern="veins", gloss=0.7),
            ceiling=plain("#f4eee0", "#d8a030", pattern="grid", scale=1.0, grain=0.02),
        ),
    ),
    "white_nordic": Cloth(
        air=replace(ROOM_AIR, sun=(0.95, 0.95, 0.95), above=(0.55, 0.57, 0.6),
                    below=(0.4, 0.39, 0.37), horizon=rgb("#f4f4f2"), zenith=rgb("#e4e8ea"),
                    clouds=0.0, shade=0.55),
        materials=uniform(
            plain("#f2f1ee", grain=0.03),
            ground=plain("#dcc8a8", "#c0a888", pattern="planks", scale=6.0, strength=0.5,
                         grain=0.15),
            road=plain("#c4c8ca", "#f0f0ee", pattern="knit", scale=8.0, strength=0.5),
            wall=plain("#f0efec", "#d8c4a0", pattern="object", strength=0.6, grain=0.06),
            roof=plain("#dcc4a0", grain=0.15), trunk=plain("#2c2c2c"),
            leaf=plain("#fafaf4", glow="#fff4dc", gain=0.4),
            thing=plain("#a8b8b0", "#54646c", pattern="object", grain=0.05),
        ),
    ),
    "drafting_scene": Cloth(
        air=Air(
            sun=(0.35, 0.4, 0.45), above=(0.5, 0.5, 0.5), below=(0.3, 0.3, 0.3), clouds=0.0,
            horizon=rgb("#1d4f9c"), zenith=rgb("#15407f"), ink=1.0, ink_colour=rgb("#eaf4ff"),
            fog=0.01, lit=0.5,
        ),
        materials=uniform(
            plain("#1f56a8", grain=0.0),
            ground=plain("#1c4f9c", "#5c8cc8", pattern="grid", scale=1.0, strength=0.7, grain=0.0),
            road=plain("#184488", "#6c9cd8", pattern="grid", scale=2.0, strength=0.6, grain=0.0),
            room=plain("#1c4f9c", "#5c8cc8", pattern="grid", scale=2.0, strength=0.5, grain=0.0),
        ),
    ),
}  # fmt: skip

HIDDEN: dict[str, Cloth] = {
    "alien_planet": Cloth(
        air=Air(
            sun=(1.1, 1.2, 0.8), above=(0.25, 0.2, 0.4), below=(0.18, 0.12, 0.16),
            horizon=rgb("#f09ad8"), zenith=rgb("#286878"), cloud=rgb("#e8c8f0"), stars=0.5,
            disc=0.8, fog=0.018,
        ),
        materials=uniform(
            plain("#a060c0", "#603890", pattern="patches", grain=0.5),
            wall=plain("#c09050", "#704828", pattern="dots", scale=1.6, strength=0.8),
            leaf=plain("#30a8c8", "#d84890", pattern="dots", scale=3.0, glow="#205070", gain=0.5),
            road=plain("#906080", grain=0.4), roof=plain("#d04c70", grain=0.3, gloss=0.5),
            thing=plain("#50d0a0", gloss=0.6, glow="#106048", gain=0.6),
        ),
        hidden=Recolour(sky=True, patterns=("dots", "patches", "strata", "veins")),
    ),
    "candy_land": Cloth(
        air=Air(
            sun=(1.1, 1.05, 1.0), above=(0.5, 0.46, 0.52), below=(0.34, 0.28, 0.3), disc=0.3,
            horizon=rgb("#ffdcf0"), zenith=rgb("#98c8ff"), cloud=rgb("#fff0f8"), clouds=0.8,
        ),
        materials=uniform(
            plain("#f49ac0", "#ffffff", pattern="strata", gloss=0.5, grain=0.05),
            ground=plain("#a8e8c0", "#ffd0e4", pattern="dots", scale=1.3, grain=0.08),
            road=plain("#e88ca8", "#fff0f4", pattern="strata", scale=0.6, grain=0.05),
            wall=plain("#f8b0c8", "#ffffff", pattern="strata", scale=1.0, gloss=0.4, grain=0.05),
            leaf=plain("#ff7ab0", "#ffffff", pattern="strata", scale=1.6, gloss=0.6, grain=0.05),
            roof=plain("#80c8f0", "#ffffff", pattern="dots", scale=2.2, gloss=0.6, grain=0.05),
            trunk=plain("#e04c5c", "#ffffff", pattern="strata", scale=4.0, grain=0.0),
        ),
        hidden=Recolour(saturation=(0.9, 1.4), patterns=("strata", "dots", "checker")),
    ),
    "toy_plastic": Cloth(
        air=Air(
            sun=(1.15, 1.12, 1.08), above=(0.48, 0.48, 0.5), below=(0.3, 0.3, 0.3), clouds=0.0,
            horizon=rgb("#f0f4f8"), zenith=rgb("#c8dcf0"), fog=0.008,
        ),
        materials={
            name: plain(code, code, gloss=1.1, grain=0.0, cover=0.0) for name, code in {
                "ground": "#38b048", "road": "#505860", "wall": "#f0c020", "roof": "#e02828",
                "trunk": "#a05820", "leaf": "#30a040", "thing": "#2060e0", "room": "#70b8e8",
                "ceiling": "#f0f0e8",
            }.items()
        } | {"wall": plain("#f0c020", "#2070d8", pattern="object", gloss=1.1, grain=0.0)},
        hidden=Recolour(saturation=(0.9, 1.1)),
    ),
    "cosy_wood": Cloth(
        air=replace(ROOM_AIR, sun=(1.35, 0.95, 0.55), above=(0.26, 0.19, 0.13),
                    below=(0.26, 0.17, 0.1), horizon=rgb("#5c3c24"), zenith=rgb("#3c2818"),
                    clouds=0.0),
        materials=uniform(
            plain("#8c5a30", "#5c3418", pattern="planks", scale=4.0, strength=0.75, grain=0.4),
            road=plain("#a83830", "#e8c890", pattern="strata", scale=1.5, grain=0.2),
            wall=plain("#a0683c", "#683c1c", pattern="planks", scale=3.0, vary=0.5, grain=0.4),
            leaf=plain("#ffd898", glow="#ffb050", gain=1.0), trunk=plain("#3c2818"),
            thing=plain("#3c6850", "#c04838", pattern="object", gloss=0.5),
            roof=plain("#78482c", grain=0.4),
        ),
        hidden=Recolour(hues=(0.0, 1.0), classes=("road", "thing", "wall", "room", "roof"),
                        patterns=("planks", "checker", "strata", "patches"), saturation=(0.6, 1.0)),
    ),
    "paper_craft": Cloth(
        air=Air(
            sun=(0.95, 0.93, 0.9), above=(0.5, 0.5, 0.5), below=(0.34, 0.33, 0.32), clouds=0.8,
            horizon=rgb("#cfe4ec"), zenith=rgb("#9cc8dc"), cloud=rgb("#fafafa"), fog=0.008,
            ink=0.35, ink_colour=rgb("#fdfaf4"),
        ),
        materials={
            name: plain(code, "#fdfaf4", grain=0.06, cover=0.0, pattern="object", strength=0.15)
            for name, code in {
                "ground": "#a8c478", "road": "#d8c8a8", "wall": "#e8b878", "roof": "#d86c54",
                "trunk": "#a87c58", "leaf": "#6ca878", "thing": "#6c9cc0", "room": "#e8d8b8",
                "ceiling": "#f4f0e4",
            }.items()
        },
        hidden=Recolour(saturation=(0.9, 1.6), sky=True),
    ),
    "crystal_realm": Cloth(
        air=Air(
            sun=(0.8, 0.85, 1.0), above=(0.3, 0.28, 0.48), below=(0.2, 0.14, 0.3), stars=0.8,
            horizon=rgb("#8070c8"), zenith=rgb("#181440"), cloud=rgb("#504890"), fog=0.02,
        ),
        materials=uniform(
            plain("#7868c8", "#c8b8f8", pattern="facets", scale=1.6, gloss=1.4, grain=0.3),
            ground=plain("#403870", "#8c80d0", pattern="veins", gloss=0.8),
            road=plain("#585090", "#a8a0e0", pattern="facets", scale=1.0, gloss=1.0),
            leaf=plain("#70d8e8", "#e8ffff", pattern="facets", scale=3.0, gloss=1.2,
                       glow="#2080a0", gain=0.6),
            wall=plain("#8878d8", "#d8c8ff", pattern="facets", scale=1.2, gloss=1.4,
                       glow="#4838a0", gain=0.4, glow_by="pattern"),
        ),
        hidden=Recolour(sky=True, patterns=("facets", "veins", "checker")),
    ),
    "knitted_wool": Cloth(
        air=Air(
            sun=(0.9, 0.86, 0.8), above=(0.44, 0.43, 0.42), below=(0.3, 0.28, 0.27), shade=0.7,
            horizon=rgb("#f0e0d0"), zenith=rgb("#c8b8b8"), cloud=rgb("#fff8f0"), fog=0.01,
        ),
        materials={
            name: plain(code, second, grain=0.15, pattern="knit", scale=scale, strength=0.75)
            for name, code, second, scale in (
                ("ground", "#a0b878", "#5c7840", 1.6), ("road", "#c8b8a8", "#806858", 2.2),
                ("wall", "#d89078", "#8c4838", 2.4), ("roof", "#b85058", "#6c2830", 2.4),
                ("trunk", "#a08068", "#584030", 4.0), ("leaf", "#80a888", "#3c6848", 3.0),
                ("thing", "#88a0c0", "#405878", 5.0), ("room", "#e0c8b0", "#a08468", 3.0),
                ("ceiling", "#f0e8dc", "#c0b4a4", 3.0),
            )
        },
        hidden=Recolour(saturation=(0.8, 1.5), scale=1.7),
    ),
    "painted_houses": Cloth(
        air=Air(sun=(1.3, 1.22, 1.1), horizon=rgb("#c8e4f4"), zenith=rgb("#4890d8"), disc=0.5),
        materials=DAY_OUTDOOR | {
            "wall": plain("#e05848", "#f0c848", pattern="object", grain=0.08, gloss=0.1),
            "roof": plain("#4878a8", "#e8e0d0", pattern="object", strength=0.8, grain=0.1),
            "road": plain("#a89888", "#685848", pattern="brick", scale=3.0, strength=0.6),
            "thing": plain("#d868a0", "#58b890", pattern="object"),
        },
        hidden=Recolour(classes=("wall", "roof", "thing"), saturation=(0.8, 1.3)),
    ),
    "studio_product": Cloth(
        air=Air(
            sun=(1.2, 1.18, 1.14), above=(0.5, 0.5, 0.52), below=(0.3, 0.3, 0.3), clouds=0.0,
            horizon=rgb("#e8a088"), zenith=rgb("#d88070"), fog=0.03,
        ),
        materials=uniform(
            plain("#e8a088", grain=0.0),
            road=plain("#f0e8e0", "#c8b8a8", pattern="veins", strength=0.4, gloss=0.5, grain=0.0),
            wall=plain("#4890c0", "#f0e8d8", pattern="object", gloss=0.9, grain=0.0),
            roof=plain("#f0ece4", gloss=0.6, grain=0.0),
            thing=plain("#e0b040", "#40a890", pattern="object", gloss=1.3, grain=0.0),
        ),
        hidden=Recolour(saturation=(0.8, 1.4), sky=True, patterns=("object", "veins", "strata")),
    ),
}  # fmt: skip
TARGETS: dict[str, Cloth] = NATURE | BUILT | HIDDEN
