"""What workers exchange: of tables, only the rows that some worker's batch used."""

import importlib

import numpy as np
import pytest

pytestmark = pytest.mark.backend


class Workers:
    """Two workers with the same gradients, of whom one runs; counts the numbers that it sends."""

    def __init__(self):
        self.sent = 0

    def added(self, tensor):
        self.sent += int(np.prod(tensor.shape))
        return tensor + tensor


@pytest.fixture
def averaged(chosen_backend, monkeypatch):
    """averaged(gradients, are_tables) -> (averages, numbers sent), all NumPy."""
    if chosen_backend == "jax":
        pytest.skip("one program for all workers: test_parts.py")
    framework = importlib.import_module(f"kmodels.backends.{chosen_backend}.optimizer")
    workers = Workers()

    def on_torch(tensor, operation=None):
        result = workers.added(tensor)
        tensor.copy_(result if operation is None else tensor)

    if chosen_backend == "torch":
        monkeypatch.setattr(framework.distributed, "all_reduce", on_torch)
        monkeypatch.setattr(framework.distributed, "get_world_size", lambda: 2)
    else:
        monkeypatch.setattr(framework, "num_workers", lambda: 2)
        same = {"Mean": lambda tensor: workers.added(tensor) / 2, "Max": lambda tensor: workers.added(tensor) // 2}
        monkeypatch.setattr(framework, "reduced", lambda tensor, operation, key: same[operation](tensor))

    def call(gradients, are_tables):
        import keras

        tensors = [keras.ops.convert_to_tensor(gradient) for gradient in gradients]
        averages = framework._averaged(tensors, are_tables)
        return [keras.ops.convert_to_numpy(each) for each in averages], workers.sent

    return call


def test_rows_stay_rows_on_tensorflow(chosen_backend, monkeypatch):
    if chosen_backend != "tensorflow":
        pytest.skip("TensorFlow's gradients by rows")
    import tensorflow as tf

    from kmodels.backends.tensorflow import optimizer

    def of_both(tensor, operation, key):  # the other worker used row 4, with 6, and has the same of all else
        if operation == "Max":
            return tf.tensor_scatter_nd_update(tensor, [[4]], [1])
        return tensor if tensor.shape == (1,) else tensor / 2 + tf.reshape(tf.one_hot(2, 5), (5, 1)) * 3

    monkeypatch.setattr(optimizer, "num_workers", lambda: 2)
    monkeypatch.setattr(optimizer, "reduced", of_both)
    of_words = tf.IndexedSlices(tf.constant([[0.0], [3.0], [1.0], [5.0]]), tf.constant([0, 2, 1, 2]), [5, 1])
    once = optimizer._added_up(of_words, tf.Variable(tf.zeros((5, 1))))
    assert dict(zip(once.indices.numpy(), once.values.numpy()[:, 0])) == {0: 0, 2: 8, 1: 1}
    kernel, table = optimizer._averaged([tf.constant([7.0]), once], [False, True])
    assert kernel.numpy() == [7]
    assert (table.indices.numpy().tolist(), table.values.numpy()[:, 0].tolist()) == ([1, 2, 4], [0.5, 4, 3])


def test_rows_that_a_step_knows_are_not_looked_for(chosen_backend, monkeypatch):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's gradients by rows")
    import torch

    from kmodels.backends.torch import optimizer, tables

    def of_both(tensor, operation=None):  # the other worker used row 4, with 6
        if operation is None:
            tensor[-1] += 6
        else:
            tensor[4] = 1

    monkeypatch.setattr(optimizer.distributed, "all_reduce", of_both)
    monkeypatch.setattr(optimizer.distributed, "get_world_size", lambda: 2)
    table = torch.zeros(5, 1)
    table[2] = 8
    tables.set_rows(table, torch.tensor([1, 2]), torch.tensor([[0.0], [8.0]]))
    (average,) = optimizer._averaged([table], [True])
    assert average is table and table[:, 0].tolist() == [0, 0, 4, 0, 3]
    rows, values = tables.rows_of(table)
    assert (rows.tolist(), values[:, 0].tolist()) == ([1, 2, 4], [0, 4, 3])


@pytest.mark.parametrize("num_used", [0, 3, 700, 5000])
def test_of_tables_only_the_rows_in_use_go_round(averaged, num_used):
    numbers = np.random.default_rng(0)
    kernel, table = numbers.normal(size=(20, 7)).astype(np.float32), np.zeros((5000, 4), np.float32)
    used = numbers.permutation(5000)[:num_used]
    table[used] = numbers.normal(size=(num_used, 4))
    other = np.zeros((3, 4), np.float32)
    other[1, 2] = -1e-30  # small, but not 0
    averages, sent = averaged([kernel, table, other], [False, True, True])
    for average, gradient in zip(averages, (kernel, table, other)):
        np.testing.assert_allclose(average, gradient, rtol=1e-6)
    assert sent < kernel.size + len(table) + len(other) + 4 * max(256, 1.25 * num_used) + other.size + 1
