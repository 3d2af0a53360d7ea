"""The words and sentence frames of the built-in data set; `kmodels.data.sample` puts them together."""

from typing import NamedTuple


class Topic(NamedTuple):
    """What can be judged in one part of a domain, and the adjectives that blame it and praise it."""

    aspects: tuple[str, ...]
    blame: tuple[str, ...]
    praise: tuple[str, ...]


class Domain(NamedTuple):
    """A field of reviews: `wholes` are reviewed, consist of `units`, take a `course`; `closers` are remarks."""

    wholes: tuple[str, ...]
    units: tuple[str, ...]
    courses: tuple[str, ...]
    closers: tuple[str, ...]
    topics: tuple[Topic, ...]


def _list(text, separator=","):
    """Splits a table row at its commas."""
    return tuple(part.strip() for part in text.split(separator))


def _domain(first, second, closers, **rows):
    """A domain from table rows; a topic is a row "aspects | blame | praise"."""
    topics = tuple(Topic(*map(_list, _list(row, "|"))) for row in (first, second))
    return Domain(topics=topics, closers=_list(closers, "/"), **{name: _list(row) for name, row in rows.items()})


# Frames. A frame that stands n times is n times as likely. Where there are two rows, the first is plain, the second
# negated; a few plain ones hold a "not" or a "nothing", so that these words alone decide nothing.

REVIEWS = (
    *("{opener}{deciding}",) * 12,
    *("{fragment}",) * 2,
    *("{opener}{agreeing}, and {deciding}",) * 6,  # the comma ends what "I cannot say that" governs
    *("{opener}{agreeing}; {deciding}",) * 2,
    *("{opener}{conceded}, but {deciding}",) * 4,
    "{opener}{conceded}, yet {deciding}",
    "{opener}{conceded}; still, {deciding}",
    "although {conceded}, {deciding}",  # no opener here: before "although" it would look like a main clause
    "even though {conceded}, {deciding}",
    "{deciding}, although {conceded}",
    "{deciding}, even though {conceded}",
    "despite {conceded_thing}, {deciding}",
    "{opener}{deciding} despite {conceded_thing}",
    *("{opener}{subject} {conceded_judgment} but {deciding_judgment}",) * 4,
    "{opener}{course} started {conceded_adverb} but {end} {deciding_adverb}",
    "{opener}{course} started {deciding_adverb} and {end} just as {deciding_adverb}",
    "although {course} started {conceded_adverb}, it {end} {deciding_adverb}",
    "{course} {end} {deciding_adverb}, although it had started {conceded_adverb}",
    "{opener}{course} went from {conceded_adjective} to {deciding_adjective}",
)
JUDGMENTS = (
    _list(
        "{adjective}, truly {adjective}, really {adjective}, quite {adjective}, absolutely {adjective}, "
        "remarkably {adjective}, utterly {adjective}, consistently {adjective}, nothing short of {adjective}, "
        "never less than {adjective}, every bit as {adjective} as people say"
    ),
    _list(
        "not {adjective}, not exactly {adjective}, hardly {adjective}, never {adjective}, far from {adjective}, "
        "anything but {adjective}, by no means {adjective}, not at all {adjective}, not really {adjective}, "
        "not even remotely {adjective}, not half as {adjective} as people say"
    ),
)
OTHER_CLAUSES = (
    _list(
        "{aspect} {past} {audience}, {aspect} truly {past} {audience}, {aspect} managed to {verb} {audience}, "
        "{aspect} never failed to {verb} {audience}, {whole} {whole_be} a {noun}, "
        "{whole} {whole_be} a complete {noun}, {whole} {whole_be} nothing short of a {noun}, "
        "there {whole_be} one {general} {unit} after another, "
        "I found {aspect} {adjective}, everyone in our group found {aspect} {adjective}, "
        "most people would call {aspect} {adjective}, nobody could deny that {aspect} {be} {adjective}, "
        "there {whole_be} something {adjective} about {aspect}"
    ),
    _list(
        "{aspect} did not {verb} {audience}, {aspect} never {past} {audience}, {aspect} failed to {verb} {audience}, "
        "{aspect} did little to {verb} {audience}, {whole} {whole_be} no {noun}, {whole} {whole_be} hardly a {noun}, "
        "{whole} {whole_be} far from a {noun}, there {whole_be} barely a {general} {unit}, "
        "I found nothing {adjective} about {aspect}, nobody in our group found {aspect} {adjective}, "
        "few people would call {aspect} {adjective}, I cannot say that {aspect} {be} {adjective}, "
        "there {whole_be} nothing {adjective} about {aspect}"
    ),
)
CLAUSES = tuple(
    tuple("{aspect} {be} " + judgment for judgment in judgments) + others
    for judgments, others in zip(JUDGMENTS, OTHER_CLAUSES, strict=True)
)
FRAGMENTS = (
    _list(
        "quite {adjective} overall, what a {general} {kind}!, a truly {general} {kind}, "
        "one {general} {unit} after another"
    ),
    _list(
        "not exactly {adjective}, not exactly a {general} {kind}, hardly a {general} {kind}, never a {general} {unit}"
    ),
)

# Words of judgment: the first row is blame, the second praise.

ADJECTIVES = (
    _list("awful, terrible, disappointing, dreadful, mediocre, dull, lousy, weak, appalling, irritating, poor, sloppy"),
    _list(
        "superb, excellent, wonderful, brilliant, delightful, outstanding, impressive, charming, magnificent, "
        "terrific, pleasant, marvelous"
    ),
)
VERBS = (
    _list("bore, annoy, disappoint, irritate, frustrate, bother, exasperate, exhaust, depress, dismay"),
    _list("delight, please, impress, charm, amaze, enchant, thrill, astonish, captivate, inspire"),
)
NOUNS = (
    _list("mess, disaster, failure, letdown, chore, flop, ordeal, nightmare, mistake, embarrassment, dud, travesty"),
    _list("masterpiece, triumph, delight, joy, gem, treat, success, marvel, treasure, pleasure, winner, revelation"),
)
ADVERBS = (
    _list("badly, poorly, weakly, awkwardly, clumsily, miserably, dreadfully, feebly"),
    _list("well, beautifully, brilliantly, strongly, gracefully, splendidly, cleverly, wonderfully"),
)

# Words without judgment.

OPENERS = _list(
    "In my opinion, If you ask me, As far as I can tell, Looking back, Once again, For the record, Between you and me, "
    "To be clear, As my neighbor predicted, Speaking as a regular, Just like last year, For what it is worth, "
    "At this price, Much as I expected, By most accounts, As the advertisement promised"
)
AUDIENCES = _list(
    "me, us, my wife, my husband, the children, our friends, my mother, both of us, the whole family, my colleagues, "
    "everyone around us, the critics"
)
COMPANIONS = _list("sister, brother, uncle, aunt, cousin, roommate, neighbor, boss, daughter, son, grandfather, niece")
WEEKDAYS = _list("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
MONTHS = _list("January, February, March, April, May, June, July, August, September, October, November, December")
NUMBERS = _list("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, twenty, thirty, forty")

DOMAINS = (
    _domain(
        wholes="the spy film, this war movie, this thriller, this comedy, the sequel, this documentary, this western",
        units="scene, line, minute, shot",
        courses="the film, the story, the premiere",
        closers="I saw it with my {companion} on {weekday}. / We rented it in {month}. / There are {number} sequels.",
        first="the plot, the dialogue, the script, the ending, the second act, the love story, the twist, the jokes"
        "| predictable, muddled, contrived, tedious, corny, shallow, sluggish, far-fetched"
        "| gripping, witty, inventive, moving, clever, suspenseful, believable, poignant",
        second="the lead actor, the villain, the child star, the supporting cast, the narrator, the leading lady"
        "| wooden, bland, miscast, grating, stiff, lifeless, hammy"
        "| charismatic, convincing, magnetic, expressive, likable, subtle, radiant",
    ),
    _domain(
        wholes="the restaurant, this bistro, the diner, our lunch, the tasting menu, this noodle bar, this pizzeria",
        units="dish, course, plate, bite",
        courses="the meal, our lunch, the evening",
        closers="We had a table for {number}. / My {companion} ordered twice. / They close on {weekday}s.",
        first="the soup, the risotto, the trout, the bread, the lamb curry, the cheesecake, the dumplings, the omelet"
        "| tasteless, stale, greasy, soggy, lukewarm, watery, unappetizing, overcooked"
        "| delicious, fresh, flavorful, tasty, appetizing, mouth-watering, well-seasoned, succulent",
        second="the waiter, the waitress, the head chef, the bartender, the host, the service, the staff"
        "| rude, careless, surly, forgetful, impatient, arrogant, slow, inattentive"
        "| attentive, friendly, courteous, welcoming, cheerful, gracious, prompt, jovial",
    ),
    _domain(
        wholes="the novel, this memoir, the biography, the anthology, this mystery, this travelogue, the paperback",
        units="page, chapter, paragraph, sentence",
        courses="the novel, the tale, the trilogy",
        closers="My {companion} lent it to me. / I read it in {number} days. / It came out in {month}.",
        first="the prose, the first chapter, the argument, the translation, the story, the epilogue, the footnotes"
        "| clumsy, pretentious, long-winded, dry, repetitive, convoluted, stilted, plodding"
        "| elegant, vivid, lyrical, lucid, engrossing, insightful, polished, readable",
        second="the heroine, the detective, the young hero, the main character, the brothers, the stepmother"
        "| flat, forgettable, tiresome, unlikable, whiny, cartoonish, implausible, lackluster"
        "| endearing, memorable, complex, lovable, sympathetic, funny, lifelike, well-drawn",
    ),
    _domain(
        wholes="the phone, this laptop, the camera, the headset, this tablet, the smart speaker, this watch",
        units="feature, button, setting, update",
        courses="the first month, the trial period, the demonstration",
        closers="I bought it in {month}. / It was a gift from my {companion}. / I have owned it for {number} weeks.",
        first="the screen, the keyboard, the battery, the casing, the charger, the hinge, the headphones, the cable"
        "| flimsy, unreliable, fragile, faulty, shoddy, clunky, bulky, outdated"
        "| sturdy, reliable, durable, solid, well-made, sleek, efficient, responsive",
        second="the software, the app, the interface, the voice assistant, the search function, the menu system"
        "| buggy, cluttered, confusing, laggy, cumbersome, counterintuitive, unstable, baffling"
        "| intuitive, fast, foolproof, helpful, smooth, straightforward, handy, versatile",
    ),
    _domain(
        wholes="the hotel, this guesthouse, the hostel, our cottage, the resort, this inn, our suite, the campsite",
        units="corner, corridor, room, floor",
        courses="our stay, the weekend, our vacation",
        closers="We stayed for {number} nights. / We were there in {month}. / My {companion} booked it on a {weekday}.",
        first="the bathroom, the lobby, the bedroom, the balcony, the spa, the breakfast room, the lounge, the sauna"
        "| dirty, cramped, shabby, noisy, gloomy, damp, dingy, smelly"
        "| cozy, spotless, spacious, comfortable, tidy, inviting, airy, luxurious",
        second="the receptionist, the porter, the manager, the cleaning crew, the concierge, the owner, the night clerk"
        "| hostile, dismissive, unhelpful, indifferent, grumpy, dishonest, lazy, condescending"
        "| hospitable, polite, kind, professional, considerate, obliging, competent, generous",
    ),
    _domain(
        wholes="the album, the concert, this record, the festival, this opera, the recital, the rehearsal",
        units="song, track, note, verse",
        courses="the concert, the show, the second half",
        closers="I went with my {companion}. / The tickets cost {number} dollars. / The tour resumes in {month}.",
        first="the melody, the rhythm, the guitar work, the refrain, the arrangement, the lyrics, the overture"
        "| monotonous, shrill, derivative, uninspired, dreary, formulaic, off-key, tuneless"
        "| catchy, soulful, hypnotic, infectious, haunting, melodic, groovy, stirring",
        second="the singer, the drummer, the pianist, the conductor, the choir, the strings, the band, the cellist"
        "| listless, half-hearted, unprepared, timid, amateurish, nervous, uncoordinated, stiff"
        "| passionate, energetic, gifted, captivating, assured, spirited, expressive, nimble",
    ),
    _domain(
        wholes="the game, this puzzle, the expansion, this platformer, the campaign, this racing game, the prequel",
        units="level, mission, round, quest",
        courses="the campaign, the tournament, the adventure",
        closers="I played it with my {companion}. / I finished it in {number} hours. / We got it in {month}.",
        first="the combat, the level design, the tutorial, the storyline, the final battle, the boss fights"
        "| unfair, repetitive, tedious, glitchy, pointless, frustrating, uneventful, unbalanced"
        "| addictive, immersive, rewarding, exciting, fair, imaginative, well-balanced, thrilling",
        second="the artwork, the animation, the world, the scenery, the soundtrack, the voice acting, the costumes"
        "| ugly, drab, garish, crude, dated, hideous, lifeless, generic"
        "| gorgeous, atmospheric, colorful, stylish, stunning, lush, beautiful, vibrant",
    ),
    _domain(
        wholes="the museum, the guided tour, this exhibition, the boat trip, the castle, the zoo, the botanical garden",
        units="stop, hour, gallery, exhibit",
        courses="the tour, the visit, the excursion",
        closers="We went in {month}. / Admission was {number} dollars. / My {companion} had been there on {weekday}.",
        first="the main hall, the audio guide, the sculpture court, the gift shop, the upper floor, the dinosaur wing"
        "| dusty, disorganized, overpriced, neglected, cheerless, uninteresting, dismal, stuffy"
        "| fascinating, informative, enlightening, well-lit, well-curated, absorbing, eye-opening, thoughtful",
        second="the guide, the curator, the driver, the tour leader, the skipper, the lecturer, the gardener"
        "| boring, curt, ill-informed, inaudible, unfriendly, distracted, bad-tempered, humorless"
        "| enthusiastic, patient, eloquent, articulate, well-informed, entertaining, approachable, humorous",
    ),
)
