"""Folders of tiny encoders, what they give, and ways to damage them."""

import json

import numpy as np
import pytest

from kmodels.config import RunConfig
from kmodels.errors import InputError

SENTENCES = [
    "It doesn't work, it's bad.",
    "The film is a warm, well-made comedy with unlikely heroes.",
    "Café crème at the café, naïve über-heroes.",
    "这 部 电影 好 看 。",
    "Good 😀 or bad 😡? Привет, фильм!",
]
TEXTS = [
    *SENTENCES,
    "",
    "   ",
    "The café CAFÉ cafe\u0301 naïve İstanbul",
    "这部电影好看very好",
    "good😀bad \u200d👍🏽 \u00a0film",
    "[CLS] film [SEP] <s> film</s>",
    "under_score\twell--made...\n10/10",
]
ASCII = ["The film is bad, isn't it?", "warm and well-made (10/10)", "unlikely heroes work"]
LENGTHS = [10, 7, 1]
READS = {"bert": "wordpiece", "roberta": "byte_level_bpe"}


def save_keras_tokenizer(folder, trained, lowercase=True):
    import keras_hub

    if trained.kind == "wordpiece":
        tokenizer = keras_hub.models.BertTokenizer(vocabulary=trained.vocabulary, lowercase=lowercase)
    else:
        vocabulary = {token: number for number, token in enumerate(trained.vocabulary)}
        tokenizer = keras_hub.models.RobertaTokenizer(vocabulary=vocabulary, merges=trained.merges)
    tokenizer.save_to_preset(str(folder))
    return tokenizer


def change_json(path, **changes):
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | changes), encoding="utf-8")


def change_tensors(path, change):
    """Rewrites model.safetensors with `change` of {name: array}."""
    from safetensors.numpy import load_file, save_file

    save_file(change(load_file(path)), path)


def config_of(preset, **settings):
    return RunConfig(model="bert_base_pool", preset=str(preset), **{"max_length": 16} | settings).resolved("jax")


def sentences():
    """(token ids, padding mask) of a right-padded batch; the padding is not 0, so that it would show."""
    padding_mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    return np.random.default_rng(0).integers(5, 150, padding_mask.shape).astype("int32"), padding_mask


def outputs(backbone):
    """[hidden states of the real tokens; BERT: the pooled output], as NumPy."""
    from keras import ops

    token_ids, padding_mask = sentences()
    features = {"token_ids": token_ids, "padding_mask": padding_mask.astype("int32")}
    if not hasattr(backbone, "pooled_dense"):
        return [ops.convert_to_numpy(backbone(features))[padding_mask]]
    found = backbone(features | {"segment_ids": np.zeros_like(token_ids)})
    return [ops.convert_to_numpy(found["sequence_output"])[padding_mask], ops.convert_to_numpy(found["pooled_output"])]


def expected_outputs(model):
    """The same of transformers' model."""
    import torch

    token_ids, padding_mask = sentences()
    encoder = getattr(model, model.base_model_prefix, model)
    with torch.no_grad():
        # RoBERTa takes the padding id for no token; elsewhere the mask alone says.
        token_ids = np.where(padding_mask, token_ids, model.config.pad_token_id)
        found = encoder(torch.tensor(token_ids).long(), attention_mask=torch.tensor(padding_mask).long())
    pooled = (
        [] if found.pooler_output is None or model.config.model_type == "roberta" else [found.pooler_output.numpy()]
    )
    return [found.last_hidden_state.numpy()[padding_mask], *pooled]


def assert_same_outputs(found, expected, atol=2e-5):
    for one, other in zip(found, expected):
        assert np.abs(other).max() > 0.5
        np.testing.assert_allclose(one, other, atol=atol)


def values(variables):
    from keras import ops

    return {variable.path: np.array(ops.convert_to_numpy(variable.value)) for variable in variables}


def refused(call, *parts):
    """Asserts that a call raises InputError, one line with these parts."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message


def assert_same_ids(tokenizer, folder, texts=TEXTS):
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(folder)
    for text in texts:
        assert tokenizer.encode([text]).token_ids.tolist() == reference(text)["input_ids"], text
