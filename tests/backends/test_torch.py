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


def test_on_a_cpu_each_update_is_one_fused_call_for_all_weights():
    environment = os.environ | {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", COUNT_FUSED_UPDATES]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split("\n")[0] == "[2, 2]", result.stderr
