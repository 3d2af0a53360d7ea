"""Which words carried a decision: the model is asked again without each of them.

It takes no gradients, so it works alike for every model on every backend. A word's score is what the probability of
the decision loses when the word is left out. It tells about this model and this sentence, word by word: two words that
say the same thing can both score 0, because either is enough.

Source: Li, Monroe & Jurafsky 2016, «Understanding neural networks through representation erasure».
"""

import re

_CONTRACTION = re.compile(r"\w+(?:['’]\w+)+")  # a tokenizer makes two or three tokens of it, a reader one word


def words(tokenizer, text, max_length=None):
    """Where the words are that a model reads of a text: its tokenizer's tokens, joined to words.

    Args:
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        text: str that UTF-8 can hold.
        max_length: most tokens that the model reads, special ones included; None for all.

    Returns:
        [(start, end), …], ascending, none overlapping; word i is `text[start:end]`.
    """
    encoding = tokenizer._backend.encode(text)
    inside = {place for match in _CONTRACTION.finditer(text) for place in range(match.start() + 1, match.end())}
    spans: list[tuple[int, int]] = []
    last_word = None
    num_read = _num_read(encoding, max_length)
    for number, ((start, end), word) in enumerate(zip(encoding.offsets, encoding.word_ids)):
        if word is None or not text[start:end].strip():  # a special token; a space that is one
            continue
        if spans and (word == last_word or start < spans[-1][1] or (start == spans[-1][1] and start in inside)):
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif number < num_read:
            spans.append((start, end))
        else:
            break
        last_word = word
    return spans


def _num_read(encoding, max_length):
    """How many tokens `Tokenizer.encode` keeps of a text, a final special token aside."""
    if max_length is None or len(encoding) <= max_length:
        return len(encoding)
    return max_length - encoding.special_tokens_mask[-1]


def without_each(text, words):
    """The text without each of its words in turn: str, [(start, end), …] → [str, …].

    A space that nothing stands behind any more goes with its word.
    """
    return [_without(text, start, end) for start, end in words]


def _without(text, start, end):
    before, after = text[:start], text[end:]
    if not after or after[0].isspace():
        before = before.rstrip()
    return before + after if before else after.lstrip()


def effects(probabilities):
    """What each word does for the decision, from the answers to the text and to `without_each` of its words.

    Args:
        probabilities: float, (1 + num_words, num_classes); the first row is the whole text's.

    Returns:
        float, (num_words,), from -1 to 1: the probability of the whole text's likeliest class, less that without the
        word. Above 0 the word speaks for the class, below 0 against it.
    """
    label = probabilities[0].argmax()
    return probabilities[0, label] - probabilities[1:, label]


def occlusion(predict_proba, text, words):
    """The `effects` of words on a text's class, by one call of the model.

    Args:
        predict_proba: function, [str, …] → float, (num_texts, num_classes).
        text: str.
        words: [(start, end), …], as of `words`.

    Returns:
        float, (num_words,).
    """
    return effects(predict_proba([text, *without_each(text, words)]))
