"""A run's tokens, before any framework is loaded."""

import pytest

from kmodels import corpus
from kmodels.config import RunConfig
from tests.reviews import tiny_settings


@pytest.fixture
def vocabulary(tmp_path):
    """vocabulary(size): the words that a run with word vectors knows; its training text has 98 and two more."""
    known = [f"word{number}" for number in range(98)]
    paths = tmp_path / "train.tsv", tmp_path / "validation.tsv"
    paths[0].write_text(f"sentence\tlabel\n{' '.join(known)}\t1\nfilm fine\t0\n")
    paths[1].write_text("sentence\tlabel\nan odd film unheard-of\t1\nfine\t0\n")
    (tmp_path / "vectors.txt").write_text("elsewhere 1 2\nfilm 1 0\nbeyond 0 1\nodd 3 3\nfine 0 2\nlast 2 2\n")

    def build(size):
        settings = {"embeddings": str(tmp_path / "vectors.txt"), "embedding_dim": None, "vocabulary_size": size}
        config = RunConfig(**tiny_settings("textcnn", paths, tmp_path / "run", **settings)).resolved("jax")
        return corpus.build(config, corpus.load_dataset(config))[0].tokenizer.vocabulary

    return build


def test_the_vectors_own_words_fill_the_vocabulary_up_and_validation_words_have_no_advantage(vocabulary):
    words = vocabulary(200)
    assert len(words) == len(set(words)) == 2 + 100 + 4
    assert words[-4:] == ["elsewhere", "beyond", "odd", "last"]
    assert vocabulary(102) == words[:-4]
    # By the file's order alone: else validation text would be better known than any other new text.
    assert vocabulary(104) == words[:-2]
