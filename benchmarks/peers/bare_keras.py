"""Keras's own `fit` of one of the models on arrays, and nothing else: what a framework and a model need of memory.

Token ids are drawn; their lengths are those that a run of kmodels has.
"""

import argparse
import json
import os

import numpy as np

LENGTHS = (4, 6, 8, 10, 12, 15, 18, 22, 26, 32, 40, 66)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", help="not read")
    parser.add_argument("--model", choices=("textcnn", "encoder"), required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    arguments = parser.parse_args()
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(os.cpu_count())
    model = {"textcnn": textcnn, "encoder": encoder}[arguments.model](keras)
    model.compile(keras.optimizers.AdamW(1e-4, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    numbers = np.random.default_rng(0)
    steps = 2 * len(LENGTHS)

    def batches():
        for step in range(steps):
            shape = arguments.batch_size, LENGTHS[step % len(LENGTHS)]
            ids = numbers.integers(2, 20000, shape).astype("int32")
            yield ids, numbers.integers(0, 2, arguments.batch_size)

    model.fit(batches(), steps_per_epoch=steps, epochs=1, verbose=0)
    print(json.dumps({"keras": keras.__version__}))


def textcnn(keras):
    """Kim's network of kmodels' default sizes."""
    ids = keras.Input((None,), dtype="int32")
    vectors = keras.layers.Embedding(20000, 300)(ids)
    maxima = [
        keras.layers.GlobalMaxPooling1D()(keras.layers.Conv1D(100, width, padding="same", activation="relu")(vectors))
        for width in (2, 3, 4, 5)
    ]
    features = keras.layers.Dropout(0.5)(keras.layers.concatenate(maxima))
    return keras.Model(ids, keras.layers.Dense(2, activation="softmax")(features))


def encoder(keras):
    """KerasHub's BERT with six layers (all-MiniLM-L6-v2's sizes), the mean of its states and a linear layer."""
    import keras_hub

    ids = keras.Input((None,), dtype="int32")
    encoder = keras_hub.models.BertBackbone(
        vocabulary_size=30522, num_layers=6, num_heads=12, hidden_dim=384, intermediate_dim=1536
    )
    mask, segments = keras.ops.ones_like(ids), keras.ops.zeros_like(ids)
    states = encoder({"token_ids": ids, "padding_mask": mask, "segment_ids": segments})
    features = keras.ops.mean(states["sequence_output"], axis=1)
    return keras.Model(ids, keras.layers.Dense(2, activation="softmax")(features))


if __name__ == "__main__":
    main()
