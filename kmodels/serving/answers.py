"""What a client gets: probabilities under their labels, and words with their scores. Plain values for JSON."""

from dataclasses import dataclass

from kmodels.prediction import attribution


def prediction(probabilities, label_names, top_k):
    """One sentence's answer.

    Args:
        probabilities: float32, (num_classes,).
        label_names: [str, …], (num_classes,).
        top_k: how many labels, the likeliest first.

    Returns:
        {"label": str, "probability": float, "probabilities": {label: float}}.
    """
    order = (-probabilities).argsort(kind="stable")[:top_k]
    return {
        "label": label_names[order[0]],
        "probability": float(probabilities[order[0]]),
        "probabilities": {label_names[number]: float(probabilities[number]) for number in order},
    }


@dataclass(frozen=True, slots=True)
class Without:
    """A text without one of its words, which `str` gives: all copies of a long text at once would fill the memory.

    Attributes:
        text: str.
        word: (start, end).
    """

    text: str
    word: tuple[int, int]

    def __len__(self):
        """Characters, but for a space that goes with the word."""
        start, end = self.word
        return len(self.text) - (end - start)

    def __str__(self):
        [copy] = attribution.without_each(self.text, [self.word])
        return copy


def with_words(texts, words):
    """The sentences to ask about words: all texts, and then each text without each of its words.

    Args:
        texts: [str, …].
        words: [[(start, end), …], …], the words of each text.

    Returns:
        [str or Without, …], (number of texts and words).
    """
    return [*texts, *(Without(text, word) for text, spans in zip(texts, words) for word in spans)]


def scored_words(texts, words, probabilities):
    """The words of each text and what they do for its label.

    Args:
        texts, words: as given to `with_words`.
        probabilities: float32, (num_sentences, num_classes); the answers to `with_words`.

    Returns:
        [[{"text", "start", "end", "score"}, …], …], a list a text.
    """
    answer, first = [], len(texts)
    for number, (text, spans) in enumerate(zip(texts, words)):
        rows = [number, *range(first, first + len(spans))]
        first += len(spans)
        scores = attribution.effects(probabilities[rows]).tolist()
        answer.append(
            [
                {"text": text[start:end], "start": start, "end": end, "score": score}
                for (start, end), score in zip(spans, scores)
            ]
        )
    return answer
