"""Tokenizers of each kind, trained once."""

import json

import pytest

from kmodels.data import tokenizer_training, tokenizers
from tests.data.texts import SENTENCES, make


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """Ours, and transformers' made from the same vocab.json and merges.txt."""
    from transformers import RobertaTokenizer

    trained = tokenizer_training.train_byte_level_bpe(SENTENCES, 350)
    vocabulary = {token: token_id for token_id, token in enumerate(trained.vocabulary)}
    folder = tmp_path_factory.mktemp("roberta")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *trained.merges]) + "\n", encoding="utf-8")
    return tokenizers.byte_level_bpe(vocabulary, trained.merges), RobertaTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["words", "wordpiece", "byte_level_bpe"])
def tokenizer(request):
    return make(request.param)
