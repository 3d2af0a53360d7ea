"""Run on JAX with two devices: a step of two workers, which one process stands for, beside that of one.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m tests.backends.parts

prints a line of JSON for each model: {"name", "one", "two": figures and weights after a few steps, "sent": bytes that
a step exchanges, and "messages", in how many arrays, "gradients": those of its weights that are in no table, "vectors":
those looked up, "rows": logits, labels and weights}, and for dropout {"name": "dropout", "one", "two": logits of a
batch of equal sentences}.
"""

import json
import re

import numpy as np

from kmodels import backend

ROWS, DIM, BATCH, LENGTH = 2000, 16, 8, 7
SIZES = {
    "textcnn": {"embedding_dim": DIM, "num_filters": 4, "kernel_sizes": (2, 3)},
    "bilstm": {"embedding_dim": DIM, "lstm_units": 4, "pooling": "max"},
    "bert_base_pool": {"preset": "scratch:tiny", "pooling": "pooler"},
}
BYTES = {"f32": 4, "s32": 4, "u32": 4, "pred": 1}


def built(name, num_devices, dropout=0.0):
    """A compiled model, for so many workers."""
    import keras
    import keras_hub

    from kmodels import backends, loop, models
    from kmodels.config import RunConfig

    devices = keras.distribution.list_devices()[:num_devices]
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
    drops = {"dropout": dropout} | ({} if name == "bert_base_pool" else {"word_dropout": dropout})
    config = RunConfig(
        model=name, epochs=1, seed=1, batch_size=BATCH, workers=num_devices, learning_rate=0.01, **SIZES[name] | drops
    ).resolved("jax")
    backbone = None
    if name == "bert_base_pool":
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=ROWS, num_layers=1, num_heads=2, hidden_dim=DIM, intermediate_dim=32, dropout=dropout
        )
    backends.current().configure()
    model = models.build(config, 3, ROWS, backbone)
    loop.compile_model(model, config, num_steps=4)
    return model


def batch(number, equal=False):
    """One of different weights, with a filler; or of equal sentences."""
    numbers = np.random.default_rng(number)
    lengths = np.array([7, 5, 1, 7, 3, 7, 2, 0])
    shape = (1 if equal else BATCH, LENGTH)
    inputs = {
        "token_ids": np.broadcast_to(numbers.integers(1, ROWS, shape), (BATCH, LENGTH)).astype("int32"),
        "padding_mask": np.ones((BATCH, LENGTH), bool) if equal else np.arange(LENGTH) < lengths[:, None],
    }
    weights = np.array([1, 1, 1, 2, 1, 1, 1, 0], "float32")
    return inputs, numbers.integers(0, 3, BATCH).astype("int32"), weights


def trained(name, num_devices):
    """Figures and weights after four steps, by path; and after them the model."""
    import keras

    keras.utils.set_random_seed(1)
    model = built(name, num_devices)
    history = model.fit((batch(number) for number in range(4)), steps_per_epoch=4, verbose=0, shuffle=False).history
    figures = {figure: values[-1] for figure, values in history.items() if figure != "loss"}
    figures |= model.evaluate((batch(number) for number in [9]), steps=1, verbose=0, return_dict=True)
    del figures["loss"]  # Keras's own, of one worker's part: nothing reads it
    return figures | {each.path: np.asarray(each.value).tolist() for each in model.trainable_variables}, model


def sent(model):
    """{"sent", "messages"}: what the workers exchange in a step, by the program that XLA made of it."""
    import jax

    kinds = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables
    state = tuple([variable.value for variable in kind] for kind in kinds)
    mesh = model.trainable_variables[0].value.sharding.mesh
    parts = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    program = jax.jit(model.train_step).lower(state, jax.device_put(batch(0), parts)).compile().as_text()
    shapes = re.findall(r"= (.*?) (?:all-reduce|all-gather|all-to-all|collective-permute)(?:-start)?\(", program)
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", " ".join(shapes))
    sizes = [BYTES[kind] * int(np.prod([int(size) for size in shape.split(",") if size])) for kind, shape in arrays]
    return {"sent": sum(sizes), "messages": len(sizes)}


def logits(num_devices):
    """Those of a training step's batch of equal sentences, with dropout."""
    model, seen = built("textcnn", num_devices, dropout=0.5), []
    of_keras = model._update_metrics_variables

    def looking(*given):
        seen.append(np.asarray(given[4]).tolist())
        return of_keras(*given)

    model._update_metrics_variables = looking
    model.run_eagerly = True
    model.fit((batch(number, equal=True) for number in [0]), steps_per_epoch=1, verbose=0, shuffle=False)
    return seen[0]


def main():
    for name in SIZES:
        one, _ = trained(name, 1)
        two, model = trained(name, 2)
        tables = [each for each in model.trainable_variables if each.shape == (ROWS, DIM)]
        numbers = sum(each.value.size for each in model.trainable_variables) - sum(each.value.size for each in tables)
        vectors = BATCH * LENGTH * (DIM + 1)
        found = {"gradients": 4 * numbers, "vectors": 4 * vectors, "rows": 4 * BATCH * 5, "tables": len(tables)}
        print(json.dumps({"name": name, "one": one, "two": two} | found | sent(model)))
    print(json.dumps({"name": "dropout", "one": logits(1), "two": logits(2)}))


if __name__ == "__main__":
    backend.choose("jax")
    main()
