"""Short reviews that a model of any size learns at once."""

import random


def write_review_files(folder):
    """Writes train.tsv (96 sentences) and validation.tsv (32), two classes. Returns their paths."""
    numbers = random.Random(0)
    things, good, bad = ["film", "plot", "cast", "score"], ["fine", "great", "superb"], ["poor", "dull", "awful"]

    def line():
        label = numbers.randrange(2)
        words = [f"the {numbers.choice(things)} is {numbers.choice((bad, good)[label])}" for _ in range(3)]
        return f"{' and '.join(words[: numbers.randint(1, 3)])}\t{label}\n"

    paths = folder / "train.tsv", folder / "validation.tsv"
    for path, count in zip(paths, (96, 32)):
        path.write_text("sentence\tlabel\n" + "".join(line() for _ in range(count)), encoding="utf-8")
    return paths
