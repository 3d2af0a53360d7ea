"""Tiny encoders and tokenizers of each kind and format, made once."""

from pathlib import Path

import numpy as np
import pytest

from kmodels.data import tokenizer_training
from tests.models.encoders import save_model, save_tokenizer
from tests.models.folders import SENTENCES, save_keras_tokenizer


@pytest.fixture(scope="session")
def transformers():
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


@pytest.fixture(scope="module")
def presets(chosen_backend):
    import keras

    from kmodels.models import presets

    keras.config.set_dtype_policy("float32")
    return presets


@pytest.fixture(scope="module")
def preset_places(presets):
    from kmodels.models import preset_places

    return preset_places


@pytest.fixture(scope="session")
def trained():
    """A tokenizer of each kind, to take vocabularies from."""
    return {
        "bert": tokenizer_training.train_wordpiece(SENTENCES, 150),
        "cased": tokenizer_training.train_wordpiece(SENTENCES, 150, lowercase=False),
        "roberta": tokenizer_training.train_byte_level_bpe(SENTENCES, 290),
    }


@pytest.fixture(scope="session")
def whole(chosen_backend, trained, tmp_path_factory):
    """A good folder of each kind and format: {(kind, "hugging_face" or "keras"): path}. No test writes there."""
    import keras
    import keras_hub

    keras.config.set_dtype_policy("float32")
    folders = {}
    for kind, model in (("bert", "BertModel"), ("roberta", "RobertaModel")):
        folders[kind, "hugging_face"] = folder = tmp_path_factory.mktemp(f"{kind}-hugging-face")
        save_model(folder, kind, model)
        save_tokenizer(folder, trained[kind])
        folders[kind, "keras"] = folder = tmp_path_factory.mktemp(f"{kind}-keras")
        numbers = np.random.default_rng(0)
        backbone = getattr(keras_hub.models, f"{kind.title()}Backbone")(
            vocabulary_size=300, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=30
        )
        for variable in backbone.weights:
            variable.assign(numbers.normal(0, 0.4, variable.shape))
        backbone.save_to_preset(str(folder))
        save_keras_tokenizer(folder, trained[kind])
    return folders


@pytest.fixture
def copy_of(whole, tmp_path):
    """A function that copies a good folder for a test to damage."""
    import shutil

    def copy(kind, format):
        return Path(shutil.copytree(whole[kind, format], tmp_path / f"{kind}-{format}"))

    return copy
