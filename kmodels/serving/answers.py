"""What a client gets: probabilities under their labels, and words with their scores. Plain values for JSON."""

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


def with_words(texts, words):
    """The sentences to ask about words: all texts, and then each text without each of its words.

    Args:
        texts: [str, …].
        words: [[(start, end), …], …], the words of each text.
    """
    return [*texts, *(each for text, spans in zip(texts, words) for each in attribution.without_each(text, spans))]


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
