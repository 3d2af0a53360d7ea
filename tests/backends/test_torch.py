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


DROP = """
import keras, numpy as np, torch
from kmodels import backends

backends.current().configure()

def dropped(size=100_003, rate=0.1, seed=None, dtype="float32"):
    x = torch.ones(size, dtype=getattr(torch, dtype), requires_grad=True)
    y = keras.layers.Dropout(rate, seed=seed, dtype=dtype)(x, training=True)
    y.backward(torch.full_like(y, 2.0))
    assert torch.equal(x.grad, 2 * y.detach())  # the same places, the same scale
    return y.detach()

for rate in (0.1, 0.5, 0.9):
    y = dropped(rate=rate)
    stays = y != 0
    assert abs(stays.float().mean().item() - (1 - rate)) < 0.005, rate
    assert torch.allclose(y[stays], torch.tensor(1 / (1 - rate)), rtol=1e-4)
    # of the four that share a random number, each is as likely, and none tells of another
    four = stays[: len(stays) // 4 * 4].view(-1, 4).double()
    assert (four.mean(0) - (1 - rate)).abs().max() < 0.01
    assert (torch.corrcoef(four.T) - torch.eye(4)).abs().max() < 0.03
assert dropped(dtype="bfloat16").dtype == torch.bfloat16
for size in (0, 1, 2, 3, 5):
    assert len(dropped(size)) == size
assert torch.equal(dropped(seed=3), dropped(seed=3)) and not torch.equal(dropped(seed=3), dropped(seed=4))
states = [dropped() for state in [torch.get_rng_state()] * 2 if torch.set_rng_state(state) is None]
assert torch.equal(*states) and not torch.equal(states[0], dropped())
layer = keras.layers.Dropout(0.5)
assert torch.equal(layer(torch.ones(9)), torch.ones(9))  # not in training
assert torch.equal(keras.layers.Dropout(0)(torch.ones(9), training=True), torch.ones(9))
rows = keras.layers.Dropout(0.5, noise_shape=(None, 1))(torch.ones(50, 4), training=True)
assert torch.equal(rows, rows[:, :1].expand(50, 4))  # Keras's own way
print("as it should be")
"""


def test_dropout_drops_each_element_by_itself_as_often_as_it_should():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run([sys.executable, "-c", DROP], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "as it should be\n", result.stderr
