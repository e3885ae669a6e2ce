"""What people type for the person looks, parted by "; ".

The phrases name the look, never the state that is drawn. The last `HELD_OUT` phrases of each look
are never trained on.
"""

HELD_OUT = 3

PROMPTS = {
    "marble_person": (
        "turn me into a marble statue; make the person a marble sculpture; me as a greek statue; "
        "a living marble bust; carve me out of white marble; person made of white stone; "
        "i want to be a roman statue; museum sculpture instead of the person; "
        "the people are marble statues; classical statue of me; transform me into carved marble; "
        "human figure in polished marble; me as a renaissance sculpture; "
        "petrify me into white marble; statue of the speaker in marble; me chiselled from marble"
    ),
    "chrome_person": (
        "turn me into a chrome robot; make the person a metal android; me as a shiny robot; "
        "liquid metal person; a silver cyborg in my place; the people are chrome robots; "
        "replace me with a mirror finish android; i am made of polished steel; "
        "robot with a chrome body; human figure in liquid chrome; me as a terminator of metal; "
        "transform the person into a machine; metal skin on me; "
        "me as an android of polished metal; steel robot in my room; chrome plated person"
    ),
    "gold_person": (
        "turn me into a golden statue; make the person solid gold; me dipped in gold; "
        "i have the midas touch; the people are gold statues; human figure cast in gold; "
        "award statuette of me; gold plated person; body painted in gold; "
        "me as an oscar trophy; transform me into pure gold; shiny gold person in the room; "
        "gilded human sculpture; everyone turned to gold; person made of gold; cast me in gold"
    ),
    "hologram_person": (
        "turn me into a hologram; project me as a hologram; person as a blue projection; "
        "me as a flickering sci fi projection; holographic human; the people are holograms; "
        "send me as a holographic message; see-through glowing person; "
        "ghostly cyan projection of me; light projection instead of the person; "
        "beam me in as a hologram; digital ghost of the speaker; translucent hologram figure; "
        "holographic version of me; hologram call; person made of blue light"
    ),
    "clay_person": (
        "turn me into a clay figure; make the person a plasticine puppet; me in modelling clay; "
        "stop motion puppet of me; the people are clay figures; me as a claymation character; "
        "person moulded from plasticine; human figure kneaded from clay; "
        "i am a plasticine doll; character from a clay animation; sculpt me in soft clay; "
        "model me in plasticine; clay puppet in the room; "
        "me as a plasticine character; claymation puppet of the speaker; clay version of me"
    ),
    "zombie_person": (
        "turn me into a zombie; make the person undead; me as a rotting zombie; "
        "zombie apocalypse survivor turned; the people are zombies; green undead face; "
        "monster makeup on me; i am one of the walking dead; halloween zombie; "
        "infected person with green skin; living corpse on camera; undead in a dark room; "
        "creepy zombie of me; horror movie zombie; me as the undead; person with zombie skin"
    ),
    "portrait_blur": (
        "blur my background; blur the room behind me; shallow depth of field portrait; "
        "background out of focus; bokeh behind the person; portrait mode; "
        "keep only the person sharp; defocus the room; hide my messy room with blur; "
        "sharp speaker before a soft room; wide open lens portrait; "
        "make the background blurry; privacy blur for video calls; "
        "blurred background; soft focus behind me; video call background blur"
    ),
    "colour_person": (
        "keep me in colour, room in grey; colour splash on the person; "
        "only the person in color; selective colour portrait; black and white background only; "
        "desaturate everything but me; grey world around a colourful person; "
        "color pop on the speaker; take the colour out of the room; "
        "monochrome room, person in full color; me in colour before a grey background; "
        "turn only the background black and white; colour isolation on people; "
        "selective color on me; everything grey except the person; color splash effect"
    ),
    "silhouette": (
        "me as a silhouette against the sun; black silhouette before a glowing sky; "
        "backlit shadow figure; person as a dark outline at dusk; "
        "shadow of me before a huge sun; silhouette portrait; dark figure against bright sky; "
        "turn me into a black shadow; the people are silhouettes; "
        "contour of the person in backlight; poster silhouette before a sun disc; "
        "anonymous black figure; figure in full backlight; "
        "my silhouette in front of the sky; shadow person before the sun; backlit silhouette of me"
    ),
    "studio_backdrop": (
        "put me in a photo studio; studio portrait with a canvas backdrop; "
        "professional headshot background; painted backdrop behind me; "
        "yearbook photo backdrop; replace my room with a studio wall; "
        "photographer's canvas behind the person; portrait studio with a spot light; "
        "formal portrait backdrop; me before a mottled studio canvas; "
        "passport photographer's studio; coloured studio background; "
        "headshot in a studio; studio backdrop behind me; portrait photographer's background"
    ),
    "colour_stage": (
        "put me before a colour gradient; two colour gradient background; "
        "replace the room with a gradient; person cut out on bright colours; "
        "vivid gradient wallpaper behind me; remove the background, plain colours; "
        "clean colourful backdrop; youtube thumbnail background; "
        "app style gradient behind the person; me in front of a smooth gradient; "
        "cut me out onto flat colour; fresh colour fade behind the speaker; "
        "gradient backdrop; colorful gradient behind me; virtual background with a color fade"
    ),
    "outer_space": (
        "put me in outer space; me among the stars; floating in front of a nebula; "
        "person before a starry sky; replace my room with the galaxy; "
        "stars and planets behind me; the milky way as my background; "
        "astronaut's view behind me; deep space behind the speaker; "
        "cosmic virtual background; me drifting through the universe; "
        "nebula and a planet behind the person; send me to space; "
        "in front of distant galaxies; starry space background; me in the cosmos"
    ),
    "mountain_sunset": (
        "put me in front of mountains at sunset; mountain ridges at dusk behind me; "
        "me on a summit in the evening; hazy mountains as my background; "
        "person before layered hills at sundown; alpine sunset behind the speaker; "
        "take me hiking at golden dusk; replace the room with a mountain sunset; "
        "evening in the mountains behind me; standing above misty peaks; "
        "sun going down behind the peaks; mountain panorama virtual background; "
        "on a hike at sunset; mountains behind me at sundown; "
        "me before evening ridges; sunset over mountains in the background"
    ),
    "city_night": (
        "put me before a city at night; night skyline behind me; "
        "lit skyscrapers as my background; person before downtown windows at night; "
        "me on a rooftop at night; replace my room with a night skyline; "
        "late show city backdrop; penthouse view behind the speaker; "
        "metropolis lights behind me; towers with lit windows in the background; "
        "evening news skyline; me downtown after dark; "
        "skyscraper lights behind the person; city skyline at night behind me; "
        "me above the lights of the city; night city virtual background"
    ),
    "under_the_sea": (
        "put me under water; me diving in the deep sea; person at the bottom of the ocean; "
        "replace the room with the ocean; sun rays through water behind me; "
        "submerged in blue water; me as a diver; speaking from below the waves; "
        "flood my room; light ripples on my face under water; "
        "deep blue sea around the person; me swimming in a lagoon; "
        "sink me into the ocean; under the sea; me below the surface of the sea; "
        "diving with sun rays"
    ),
}
"""Texts of each look by its name."""
