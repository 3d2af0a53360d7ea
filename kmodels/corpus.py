"""A run's data as batches of token ids, and the encoder that knows these ids."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kmodels import records
from kmodels.data import datasets, token_cache, tokenizers, word_vectors
from kmodels.data.batching import Batches, bucket_lengths, default_num_buckets
from kmodels.errors import InputError


@dataclass(frozen=True)
class Corpus:
    """The data of a run, ready for the loop.

    Attributes:
        label_names: the name of each class.
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        training, validation: kmodels.data.batching.Batches.
    """

    label_names: tuple[str, ...]
    tokenizer: tokenizers.Tokenizer
    training: Batches
    validation: Batches

    def digest(self):
        """The same for the same data, whatever files it came from."""
        digest = hashlib.sha256(repr(self.label_names).encode())
        for batches in (self.training, self.validation):
            for array in (batches.tokenized.token_ids, batches.tokenized.offsets, batches.labels, batches.buckets):
                digest.update(np.ascontiguousarray(array, np.int64).data)
        return digest.hexdigest()


class Pretrained(NamedTuple):
    """What a model begins with that was trained before.

    Attributes:
        backbone: the KerasHub encoder, for the models that start from one.
        word_vectors: float32, (vocabulary_size, dim), for models over words with --embeddings.
    """

    backbone: Any = None
    word_vectors: np.ndarray | None = None


def load_dataset(config):
    """The kmodels.data.datasets.Dataset that a config names."""
    return datasets.load(
        config.dataset,
        config.data_dir,
        config.train_file,
        config.validation_file,
        config.text_column,
        config.label_column,
    )


def dataset_digest(config, dataset):
    """The same for the same sentences and labels of a run, whatever files they came from."""
    count, train = config.max_train_examples, dataset.train
    used = replace(dataset, train=replace(train, texts=train.texts[:count], labels=train.labels[:count]))
    return used.digest()


def build(config, dataset, checkpoint=None, rank=0, each_is_compiled=True):
    """(Corpus, Pretrained): sentences to token ids, and what was trained before on tokens with these ids.

    Args:
        config: kmodels.config.RunConfig, resolved.
        dataset: kmodels.data.datasets.Dataset.
        checkpoint: kmodels.checkpoints.Checkpoint of a run that goes on, whose tokenizer and encoder are then taken.
        rank: of this process among the run's workers.
        each_is_compiled: as of `kmodels.data.batching.default_num_buckets`.

    Raises:
        InputError: the preset can't be read, or the run's folder describes another encoder than its checkpoint holds.
    """
    train = dataset.train
    texts, labels = train.texts[: config.max_train_examples], train.labels[: config.max_train_examples]
    tokenizer, pretrained = _known_tokens(config, checkpoint) if checkpoint else _new_tokens(config, texts)
    training = token_cache.encode(tokenizer, texts, config.max_length)
    validation = token_cache.encode(tokenizer, dataset.validation.texts, config.max_length)
    num_steps = -(-len(texts) // config.batch_size)
    num_buckets = config.num_buckets or default_num_buckets(num_steps, each_is_compiled)
    buckets = bucket_lengths(np.concatenate([training.lengths, validation.lengths]), num_buckets)
    shared = {"buckets": buckets, "batch_size": config.batch_size, "padding_id": tokenizer.padding_id}
    shared |= {"rank": rank, "num_workers": config.workers}
    corpus = Corpus(
        label_names=dataset.label_names,
        tokenizer=tokenizer,
        training=Batches(training, labels, seed=config.seed, **shared),
        validation=Batches(validation, dataset.validation.labels, **shared),
    )
    return corpus, pretrained


def _new_tokens(config, texts):
    """(Tokenizer, Pretrained) of a new run."""
    if config.embeddings is not None:
        return _embedded_words(config, texts)
    if not config.architecture.is_encoder:
        return token_cache.words(texts, config.vocabulary_size), Pretrained()
    from kmodels.models import presets

    tokenizer, backbone = presets.load(config, texts)
    return tokenizer, Pretrained(backbone=backbone)


def _embedded_words(config, texts):
    """(Tokenizer, Pretrained) of a new run that begins with word vectors.

    Words that the training text has not, but the vectors have, fill the vocabulary up.
    """
    tokenizer = token_cache.words(texts, config.vocabulary_size)
    wanted = set(tokenizer.vocabulary[2:])
    others = config.vocabulary_size - tokenizer.vocabulary_size, tokenizer.is_one_word
    path = Path(config.embeddings)
    if not path.is_file():
        vectors = vectors_of_encoder(config, wanted, *others)
    elif config.embedding_layers is None:
        vectors = word_vectors.read(path, wanted, *others)
    else:
        raise InputError(f"embedding_layers is for vectors from an encoder; {path} is a file of vectors")
    tokenizer = tokenizer.with_words(vectors.words)
    table = word_vectors.table(vectors, tokenizer.vocabulary, np.random.default_rng(config.seed))
    if config.embedding_dim not in (None, table.shape[1]):
        raise InputError(
            f"embedding_dim must be {table.shape[1]}, that of {config.embeddings}; got {config.embedding_dim}"
        )
    return tokenizer, Pretrained(word_vectors=table)


def vectors_of_encoder(config, *which):
    """Word vectors from the encoder that --embeddings names.

    Args:
        config: kmodels.config.RunConfig.
        which: what `word_vectors.words_of` takes after the tokenizer.

    Returns:
        kmodels.data.word_vectors.WordVectors.

    Raises:
        InputError: the encoder can't be read, or has fewer layers than asked for.
    """
    from kmodels.models import presets
    from kmodels.models.word_states import word_states
    from kmodels.prediction import Predictor

    if config.embedding_layers == 0:
        tokenizer, table = presets.load_token_table(config.embeddings)
        return word_vectors.from_tokens(word_vectors.words_of(tokenizer, *which), tokenizer, table)
    tokenizer, backbone = presets.load_either_kind(config.embeddings)
    layers = config.embedding_layers or (backbone.num_layers + 1) // 2
    if layers > backbone.num_layers:
        raise InputError(
            f"embedding_layers must be at most {backbone.num_layers}, the layers of {config.embeddings}; got {layers}"
        )
    words = word_vectors.words_of(tokenizer, *which)
    longest = backbone.max_sequence_length

    def made():
        predictor = Predictor(word_states(backbone, layers), tokenizer.padding_id, longest)
        return predictor.outputs(tokenizer.encode(tokenizer.inside(words), longest))

    facts = layers, longest, tokenizer.to_json(), presets.digest(backbone), config.backend
    return word_vectors.WordVectors(words, token_cache.vectors(words, made, *facts))


def _known_tokens(config, checkpoint):
    """(Tokenizer, Pretrained) of a run that goes on; its preset may be gone. Word vectors come with its weights."""
    folder = Path(config.output_dir)
    tokenizer = tokenizers.Tokenizer.load(folder / records.TOKENIZER)
    if not config.architecture.is_encoder:
        return tokenizer, Pretrained()
    from kmodels.models import encoder_sizes, presets

    path = folder / records.MODEL
    description = records.read_object(path).get("backbone")
    _, num_numbers = encoder_sizes.least_weights(encoder_sizes.of_description(description, path))
    if checkpoint.num_bytes < 4 * num_numbers:
        raise InputError(f"{path} describes a larger encoder than {checkpoint.path} holds")
    return tokenizer, Pretrained(backbone=presets.restore(config, description))


def describe(corpus, backbone):
    """What model.json says: enough, with config.json, to build the model again without its preset."""
    description = {
        "label_names": list(corpus.label_names),
        "vocabulary_size": corpus.tokenizer.vocabulary_size,
    }
    if backbone is not None:
        from kmodels.models import presets

        description["backbone"] = presets.describe(backbone)
    return description
