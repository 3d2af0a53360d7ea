"""The six classifiers: from a run's settings to a `keras.Model`.

The names and what they stand for are in `kmodels.architectures`; one file here a family.
"""

import importlib
import inspect


def builder(architecture):
    """The function that builds an `Architecture`'s model."""
    if callable(architecture.builder):
        return architecture.builder
    module, function = architecture.builder.split(":")
    return getattr(importlib.import_module(f"kmodels.models.{module}"), function)


def build(config, num_classes, vocabulary_size=None, backbone=None, word_vectors=None):
    """Builds the classifier that a resolved config names.

    A builder's parameters are settings of the same names; what is no setting is given here, or keeps its default.

    Args:
        config: kmodels.config.RunConfig, resolved.
        num_classes: number of classes.
        vocabulary_size: entries of the tokenizer, for the models over words.
        backbone: a KerasHub encoder, for the models that start from one.
        word_vectors: float32, (vocabulary_size, dim), for models over words that begin with pretrained vectors.

    Returns:
        keras.Model from {"token_ids", "padding_mask"} to float32 logits, (batch, num_classes).
    """
    function = builder(config.architecture)
    given = {"num_classes": num_classes, "vocabulary_size": vocabulary_size, "backbone": backbone}
    given["word_vectors"] = word_vectors
    known = given | {name: value for name, value in vars(config).items() if name not in given}
    arguments = {name: known[name] for name in inspect.signature(function).parameters if name in known}
    return function(**arguments)
