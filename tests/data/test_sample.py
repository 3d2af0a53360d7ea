"""The sample reviews are stable, balanced and distinct, and their labels need word order."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from kmodels.data import sample_words
from kmodels.data.sample import sample_examples
from kmodels.errors import InputError

# of sample_examples(); whoever changes it changes every measured accuracy on this data set
DIGEST = "41863ebedea22a3f236392eb8670c4c1f5022f2c7b90bd590ffc70fc8dd00307"

TOKEN = re.compile(r"[a-z]+(?:-[a-z]+)*|[,;.!]")
NEGATION = re.compile(
    r"\b(?:not|hardly|barely|never|no|nobody|nothing|few|little|failed|cannot|far from|anything but|hard to)\b"
)
DECOY = re.compile(r"\b(?:nothing short of|never less than|never failed to|nobody could deny)\b")
CONCESSION_FIRST = re.compile(r"^(?:although|even though|despite) [^,]*, ")
CONCESSION_LAST = re.compile(r",? (?:although|even though|despite) .*$")
TURN = re.compile(r".*(?:(?<!anything) but|, yet| yet|; still,|went from \S+ to) ")


@pytest.fixture(scope="module")
def default_splits():
    return sample_examples()


def digest(splits):
    return hashlib.sha256(json.dumps(splits).encode()).hexdigest()


def judgment_words():
    """The words of blame and of praise, as two sets, with verbs also in the past tense."""
    blame, praise = (
        {*sample_words.ADJECTIVES[row], *sample_words.NOUNS[row], *sample_words.ADVERBS[row], *sample_words.VERBS[row]}
        | {verb + ("d" if verb.endswith("e") else "ed") for verb in sample_words.VERBS[row]}
        | {word for domain in sample_words.DOMAINS for topic in domain.topics for word in topic[row + 1]}
        for row in (0, 1)
    )
    return blame, praise


def read_label(text, blame, praise):
    """A reader's rules: find the clause that decides, the word that judges, and what negates it.

    Returns:
        int, 0 or 1; None when the deciding clause does not hold words of exactly one polarity.
    """
    clause = re.split(r"[.!]", text.lower())[0]
    clause = CONCESSION_LAST.sub("", CONCESSION_FIRST.sub("", clause))
    clause = TURN.sub("", clause)
    clause = re.split(r", and |; ", clause)[-1]
    words = set(TOKEN.findall(clause))
    praised, blamed = bool(words & praise), bool(words & blame)
    if praised == blamed:
        return None
    negated = NEGATION.search(DECOY.sub("", clause)) is not None
    return int(praised != negated)


def ngrams(text, longest):
    tokens = TOKEN.findall(text.lower())
    return [
        " ".join(tokens[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(tokens) - length + 1)
    ]


def ngram_counts(texts, ids, longest):
    """Sparse counts as two int arrays, (occurrences,): the row and the n-gram id of each occurrence."""
    pairs = [(row, ids[ngram]) for row, text in enumerate(texts) for ngram in ngrams(text, longest) if ngram in ids]
    return np.array(pairs).T


def logistic_regression_accuracies(splits, longest, steps=120, learning_rate=0.05, decay=1e-4):
    """Fits logistic regression on n-gram counts with Adam.

    Returns:
        (train_accuracy, validation_accuracy), floats in [0, 1].
    """
    (train_texts, train_labels), (validation_texts, validation_labels) = splits
    ids = {}
    for text in train_texts:
        for ngram in ngrams(text, longest):
            ids.setdefault(ngram, len(ids))
    rows, columns = ngram_counts(train_texts, ids, longest)
    weights, mean, square = np.zeros((3, len(ids)))
    for step in range(1, steps + 1):
        logits = np.bincount(rows, weights[columns], len(train_texts))
        error = (1 / (1 + np.exp(-logits)) - train_labels) / len(train_texts)
        gradient = np.bincount(columns, error[rows], len(ids)) + decay * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weights -= learning_rate * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)

    def accuracy(texts, labels):
        rows, columns = ngram_counts(texts, ids, longest)
        return np.mean((np.bincount(rows, weights[columns], len(texts)) > 0) == np.array(labels))

    return accuracy(train_texts, train_labels), accuracy(validation_texts, validation_labels)


def test_default_reviews_are_frozen(default_splits):
    assert digest(default_splits) == DIGEST


def test_reviews_do_not_depend_on_the_hash_seed_of_the_process(default_splits):
    program = "import json; from kmodels.data.sample import sample_examples; print(json.dumps(sample_examples()))"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        output = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        ).stdout
        assert digest(json.loads(output)) == digest(default_splits)


def test_another_seed_gives_other_reviews(default_splits):
    texts = set(default_splits[0][0])
    other = sample_examples(seed=1)[0][0]
    assert len(texts & set(other)) < 0.1 * len(texts)


def test_number_of_validation_reviews_does_not_change_training_reviews():
    assert sample_examples(60, 5, seed=3)[0] == sample_examples(60, 50, seed=3)[0]


@pytest.mark.parametrize(("num_train", "num_validation"), [(0, 0), (1, 0), (7, 4), (250, 33)])
def test_splits_have_the_sizes_asked_for_and_balanced_labels(num_train, num_validation):
    splits = sample_examples(num_train, num_validation, seed=5)
    for (texts, labels), size in zip(splits, (num_train, num_validation), strict=True):
        assert len(texts) == len(labels) == size
        assert set(labels) <= {0, 1}
        assert abs(labels.count(0) - labels.count(1)) <= 1


def test_labels_do_not_alternate():
    labels = sample_examples(400, 0)[0][1]
    repeats = sum(first == second for first, second in itertools.pairwise(labels))
    assert 0.4 < repeats / len(labels) < 0.6


@pytest.mark.parametrize("seed", [0, 1])
def test_no_review_occurs_twice(seed):
    (train_texts, _), (validation_texts, _) = sample_examples(seed=seed)
    texts = train_texts + validation_texts
    assert len({text.lower() for text in texts}) == len(texts)


@pytest.mark.parametrize(("num_train", "num_validation"), [(-1, 5), (5, -1)])
def test_negative_number_of_reviews_is_an_input_error(num_train, num_validation):
    with pytest.raises(InputError, match="must be 0 or more; got -1"):
        sample_examples(num_train, num_validation)


def test_reviews_are_three_to_thirty_five_words_long(default_splits):
    lengths = [len(text.split()) for texts, _ in default_splits for text in texts]
    assert min(lengths) == 3
    assert 25 <= max(lengths) <= 35


def test_vocabulary_has_six_hundred_to_a_thousand_words(default_splits):
    words = {word for texts, _ in default_splits for text in texts for word in re.findall(r"[a-z-]+", text.lower())}
    assert 600 <= len(words) <= 1000


def test_reviews_are_written_like_sentences(default_splits):
    for texts, _ in default_splits:
        for text in texts:
            assert re.fullmatch(r"[A-Z][A-Za-z,;-]*( [A-Za-z,;.!-]+)*[.!]", text), text
            assert not re.search(r"  | [,;.!]|[.!] [a-z]|[,;] [A-HJ-Z]|\b(\w+) \1\b", text), text
            assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text), text


def test_plural_subjects_take_plural_verbs(default_splits):
    text = " ".join(text for texts, _ in default_splits for text in texts)
    subjects = set(re.findall(r"\b(?!There|there|We)(\w+) (was|is|were|are)\b", text))
    plurals = {"jokes", "dumplings", "footnotes", "brothers", "headphones", "lyrics", "strings", "fights", "costumes"}
    assert plurals <= {subject for subject, verb in subjects if verb in ("were", "are")}
    assert not {(subject, verb) for subject, verb in subjects if (subject in plurals) == (verb in ("was", "is"))}


def test_each_thing_is_named_once_in_a_review(default_splits):
    wholes = {whole for domain in sample_words.DOMAINS for whole in domain.wholes}
    for texts, _ in default_splits:
        for text in texts:
            assert all(text.lower().count(whole) <= 1 for whole in wholes), text


def test_words_of_blame_are_never_words_of_praise():
    blame, praise = judgment_words()
    assert not blame & praise
    assert min(len(blame), len(praise)) > 100


@pytest.mark.parametrize("seed", [0, 1])
def test_reading_in_order_gives_every_label(seed):
    blame, praise = judgment_words()
    for texts, labels in sample_examples(seed=seed):
        wrong = [text for text, label in zip(texts, labels, strict=True) if read_label(text, blame, praise) != label]
        assert wrong == []


def test_clause_after_but_decides(default_splits):
    blame, praise = judgment_words()
    opposed = 0
    for text, label in zip(*default_splits[0], strict=True):
        if match := re.fullmatch(r"(.*), but (.*)", text):
            conceded, deciding = (read_label(clause, blame, praise) for clause in match.groups())
            assert (conceded, deciding) == (1 - label, label), text
            opposed += 1
    assert opposed > 200


def test_main_clause_decides_before_and_after_although(default_splits):
    blame, praise = judgment_words()
    found = {"before": 0, "after": 0}
    for text, label in zip(*default_splits[0], strict=True):
        if match := re.match(r"(?:Although|Even though) ([^,]*), (.*)", text):
            conceded, main = match.groups()
            found["before"] += 1
        elif match := re.match(r"(.*), (?:although|even though) (.*)", text):
            main, conceded = match.groups()
            found["after"] += 1
        else:
            continue
        assert read_label(main, blame, praise) == label, text
        assert read_label(conceded, blame, praise) == 1 - label, text
    assert min(found.values()) > 100


def test_plain_negated_and_contrasting_reviews_all_have_their_share(default_splits):
    texts = default_splits[0][0]
    contrasts = [text for text in texts if re.search(r"(?<!nything) but |yet |still,|lthough|even though|espite", text)]
    negated = [text for text in texts if NEGATION.search(DECOY.sub("", text.lower()))]
    assert 0.3 < len(contrasts) / len(texts) < 0.5
    assert 0.3 < len(negated) / len(texts) < 0.6
    assert len(set(texts) - set(contrasts) - set(negated)) > 0.25 * len(texts)


def test_counting_words_loses_to_reading_them_in_order(default_splits):
    _, unigrams = logistic_regression_accuracies(default_splits, longest=1)
    _, trigrams = logistic_regression_accuracies(default_splits, longest=3)
    assert unigrams <= 0.65
    assert trigrams >= unigrams + 0.05


def test_counting_words_fails_even_on_the_reviews_it_was_fitted_to(default_splits):
    train_accuracy, _ = logistic_regression_accuracies(default_splits, longest=1)
    assert train_accuracy <= 0.75
