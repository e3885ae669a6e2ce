"""What people type for the hidden looks, parted by "; ".

The phrases name the look, never the state that is drawn. The last `HELD_OUT` phrases of each look
are never trained on.
"""

PROMPTS_HIDDEN = {
    "poster_palette": (
        "poster in five colours; flat poster palette; posterised colours; "
        "travel poster; screen printed poster; limited palette poster; campaign poster; "
        "bold posterized portrait; hope style poster; reduced to a few flat colours; "
        "gig poster; vector poster in flat shades; street poster with few colours; "
        "posterized print; flat colour poster"
    ),
    "duotone": (
        "duotone; two tone photo; duotone print in two inks; album cover in two colours; "
        "two ink photograph; music app duotone; only two colours; bicolour photo; "
        "dark ink and light ink photograph; magazine duotone; two colour gradient photo; "
        "trendy duotone; photograph in a pair of colours; duotone image; "
        "a two colour photograph"
    ),
    "false_colour": (
        "false colour scan; scientific false color; rainbow data map; satellite data colours; "
        "spectrum coloured measurement; lab instrument picture; colour coded levels; "
        "false colour microscope; pressure map in rainbow; sensor data visualisation; "
        "psychedelic lookup table; electron microscope colours; rainbow coded brightness; "
        "false color image; data visualisation of the camera"
    ),
    "halftone_ink": (
        "big ink dots; one colour screen print; halftone in a single ink; large halftone dots; "
        "coarse dot screen print; t-shirt halftone print; dotted ink poster; "
        "spot colour halftone; silkscreen dots in one ink; coloured dot raster; "
        "huge printing dots; punk flyer with dots; rasterised in coloured ink; "
        "coloured halftone dots; one ink dot print"
    ),
    "risograph": (
        "risograph; riso print; risograph print with soy inks; three ink riso; "
        "overprinted riso colours; art school risograph; grainy riso poster; "
        "riso printed flyer; layered transparent inks; risograph illustration; "
        "stencil duplicator print; soy ink overprint; indie riso artwork; "
        "risograph poster; printed on a riso machine"
    ),
    "linocut": (
        "linocut; lino print; linoleum block print; carved lino with gouge marks; "
        "hand cut block print; relief print in one ink; linocut portrait; "
        "expressionist linocut; gouged linoleum; block printed with a roller; "
        "lino cut illustration; carved block print; printed from cut linoleum; "
        "linocut print; a print cut in lino"
    ),
    "zine": (
        "zine comic; underground comix; small press zine; indie zine with spot colour; "
        "alternative comic with line screen; self published zine; photocopied zine art; "
        "fanzine illustration; art zine page; underground comic in spot colours; "
        "screen tone zine; diy zine drawing; punk fanzine; "
        "indie zine; page of a zine"
    ),
    "chalk": (
        "chalk on a board; chalk drawing; blackboard chalk; drawn with chalk at school; "
        "chalkboard art; cafe menu chalkboard; classroom board drawing; dusty chalk lines; "
        "coloured chalk board; teacher's chalk sketch; chalk portrait on slate; "
        "wiped chalkboard; sketch in chalk; chalkboard drawing; "
        "chalk lines on a school board"
    ),
    "stained_glass": (
        "stained glass window; cathedral glass; church window; coloured glass with lead; "
        "leaded glass panes; gothic stained glass; made of stained glass; "
        "jewel coloured window panes; light through church glass; rose window; "
        "tiffany glass; glass shards in lead; chapel window; "
        "stained glass; a window of coloured glass"
    ),
    "mosaic": (
        "mosaic; roman mosaic; mosaic of small stones; tile mosaic with grout; "
        "byzantine mosaic; ceramic mosaic wall; bathroom tile mosaic; pompeii floor mosaic; "
        "set in little stones; tesserae portrait; broken tile art; antique floor mosaic; "
        "mosaic stones and grout; mosaic tiles; laid out in small tiles"
    ),
    "toy_bricks": (
        "toy bricks; built from plastic bricks; lego portrait; brick building toy; "
        "made of studded bricks; lego world; plastic brick mosaic; toy block wall with studs; "
        "interlocking bricks; built out of lego; children's building bricks; brick toy picture; "
        "colourful plastic studs; lego bricks; everything from toy bricks"
    ),
    "crystal": (
        "crystal facets; cut gemstone; made of crystal; shattered gem; faceted diamond; "
        "inside a crystal; quartz crystals; jewel facets; broken into crystal shards; "
        "sparkling gemstone; geode; polished gem facets; prism of crystal; "
        "crystal; cut like a gem"
    ),
    "knitted": (
        "knitted wool; knitted sweater; made of yarn stitches; wool jumper pattern; "
        "hand knit; cosy knitting; knitted fabric; christmas sweater knit; "
        "knitted from coloured yarn; stitches of wool; crochet and knit picture; "
        "norwegian knitwear; soft knit pattern; knitted picture; "
        "everything knitted in wool"
    ),
    "embroidery": (
        "embroidery; embroidered patch; stitched with thread; satin stitch embroidery; "
        "sewn on cloth; needlework portrait; embroidered on linen; thread art; "
        "embroidery hoop; stitched badge; silk thread embroidery; machine embroidered; "
        "needle and thread picture; embroidered; a stitched patch on a jacket"
    ),
    "quilt": (
        "patchwork quilt; quilted blanket; fabric patches; sewn squares of cloth; "
        "grandmother's quilt; patchwork blanket; quilt of printed fabrics; padded patchwork; "
        "cloth squares with patterns; farmhouse quilt; stitched fabric squares; scrap quilt; "
        "textile patchwork; patchwork; a quilt of many fabrics"
    ),
    "tinted_watercolour": (
        "watercolour on handmade tinted paper; wet in wet with two pigments; "
        "two pigment wash; blooming pigment on coloured paper; flowing ink wash in tints; "
        "tinted paper aquarelle; bleeding pigment wash; monochrome wash on rough tinted sheet; "
        "diluted ink blooms; handmade paper wash; pigment clouds on wet paper; "
        "two tint aquarelle; wet coloured ink; bleeding ink wash on tinted paper; "
        "wet pigment blooms"
    ),
    "neon_haze": (
        "rainbow neon haze; foggy neon glow; outlines glowing in coloured fog; "
        "laser light in smoke; rave fog lights; glowing rainbow edges in mist; "
        "disco haze; club lasers and smoke; multicolour glow in fog; "
        "shifting hue glow; misty rainbow light; concert lights in haze; "
        "glow sticks in the fog; rainbow glow in mist; foggy rave lights"
    ),
    "aurora": (
        "northern lights; aurora borealis; aurora in the sky; polar lights; "
        "curtains of aurora light; lit by northern lights; aurora over everything; "
        "arctic sky lights; flowing aurora colours; southern lights; magnetic sky glow; "
        "waves of aurora; lapland night sky; aurora; "
        "dancing polar light"
    ),
    "alien_planet": (
        "alien planet; another world; strange alien atmosphere; under an alien sun; "
        "exoplanet landscape; science fiction planet; unearthly colours; on a distant planet; "
        "extraterrestrial world; two coloured alien haze; space colony on a strange world; "
        "otherworldly planet; weird alien sky; alien world; far away on another planet"
    ),
    "camouflage": (
        "camouflage; camo pattern; army camouflage; hidden in camouflage; military camo fabric; "
        "camouflage blotches; hunter's camo; woodland camouflage; soldier pattern cloth; "
        "camo print; disruptive pattern; covered in camo; camouflage uniform; "
        "camouflage pattern; dressed in camo blotches"
    ),
    "marble": (
        "marble statue; carved from marble; veined marble; marble bust; greek marble sculpture; "
        "polished marble; made of marble; renaissance marble; marble with veins; "
        "museum marble figure; italian marble; smooth marble stone; antique marble head; "
        "marble sculpture; a bust in veined marble"
    ),
    "patina": (
        "weathered bronze; bronze with patina; corroded copper; verdigris statue; "
        "old copper roof; oxidised bronze sculpture; rusty green copper; aged bronze monument; "
        "copper turned green; tarnished bronze; patinated metal; oxidised copper; "
        "harbour statue in green copper; bronze patina; an old bronze monument"
    ),
    "graffiti": (
        "graffiti wall; spray paint stencil; street art; urban graffiti; sprayed on a wall; "
        "banksy stencil; graffiti mural; spray can art; stencil on a painted wall; "
        "city wall with graffiti; tagged wall; hip hop graffiti; paint sprayed mural; "
        "graffiti; street art stencil on a wall"
    ),
    "nebula": (
        "cosmic nebula; galaxy inside me; made of stars; outer space; silhouette full of stars; "
        "milky way; star dust and gas clouds; space nebula; deep space colours; "
        "body of stars; universe in my shadow; astral figure; interstellar clouds; "
        "galaxy; filled with a starry nebula"
    ),
    "paper_collage": (
        "paper collage; torn paper; cut paper layers; paper cut art; collage of coloured paper; "
        "ripped paper sheets; layered paper craft; matisse cut-outs; torn paper collage; "
        "paper layers with shadows; scrapbook paper art; construction paper collage; "
        "stacked paper sheets; torn paper art; made from cut paper"
    ),
    "tie_dye": (
        "tie dye; tie-dye shirt; hippie spiral dye; batik spiral; woodstock shirt; "
        "psychedelic tie dye; swirl of dye; rainbow spiral shirt; dyed cotton spiral; "
        "seventies tie dye; hippie colours in a spiral; swirled dyed fabric; "
        "summer camp tie dye; tie dye spiral; printed on a tie dyed shirt"
    ),
    "contour_map": (
        "topographic map; contour lines; hiking map with height lines; elevation map; "
        "cartography; terrain map; map with contour lines; landscape height lines; "
        "ordnance survey map; geographic relief map; mountain map; isolines; "
        "trekking map; contour map; drawn as height lines on a map"
    ),
}
