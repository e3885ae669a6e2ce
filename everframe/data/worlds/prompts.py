"""Prompt lines of the target dresses; the last three of each are held out from training."""

from __future__ import annotations

_TEXT: dict[str, str] = {
    "summer_day": """
        a bright summer day|fully lit and textured summer scene|warm sunny weather, blue sky
        make it a real place in summer
        green meadows under summer sun|turn the model into a summer scene
        finished outdoor scene at noon|a sunny place with green grass|realistic summer landscape
        daylight and real materials|this place in July|render it as a summer day
        textured world in summer light|lush green summer afternoon|put real surfaces in sunshine""",
    "snowy_winter": """
        a snowy winter day|cover this place in snow|the same street after heavy snowfall
        deep winter everywhere|make it winter, snow on the roofs|frozen white landscape
        a cold snowy village scene|snow covers everything|the world in January snow
        winter wonderland|thick snow on the ground|turn the season to winter
        everything under fresh snow|a white winter scene|it has been snowing all night""",
    "sunset_desert": """
        a desert at sunset|turn this into a sandy desert|dunes under an orange sky
        hot desert evening|sandstone buildings at dusk|the last sun over the desert
        dry sandy world, low red sun|a town in the Sahara at sunset|make the ground desert sand
        desert place with long shadows|wild west desert in the evening|sand and rock, setting sun
        evening in the dunes|an arid world at sundown|desert town, glowing horizon""",
    "autumn": """
        an autumn day|make the trees turn orange|golden leaves on the ground
        the place in late October|fall colours everywhere|red and yellow autumn trees
        a misty autumn scene|autumn landscape with fallen leaves|the season is fall
        a park in autumn|brown and orange autumn world|crisp fall afternoon
        leaves turning red in fall|autumn has come to this place|an orange autumn forest""",
    "lava_world": """
        a world of lava|rivers of molten rock|volcanic land with glowing cracks
        the ground is lava|black rock and burning magma|inside an erupting volcano
        a hellish volcanic scene|roads of flowing lava|everything burnt, lava underneath
        a fiery underworld|glowing magma landscape|turn the land into a volcano
        scorched rock with lava streams|a planet of fire|molten ground, dark red sky""",
    "rainy_dusk": """
        a rainy evening street|dusk with wet roads|grey rain and lit windows
        it is raining at nightfall|a gloomy wet town|rainy place after sundown
        wet asphalt in the blue hour|dark clouds, damp evening|make it a rainy dusk
        November rain in the evening|a soaked street with warm windows|dim light, drizzle, puddles
        evening rain over the houses|a wet and dreary dusk|rain falls as it gets dark""",
    "moonlit_night": """
        a moonlit night|the place by night under stars|quiet night, full moon
        make it night with a starry sky|silver moonlight on the scene|midnight landscape
        a calm clear night|night falls on this world|stars over sleeping houses
        the scene after midnight|blue night, bright moon|a dark night lit by the moon
        the moon shines on the land|starry night over this place|late at night, moon out""",
    "underwater": """
        an underwater world|sink this place into the sea|the scene at the bottom of the ocean
        a flooded place under water|deep blue sea world|sunken city with dancing light
        coral and water everywhere|make it look submerged|the ocean floor
        light ripples on the sea bed|a drowned scene|everything is under the sea
        under the waves|a sunken blue-green world|fill the scene with sea water""",
    "jungle": """
        overgrown by jungle|nature has taken over the place|a ruin in the rainforest
        vines and moss on everything|tropical jungle world|abandoned and overgrown
        lush green jungle scene|plants cover the buildings|lost town in the jungle
        a steaming rainforest|moss grows over all walls|thick jungle all around
        swallowed by the jungle|a green overgrown place|ivy and moss everywhere""",
    "neon_night": """
        night city full of neon|a street lit by neon signs|futuristic night scene, pink and cyan
        glowing windows in a dark future city|a neon district at night|arcade world after dark
        synthwave night world|dark place with neon lights|a neon-lit room or street
        future metropolis by night|purple and cyan city glow|electric night scene
        neon town after midnight|a glowing retro-future place|the city of neon signs""",
    "marble_gold": """
        a palace of marble and gold|marble floors and golden furniture|luxury room, white marble
        make the interior marble and gold|a royal marble hall|polished stone with gold details
        opulent scene in gold and marble|rich marble interior|furnish it with gold
        white marble everywhere, gilded objects|a golden palace room|classical marble scene
        gilded room with marble floor|marble and gold decor|an emperor's interior""",
    "white_nordic": """
        a Scandinavian white interior|bright minimal room, pale wood|nordic style apartment
        white walls and light oak|a clean airy white room|make it a minimalist nordic home
        simple Scandinavian furniture|calm white interior scene|pale wood and white paint
        a bright Swedish living room|minimal room in soft daylight|nordic design, white and oak
        a Danish design interior|all white with light wood|an airy northern home""",
    "drafting_scene": """
        architect's plan of the scene|white construction lines on blue
        technical drawing of this place
        draw the scene as an engineer would
        blue plan with white outlines|the room as a building plan
        construction drawing of the street|architectural line model on blue
        outline every building in white on blue
        drafting paper version of the world|show the place as a technical plan
        white edges, blue drafting grid
        cyanotype plan of the place|the scene on an architect's desk
        engineering drawing of the world""",
    "alien_planet": """
        an alien planet|a strange world in another galaxy|weird plants under an alien sky
        landscape of a distant planet|make it another planet|extraterrestrial place
        odd colours of an alien world|a science fiction planet|the surface of an unknown world
        alien vegetation and strange sky|far from Earth|life on a foreign planet
        a planet with strange colours|an otherworldly landscape|we landed on an alien world""",
    "candy_land": """
        a land of candy|everything is made of sweets|sugar houses and lollipop trees
        candy world in pastel colours|turn the place into candy|sweet sugary scene
        a world of icing and bonbons|striped candy everywhere|gingerbread village with icing
        the land of sweets|lollipops and sugar glaze|pastel candy kingdom
        a place you could eat|made of sugar and sprinkles|a sweet shop world""",
    "toy_plastic": """
        a toy world of plastic|make everything shiny plastic|toy town in bright colours
        plastic play set scene|the place as a children's toy|glossy plastic model world
        a colourful toy village|like a plastic toy box|moulded plastic everywhere
        toy houses on a plastic floor|turn the scene into toys|a shiny toy landscape
        plastic toys all around|a play set of this place|everything is a plastic toy""",
    "cosy_wood": """
        a cosy wooden room|warm cabin interior|log cabin with lamp light
        wooden walls and warm light|make the room snug and woody|a rustic chalet interior
        a comfortable wood-panelled room|mountain hut in the evening|warm rustic home
        old wooden furniture, soft lamps|a snug cottage room|interior in dark wood
        a warm alpine lodge|the room as a cosy cabin|wood everywhere, warm glow""",
    "paper_craft": """
        a world cut from paper|paper craft scene|folded paper houses
        everything made of cardboard|the place as a paper model|cut paper landscape
        origami world|a pop-up book scene|build it out of coloured paper
        handmade paper diorama|cardboard model of the place|layered paper scene
        a diorama of folded paper|made of cut card|turn the world into paper""",
    "crystal_realm": """
        a realm of crystal|everything turned to gemstone|glittering crystal world
        trees and houses of crystal|a place carved from gems|shining quartz landscape
        magical crystal scene|the world in amethyst and glass|faceted gems everywhere
        a crystal kingdom|grow crystals over the place|land of sparkling minerals
        a world of cut gems|crystals all around|the place as a giant geode""",
    "knitted_wool": """
        a world knitted from wool|everything is knitted|woolly place, soft stitches
        knit the whole scene|a room made of yarn|houses in cable knit
        soft woollen world|crochet landscape|the place as a knitted toy
        stitched from warm wool|yarn covers everything|a scene of wool and thread
        made of knitting yarn|a woolly jumper world|cosy crocheted scene""",
    "painted_houses": """
        freshly painted houses|colourful facades along the street|paint the town in bright colours
        a street of coloured houses|give the buildings new paint|vivid house fronts and paved road
        a cheerful painted town|houses in many bright colours|repaint every building
        a Caribbean street of painted walls|bright new facades|a colourful old town
        gaily painted buildings|new colours for the houses|a town with bright walls""",
    "studio_product": """
        studio product photo|a glossy product shot on a backdrop|advertising scene with soft light
        the objects as luxury products|catalogue picture, coloured background|product design render
        shiny objects on a photo table|commercial still life|cosmetics advert scene
        a clean product presentation|designer objects in a studio|place the products on a pedestal
        packshot with coloured paper|a polished advert still life
        product display in a photo studio""",
}
PROMPTS: dict[str, tuple[str, ...]] = {
    name: tuple(line.strip() for row in text.strip().splitlines() for line in row.split("|"))
    for name, text in _TEXT.items()
}
