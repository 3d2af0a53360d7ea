"""Word vectors from an encoder's lower layers, against transformers' hidden states of each word alone."""

import numpy as np
import pytest

from kmodels import corpus
from kmodels.config import RunConfig
from kmodels.data import token_cache, tokenizer_training
from kmodels.errors import InputError
from tests.models.encoders import KINDS, save_model, save_tokenizer

pytestmark = pytest.mark.backend

SENTENCES = ["the film is fine", "a warm and well-made comedy", "unlikely heroes fail", "the café"]
WORDS = ["fine", "comedy", "heroes", "unheroic", "fi", "café"]


@pytest.fixture(scope="module", params=KINDS)
def encoder(request, chosen_backend, tmp_path_factory):
    """(folder of a tiny encoder in Hugging Face format, its tokenizer, transformers' model)."""
    train = tokenizer_training.train_wordpiece if request.param == "bert" else tokenizer_training.train_byte_level_bpe
    tokenizer = train(SENTENCES, 290)
    folder = tmp_path_factory.mktemp(request.param)
    save_tokenizer(folder, tokenizer)
    return folder, tokenizer, save_model(folder, request.param, f"{request.param.title()}Model", num_hidden_layers=4)


def vectors(encoder, num_layers):
    """What a run that has a word in its text gets for it: float32, (words, dim)."""
    config = RunConfig(model="textcnn", embeddings=str(encoder[0]), embedding_layers=num_layers)
    found = corpus.vectors_of_encoder(config, set(WORDS), 0)
    assert found.words == sorted(WORDS)
    return found.vectors


def expected(encoder, num_layers):
    """The same by transformers, a word at a time: the mean over layers, then over the word's own tokens."""
    import torch

    _, tokenizer, model = encoder
    rows = []
    for word in sorted(WORDS):
        token_ids = torch.tensor(tokenizer.encode(tokenizer.inside([word])).token_ids).long()[None]
        with torch.no_grad():
            states = model(token_ids, output_hidden_states=True).hidden_states[: num_layers + 1]
        rows.append(torch.stack(states).mean(0)[0, 1:-1].mean(0).numpy())
    return np.array(rows)


@pytest.mark.parametrize("num_layers", [1, 3, 4])
def test_a_words_vector_is_the_mean_of_the_lower_layers_over_its_tokens(encoder, num_layers):
    np.testing.assert_allclose(vectors(encoder, num_layers), expected(encoder, num_layers), atol=2e-5)


@pytest.mark.one_backend
def test_half_of_the_layers_is_what_a_run_takes_by_itself(encoder):
    assert (vectors(encoder, None) == vectors(encoder, 2)).all()


def test_no_layer_is_the_token_table(encoder):
    _, tokenizer, model = encoder
    table = model.embeddings.word_embeddings.weight.detach().numpy()
    rows = [table[tokenizer.encode_words([word]).token_ids].mean(0) for word in sorted(WORDS)]
    np.testing.assert_allclose(vectors(encoder, 0), rows, atol=1e-6)


@pytest.mark.one_backend
def test_more_layers_than_there_are_is_refused(encoder):
    with pytest.raises(InputError, match=r"embedding_layers must be at most 4, the layers of .*; got 5"):
        vectors(encoder, 5)


def test_the_runs_precision_does_not_reach_the_vectors(encoder):
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = vectors(encoder, 2)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(found, expected(encoder, 2), atol=2e-5)


@pytest.mark.one_backend
def test_what_is_kept_between_runs_is_of_the_very_encoder(encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "LEAST_TEXTS", 1)
    _, tokenizer, model = encoder
    save_tokenizer(tmp_path, tokenizer)
    sizes = {"num_hidden_layers": 4, "layer_norm_eps": 0.1}
    other = tmp_path, tokenizer, save_model(tmp_path, model.config.model_type, type(model).__name__, **sizes)
    for _ in range(2):
        for each in (encoder, other):
            np.testing.assert_allclose(vectors(each, 2), expected(each, 2), atol=2e-5)
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2
