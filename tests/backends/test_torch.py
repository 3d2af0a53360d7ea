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
