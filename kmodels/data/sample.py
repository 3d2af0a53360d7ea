"""The built-in data set: short invented reviews in which word order decides the label.

A clause is plain ("the soup was bland") or negated ("the soup was hardly bland"), and a review holds one clause, two
that agree, or two that contrast, of which one decides. So each word of praise or blame occurs under both labels, and
each negation beside both: counting the words says little, reading them in order says everything.

The labels are exact. The reviews follow from the seed alone, on every platform and Python version: only
`Random.random()` is drawn from, the one method whose sequence Python promises to keep.
"""

import random
import re
from typing import NamedTuple

from kmodels.data.sample_words import (
    ADJECTIVES,
    ADVERBS,
    AUDIENCES,
    CLAUSES,
    COMPANIONS,
    DOMAINS,
    FRAGMENTS,
    JUDGMENTS,
    MONTHS,
    NOUNS,
    NUMBERS,
    OPENERS,
    REVIEWS,
    VERBS,
    WEEKDAYS,
    Domain,
)
from kmodels.errors import InputError

NEGATED_SHARE = 0.3  # of the clauses; the plain majority lets a model learn the words before the negations
GENERAL_SHARE = 0.5  # of the adjectives; the others belong to their topic
OPENER_SHARE = 0.2
CLOSER_SHARE = 0.25


class Scene(NamedTuple):
    """What stays the same throughout one review."""

    domain: Domain
    whole: str
    past: bool


def sample_examples(num_train=4000, num_validation=500, seed=0):
    """Writes the training and validation reviews of the sample data set.

    Args:
        num_train: int, number of training reviews.
        num_validation: int, number of validation reviews; it does not change the training reviews.
        seed: int; the same one gives the same reviews everywhere.

    Returns:
        ((train_texts, train_labels), (validation_texts, validation_labels)): lists of str, and of int, 0 for a
        negative and 1 for a positive review. In each split the labels are balanced to within one review. No review
        occurs twice, neither in one split nor across both.

    Raises:
        InputError: a number of reviews is negative.
    """
    for name, count in (("num_train", num_train), ("num_validation", num_validation)):
        if count < 0:
            raise InputError(f"{name} must be 0 or more; got {count}; ask for as many sample reviews as you need")
    source = random.Random(seed)
    seen: set[str] = set()
    return _draw_split(num_train, source, seen), _draw_split(num_validation, source, seen)


def _draw_split(num_examples, source, seen):
    labels = [index % 2 for index in range(num_examples)]
    _shuffle(labels, source)
    return [_unseen_review(label == 1, source, seen) for label in labels], labels


def _unseen_review(positive, source, seen):
    """Draws reviews until one is not in `seen`, and adds it there."""
    while (text := _review(positive, source)) in seen:
        pass
    seen.add(text)
    return text


def _shuffle(items, source):
    """Fisher-Yates, in place; `Random.shuffle` may differ between Python versions."""
    for last in range(len(items) - 1, 0, -1):
        other = int(source.random() * (last + 1))
        items[last], items[other] = items[other], items[last]


def _pick(items, source):
    """One of `items`, each equally likely; `Random.choice` may differ between Python versions."""
    return items[int(source.random() * len(items))]


def _review(positive, source):
    """One review as a reader sees it, with capitals, articles and punctuation."""
    domain = _pick(DOMAINS, source)
    scene = Scene(domain, _pick(domain.wholes, source), past=source.random() < 0.6)
    text = _pick(REVIEWS, source).format(**_review_slots(scene, positive, source))
    before, whole, after = text.partition(scene.whole)
    text = before + whole + after.replace(scene.whole, "it")  # a thing is named once
    text = text.replace("but anything but", "yet anything but")
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    text = text[0].upper() + text[1:] + ("" if text.endswith("!") else ".")
    return f"{text} {_closer(domain, source)}" if source.random() < CLOSER_SHARE else text


def _review_slots(scene, positive, source):
    """The parts a frame in REVIEWS may use: the `deciding` ones carry the label, the `conceded` ones its opposite."""
    first, second = scene.domain.topics if source.random() < 0.5 else scene.domain.topics[::-1]
    aspect = _pick(first.aspects, source)
    return {
        "opener": _pick(OPENERS, source) + ", " if source.random() < OPENER_SHARE else "",
        "fragment": _fill(FRAGMENTS, scene, first, positive, source),
        "conceded": _fill(CLAUSES, scene, first, not positive, source),
        "agreeing": _fill(CLAUSES, scene, first, positive, source),
        "deciding": _fill(CLAUSES, scene, second, positive, source),
        "subject": f"{aspect} {_be(aspect, scene)}",
        "conceded_judgment": _fill(JUDGMENTS, scene, first, not positive, source),
        "deciding_judgment": _fill(JUDGMENTS, scene, first, positive, source),
        "conceded_thing": f"the {_adjective(first, not positive, source)} {aspect.removeprefix('the ')}",
        "course": _pick(scene.domain.courses, source),
        "end": _pick(("ended", "finished"), source),
        "conceded_adverb": _pick(ADVERBS[not positive], source),
        "deciding_adverb": _pick(ADVERBS[positive], source),
        "conceded_adjective": _pick(ADJECTIVES[not positive], source),
        "deciding_adjective": _pick(ADJECTIVES[positive], source),
    }


def _fill(frames, scene, topic, positive, source):
    """Says praise (or blame) with a plain frame and a word of praise (blame), or a negated frame and the opposite."""
    negated = source.random() < NEGATED_SHARE
    praise = positive != negated
    aspect = _pick(topic.aspects, source)
    verb = _pick(VERBS[praise], source)
    return _pick(frames[negated], source).format(
        aspect=aspect,
        be=_be(aspect, scene),
        adjective=_adjective(topic, praise, source),
        verb=verb,
        past=verb + ("d" if verb.endswith("e") else "ed"),
        audience=_pick(AUDIENCES, source),
        whole=scene.whole,
        kind=scene.whole.partition(" ")[2],
        whole_be=_be(scene.whole, scene),
        noun=_pick(NOUNS[praise], source),
        unit=_pick(scene.domain.units, source),
        general=_pick(ADJECTIVES[praise], source),
    )


def _adjective(topic, praise, source):
    if source.random() < GENERAL_SHARE:
        return _pick(ADJECTIVES[praise], source)
    return _pick(topic.praise if praise else topic.blame, source)


def _be(subject, scene):
    if subject.endswith("s") and not subject.endswith("ss"):  # every plural in the tables, and no singular
        return "were" if scene.past else "are"
    return "was" if scene.past else "is"


def _closer(domain, source):
    return _pick(domain.closers, source).format(
        companion=_pick(COMPANIONS, source),
        weekday=_pick(WEEKDAYS, source),
        month=_pick(MONTHS, source),
        number=_pick(NUMBERS, source),
    )
