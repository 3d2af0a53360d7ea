"""What kmodels.backends.torch does besides what every backend does."""

import os
import subprocess
import sys

COUNT_FUSED_UPDATES = """
import keras, torch
from kmodels.optimizers import adamw

calls = []
fused = torch._fused_adamw_
torch._fused_adamw_ = lambda *arguments, **settings: calls.append(len(arguments[0])) or fused(*arguments, **settings)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
for decay in (0.0, 0.1):
    model.compile(adamw(0.1, weight_decay=decay), loss="mse")
    model.train_on_batch(torch.ones(4, 2), torch.ones(4, 3))
print(calls)
"""


def test_on_a_cpu_each_update_is_one_fused_call_for_all_weights_of_one_decay():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", COUNT_FUSED_UPDATES]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split("\n")[0] == "[2, 1, 1]", result.stderr


UPDATE_TRANSPOSED = """
import keras, torch
from kmodels.optimizers import adamw

numbers = torch.arange(12.0).reshape(4, 3)
found = []
for make in (
    lambda rate: adamw(rate, weight_decay=0.0),
    lambda rate: keras.optimizers.Adam(rate, epsilon=1e-7, global_clipnorm=1.0),
):
    weight = keras.Variable(torch.zeros(3, 4))
    weight.value.data = torch.ones(4, 3).T  # as the LSTM's recurrent kernel lies in memory
    optimizer = make(0.1)
    for scale in (1.0, -0.5):
        optimizer.apply([(scale * numbers).T], [weight])
    variables = [weight, *(each for each in optimizer.variables if each.shape == (3, 4))]
    found.append([each.value.detach().clone() for each in variables])
for ours, theirs in zip(*found, strict=True):
    torch.testing.assert_close(ours, theirs)
print(len(found[0]), type(found[0][0]).__name__)
"""


def test_weights_that_lie_transposed_in_memory_are_updated_with_their_own_moments():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", UPDATE_TRANSPOSED]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "3 Tensor\n", result.stderr


SET_FROM_OUTSIDE = """
import keras, torch
from kmodels import backends
from kmodels.optimizers import WarmupSchedule, adamw

backends.current().configure()
weight = keras.Variable(torch.ones(3))
optimizer = adamw(WarmupSchedule(1.0, 0, 10), weight_decay=0.0)
rates = []
for count in (None, None, 7, 7):
    if count is not None:
        optimizer.iterations.assign(count)
    rates.append(round(optimizer.learning_rate, 6))
    optimizer.apply([torch.ones(3)], [weight])
    rates.append(round(optimizer.learning_rate, 6))
print(rates)
layer, ones = keras.layers.Dropout(0.5, seed=1), torch.ones(1000)
first, second = layer(ones, training=True), layer(ones, training=True)
layer.seed_generator.state.assign([1, 0])
print(torch.equal(layer(ones, training=True), first), torch.equal(layer(ones, training=True), second))
print(layer.seed_generator.state.numpy().tolist())
"""


def test_counts_that_are_set_from_outside_are_read():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", SET_FROM_OUTSIDE]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    expected = "[1.0, 0.9, 0.9, 0.8, 0.3, 0.2, 0.3, 0.2]\nTrue True\n[1, 2]\n"
    assert result.stdout == expected, result.stderr


IN_FEW_CALLS = """
import keras, numpy, torch, kmodels
from kmodels import backends

called = []
keras_call = keras.layers.Layer.__call__
keras.layers.Layer.__call__ = lambda layer, *given, **more: called.append(layer) or keras_call(layer, *given, **more)
ids, mask = numpy.ones((2, 5), "int32"), numpy.ones((2, 5), bool)
for pooling in ("mean", "pooler"):
    model = kmodels.build(
        "bert_base_pool", preset="scratch:tiny", vocabulary_size=100, num_classes=2, pooling=pooling, dropout=0.0
    )
    backbone = next(layer for layer in model.layers if hasattr(layer, "hidden_dim"))
    found = []
    for prepare in (lambda model: None, backends.current().prepare):
        prepare(model)
        called.clear()
        model({"token_ids": ids, "padding_mask": mask})
        found.append(len(called))
    print(found[1] < found[0] / 2)
encoder = keras.Model(backbone.input, backbone.output)
layer = next(layer for layer in encoder._flatten_layers() if type(layer).__name__ == "TransformerEncoder")
x = numpy.random.default_rng(0).standard_normal((2, 5, 128)).astype("float32")
causal = numpy.tril(numpy.ones((2, 5, 5), "int32"))
plain, tensor = type(layer).call, keras.ops.convert_to_tensor(x)
for more in ({"attention_mask": causal}, {}):
    torch.testing.assert_close(layer(x, **more), plain(layer, tensor, **more), rtol=0, atol=0)
torch.testing.assert_close(layer(x, padding_mask=mask), plain(layer, tensor, mask))
encoder.quantize("int8")
torch.testing.assert_close(layer(x, padding_mask=mask), plain(layer, tensor, mask), rtol=0, atol=0)
scores = layer(x, padding_mask=mask, return_attention_scores=True)[1]
print(tuple(scores.shape))
"""


def test_a_prepared_encoder_is_few_calls_and_what_is_asked_otherwise_is_keras_own():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", IN_FEW_CALLS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "True\nTrue\n(2, 2, 5, 5)\n", result.stderr
