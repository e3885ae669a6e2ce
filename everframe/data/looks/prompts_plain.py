"""What people type for the colour and plain looks, parted by "; ".

The last `HELD_OUT` phrases of each look are never trained on.
"""

PROMPTS_COLOUR = {
    "sepia": (
        "sepia photograph; old brown photo; antique sepia portrait; faded photograph from 1900; "
        "brown toned vintage picture; make it look like grandma's photo album; aged sepia print; "
        "nineteenth century photograph; warm brown monochrome; old time photo from an attic; "
        "victorian portrait photograph; turn the video sepia; yellowed old family photo; "
        "sepia tone; a photo from great grandfather's time"
    ),
    "noir": (
        "film noir; hard black and white; classic detective movie; monochrome with deep shadows; "
        "1940s black and white film; dramatic black and white; gangster film in monochrome; "
        "high contrast black and white; moody noir scene; old hollywood black and white; "
        "black and white thriller; dark monochrome cinema; private eye movie look; "
        "black and white movie; shadowy crime film of the forties"
    ),
    "night_vision": (
        "night vision goggles; green night vision; military night scope; see in the dark camera; "
        "green image intensifier; soldier's night goggles; spy camera at night in green; "
        "night vision footage; green glowing surveillance view; infrared sniper scope in green; "
        "nocturnal wildlife camera; looking through a night scope; commando helmet night view; "
        "green night camera; filmed through night vision binoculars"
    ),
    "thermal": (
        "thermal camera; heat vision; body heat image; predator heat sight; thermographic camera; "
        "thermal imaging in purple and orange; show me as heat; heat map of my body; "
        "firefighter thermal view; warm is yellow and cold is purple; infrared heat picture; "
        "temperature camera; thermal scan at the airport; heat signature view; "
        "seen by a heat seeking camera"
    ),
    "golden_hour": (
        "golden hour; warm evening sun; sunset light on everything; low golden sunlight; "
        "late afternoon glow; filmed at sunset; soft orange sun; honey coloured evening light; "
        "summer evening light; warm light before dusk; bathed in sunset colours; "
        "sunny golden light; the last sun of the day; sunset lighting; "
        "warm rays of a setting sun"
    ),
    "moonlight": (
        "moonlight; blue night scene; under a full moon; midnight blue light; turn day into night; "
        "cold lunar light; lit only by the moon; deep blue night; night time in blue; "
        "moonlit room; filmed at midnight; quiet blue darkness; a night under the moon; "
        "moonlit night; make it night with blue moon light"
    ),
    "infrared_film": (
        "infrared film with pink colours; false colour infrared photo; crimson infrared landscape; "
        "pink infrared photography; old false colour slide film; trees turned pink infrared; "
        "aerial infrared film in crimson; surreal pink infrared; magenta infrared film stock; "
        "infrared photograph with red leaves; teal and crimson infrared; "
        "reconnaissance infrared film; shot on pink infrared film; colour infrared photograph; "
        "pink false colour film"
    ),
    "cyberpunk": (
        "cyberpunk; cyberpunk city night; magenta and teal lighting; futuristic neon city mood; "
        "synthwave colours; purple and pink future city; blade runner mood; cyber city lights; "
        "dystopian future in pink and blue; retrowave palette; hacker club in magenta light; "
        "night city of the future; vapour and neon future noir; cyberpunk movie colours; "
        "pink and cyan future night"
    ),
    "x_ray": (
        "x-ray; x-ray scan; radiology picture; hospital x-ray plate; see through x-ray; "
        "blue x-ray film; medical radiograph; skeleton scan light box; inverted x-ray image; "
        "doctor's x-ray of me; roentgen photograph; airport luggage x-ray; x-ray vision; "
        "radiograph on a light box; like an x-ray at the hospital"
    ),
    "film_negative": (
        "film negative; colour negative strip; inverted colours; photo negative; "
        "undeveloped negative; orange film negative; negative of a photograph; invert the colours; "
        "camera film negative on a light table; reversed colours like a negative; "
        "analog negative image; opposite colours; darkroom colour negative; negative film; "
        "all colours turned to their opposite"
    ),
}

PROMPTS_PLAIN = {
    "pencil": (
        "pencil sketch; draw me in graphite on white paper; hand drawn pencil portrait; "
        "graphite drawing; sketchbook pencil drawing; fine pencil lines on paper; "
        "a sketch with a soft pencil; grey pencil shading; artist's pencil study; "
        "quick pencil sketch on white; lead pencil illustration; make it a pencil drawing; "
        "sketched by hand with pencil; pencil drawing on paper; graphite portrait sketch"
    ),
    "charcoal": (
        "charcoal drawing; smudged charcoal on rough paper; black charcoal portrait; "
        "drawn with burnt wood coal; charcoal sketch; dark charcoal study; dusty charcoal art; "
        "heavy black charcoal strokes; charcoal stick drawing; art class charcoal portrait; "
        "coal drawing on grey paper; dramatic charcoal picture; grainy charcoal shading; "
        "charcoal on textured paper; portrait rubbed in charcoal"
    ),
    "cross_hatch": (
        "ink cross hatching; cross hatched pen drawing; black ink pen with hatching; "
        "fine pen crosshatch illustration; old book ink illustration; etching with crossed lines; "
        "shaded by crossing pen strokes; pen and ink drawing; hatched ink portrait; "
        "storybook engraving in black ink; copper etching; nib pen hatching; "
        "crossed ink lines for shadow; crosshatching in ink; pen and ink hatch work"
    ),
    "blueprint": (
        "blueprint; architect's blueprint; technical drawing on blue paper; white lines on blue; "
        "engineering plan; construction blueprint; blue draft with grid; cyanotype plan; "
        "machine drawing in white on blue; building plan drawing; patent drawing on blueprint; "
        "draughtsman's blue plan; schematic blueprint view; blueprint drawing; "
        "white technical lines on a blue sheet"
    ),
    "banknote": (
        "banknote engraving; like a dollar bill portrait; money engraving; green currency print; "
        "engraved wavy lines in green; face on paper money; treasury note portrait; "
        "guilloche banknote pattern; steel engraving of a banknote; put me on a bank bill; "
        "green money print; security print with wavy lines; old currency engraving; "
        "portrait on a banknote; printed like cash"
    ),
    "ballpoint": (
        "ballpoint pen doodle; blue pen on lined paper; school notebook doodle; biro drawing; "
        "scribbled in blue ballpoint; blue ink notebook sketch; doodle in class; "
        "ballpoint pen drawing; drawn in an exercise book; blue biro scribbles; "
        "pen doodle on ruled paper; homework page drawing; scrawled with a blue pen; "
        "notebook doodle in blue pen; blue ballpoint portrait"
    ),
    "oil_painting": (
        "oil painting; thick oil paint on canvas; oil portrait with bold brush strokes; "
        "impasto painting; classic oil on canvas; painted with a palette knife; "
        "museum oil painting; rich oil colours; painterly brush strokes; heavy paint strokes; "
        "an old master in oils; textured oil paint; canvas painting with visible strokes; "
        "painted in oil; portrait in thick oils"
    ),
    "watercolour": (
        "watercolour; watercolor painting on white paper; soft watercolour wash; "
        "light aquarelle painting; loose watercolor illustration; gentle aquarelle; "
        "painted with watery colours; watercolour with white paper showing; delicate water paint; "
        "children's book watercolor; pale wash painting; transparent watercolour; "
        "brushed with thin watercolour; watercolor painting; airy aquarelle on white"
    ),
    "ukiyo_e": (
        "ukiyo-e woodblock print; japanese woodblock print; edo period print; "
        "traditional japanese print; hokusai style print; woodblock in indigo and cream; "
        "floating world print; old tokyo woodcut; kabuki actor print; hiroshige woodblock; "
        "japanese block print with wood grain; antique print from japan; "
        "indigo and ochre japanese print; japanese ukiyo-e; classic woodblock art of japan"
    ),
    "cartoon": (
        "cartoon; flat cartoon with bold outlines; saturday morning cartoon; animated tv series; "
        "bright cartoon colours; make me a cartoon character; toon shading with black lines; "
        "cartoon drawing; simple cartoon look; kids tv cartoon; thick outlined toon; "
        "cel cartoon with strong lines; funny cartoon version; cartoon style; "
        "turn me into a toon"
    ),
    "anime": (
        "anime; japanese animation; anime character with pale light; anime cel shading; "
        "bright anime film; manga movie in colour; anime scene with violet shadows; "
        "studio anime look; make me an anime hero; soft anime colours; two tone anime shading; "
        "tv anime from japan; hand drawn anime frame; anime style; "
        "like a japanese animated film"
    ),
    "pointillism": (
        "pointillism; painted with dots of colour; seurat painting; neo impressionist dots; "
        "pointillist canvas; thousands of coloured dots; dotted painting on canvas; "
        "picture made of paint dabs in dots; seurat style dots; colourful dot painting; "
        "pure colour points on canvas; pointillist portrait; tiny round paint spots; "
        "pointillist painting; made from dots of paint"
    ),
    "low_poly": (
        "low poly; low polygon 3d art; triangulated portrait; made of flat triangles; "
        "polygon mesh art; early 3d game polygons; geometric triangle art; origami like triangles; "
        "triangle mosaic in 3d; low poly game character; faceted polygon render; "
        "coarse triangle mesh; flat shaded polygons; low poly art; "
        "everything from small triangles"
    ),
    "clay": (
        "clay animation; claymation; made of modelling clay; plasticine figure; stop motion clay; "
        "play dough character; sculpted from soft clay; clay puppet film; colourful plasticine; "
        "kneaded clay with finger prints; moulded in plasticine; clay model of me; "
        "stop motion plasticine movie; clay figure; like a claymation film"
    ),
    "newspaper": (
        "newspaper print; newspaper photo; black dots on newsprint; old newspaper picture; "
        "coarse press photo; grey newspaper halftone; printed in the daily paper; "
        "front page photograph; photocopied newspaper clipping; news print dots in black; "
        "tabloid photo; picture cut out of a newspaper; black and grey press dots; "
        "newspaper clipping; printed in an old gazette"
    ),
    "comic": (
        "comic book; superhero comic; comic page with ben-day dots; primary colour comic panel; "
        "american comic book art; printed comic with dots and ink; pulp comic page; "
        "bold comic book ink; comic strip hero; classic superhero print; graphic novel in colour; "
        "vintage comic book panel; action comic; comic book style; "
        "like a hero in a comic book"
    ),
    "pop_art": (
        "pop art; pop art silkscreen; pink and yellow pop art; warhol print; sixties pop art; "
        "loud flat pop colours; factory screen print of a star; pop art portrait; "
        "hot pink and cyan pop print; celebrity silkscreen; new york pop art; "
        "screaming pop art colours; four colour pop art; pop art poster; "
        "warhol style portrait"
    ),
    "pixel_art": (
        "pixel art; 8-bit game; retro game sprite; big square pixels; old computer game graphics; "
        "16-bit video game; pixelated character; arcade game pixels; chunky pixels; "
        "nintendo era graphics; pixel graphics; blocky game avatar; eighties video game; "
        "retro pixel art; sprite from an old console game in colour"
    ),
    "handheld": (
        "handheld console with green screen; game boy screen; four shades of green; "
        "green dot matrix display; pocket game console; old portable game in green; "
        "olive green lcd game; 1989 handheld game; monochrome green handheld; "
        "dithered green lcd; gameboy camera; tiny green game screen; classic gray brick handheld; "
        "game boy graphics; pea green handheld lcd"
    ),
    "vhs": (
        "vhs tape; old video cassette; eighties home video; worn vhs recording; camcorder tape; "
        "analog video with colour bleed; vcr playback; bad tracking vhs; retro video tape; "
        "nineties camcorder; glitchy cassette footage; taped from television; "
        "fuzzy vhs picture with scan lines; vhs look; footage from a video cassette"
    ),
    "terminal": (
        "amber terminal; ascii art in amber; text mode on an old monitor; "
        "orange characters on a black screen; retro computer terminal; amber monochrome monitor; "
        "picture made of glowing characters; mainframe terminal; ascii video; "
        "hacker terminal in orange; amber crt text; seventies computer display; "
        "letters on an amber tube; ascii terminal; amber text screen"
    ),
    "stone_relief": (
        "stone relief; carved in grey stone; bas relief; chiselled rock; carved temple wall; "
        "granite carving; embossed stone; sculpted stone slab; ancient stone carving; "
        "grey emboss; roman stone relief; tombstone carving; hewn from rock; "
        "relief carved in stone; stone wall carving"
    ),
    "gold_statue": (
        "gold statue; made of solid gold; golden sculpture; turn me to gold; polished gold figure; "
        "midas touch; shiny gold bust; cast in pure gold; golden idol; gleaming gold; "
        "gold trophy; gilded statue; everything turned to gold; golden statue; "
        "a statue of gold"
    ),
    "chrome": (
        "liquid chrome; chrome robot; mirror metal; shiny chrome figure; made of mercury; "
        "polished silver metal; liquid metal man; reflective chrome; molten silver; "
        "chrome plated; metallic mirror surface; quicksilver body; steel mirror finish; "
        "chrome statue; like liquid metal"
    ),
    "dreamy_glow": (
        "dreamy pink glow; soft focus dream; romantic haze; pastel pink dream; fairy tale glow; "
        "soft pink light; hazy dream sequence; glowing pastel mood; sweet rosy haze; "
        "angelic soft glow; candy pink softness; blurred rosy light; valentine glow; "
        "dreamy soft light; a soft rose coloured dream"
    ),
    "frost": (
        "frozen winter; frost and snow; icy cold; covered in snow; ice age; frosted window; "
        "freezing winter day; snowy and pale blue; frost on everything; arctic cold; "
        "glazed in rime; hoarfrost; snow on my shoulders; icy winter; "
        "everything frozen over"
    ),
    "underwater": (
        "underwater; deep under the sea; sunken in the ocean; scuba diving light; "
        "at the bottom of a pool; aquarium; blue green water with light ripples; coral reef water; "
        "submerged room; ocean floor; swimming pool caustics; diving in a lagoon; "
        "flooded with sea water; under water; beneath the waves"
    ),
    "hologram": (
        "hologram; blue hologram projection; sci-fi hologram with scan lines; "
        "projected cyan figure; space ship hologram message; transparent hologram; "
        "glowing holographic person; flickerless blue projection; star ship communicator; "
        "holographic call; cyan light projection; hologram from a droid; virtual hologram body; "
        "holographic projection; appear as a hologram"
    ),
    "neon_lines": (
        "neon outlines; neon tubes in the dark; glowing outlines on black; neon sign drawing; "
        "cyan and magenta neon lines; bright neon contours; light tube portrait; "
        "neon line art; drawn with neon tubes; electric outlines; glowing edges in darkness; "
        "neon sign on a black wall; tron like lines; neon line drawing; "
        "outlined in neon light"
    ),
}
