"""Rows of a table that are updated when a batch has them end where Adam brings them in every step."""

import os
import signal

import numpy as np
import pytest

from benchmarks.kill import bits
from tests.reviews import tiny_settings

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's tables")
    from kmodels import backends

    backends.current().configure()


NUM_ROWS, DIM = 2000, 5


class Training:
    """Steps with a table of which each uses a few rows, deferred or not."""

    def __init__(self, is_deferred, kind="AdamW", rate=0.01, **settings):
        import keras

        from kmodels.backends.torch import deferred, tables
        from kmodels.backends.torch.optimizer import optimizer_class

        layer = keras.layers.Embedding(NUM_ROWS, DIM, name="words")
        layer.build()
        self.table = layer.embeddings
        self.table.assign(np.random.default_rng(0).normal(size=(NUM_ROWS, DIM)))
        assert tables.tables_of([self.table]) == [self.table]
        self.optimizer = optimizer_class(getattr(keras.optimizers, kind))(rate, **settings)
        self.optimizer.build([self.table])
        self.gradient = deferred.gradient_of(self.table, self.optimizer if is_deferred else None)
        assert isinstance(self.gradient, deferred.DeferredRows) == is_deferred

    def loss(self, places, factors):
        from kmodels.backends.torch.tables import take_different

        return (take_different(self.table, places) * factors).sum()

    def step(self, number, loss=None, num_places=20):
        import torch

        from kmodels.backends.torch import tables

        numbers = np.random.default_rng(number)
        places = np.sort(numbers.choice(NUM_ROWS // 4, num_places, replace=False))  # the rest has no gradient ever
        factors = numbers.normal(size=(num_places, DIM)) * 10.0 ** numbers.uniform(-6, 1)
        self.table._value.grad = None
        with tables.by_rows([self.gradient]):
            (loss or self.loss)(torch.from_numpy(places), torch.from_numpy(factors).float()).backward()
        with torch.no_grad():
            self.optimizer.apply([self.table._value.grad], [self.table])

    def state(self):
        """The table and its moments, as anybody reads them."""
        variables = self.table, self.optimizer._momentums[0], self.optimizer._velocities[0]
        return [variable.numpy().copy() for variable in variables]


def both(**settings):
    return Training(True, **settings), Training(False, **settings)


def assert_same(ours, dense):
    for got, expected in zip(ours.state(), dense.state()):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7 * np.abs(expected).max())


def schedule():
    from kmodels.optimizers import WarmupSchedule

    return WarmupSchedule(0.05, 10, 200)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.5},
        {"global_clipnorm": 0.1},
        {"epsilon": 1e-3},
        {"kind": "Adam", "rate": schedule},
        {"beta_1": 0.95, "beta_2": 0.9995},
    ],
    ids=",".join,
)
def test_it_is_the_same_optimizer_and_rounds_less(settings):
    settings = {name: value() if callable(value) else value for name, value in settings.items()}
    ours, dense = both(**settings)
    exact = Exact(dense)
    for number in range(150):
        ours.step(number)
        dense.step(number)
        exact.step(dense.table._value.grad.numpy().astype("float64"))
    assert not ours.gradient.is_up_to_date
    errors = [
        [np.abs(found - expected).max() / np.abs(expected).max() for found, expected in zip(each.state(), exact.state)]
        for each in (ours, dense)
    ]
    assert max(errors[0]) < 5e-7
    assert errors[0][0] < errors[1][0]


class Exact:
    """Adam in float64.

    Source: Kingma & Ba 2015, the last lines of section 2; Loshchilov & Hutter 2019.
    """

    def __init__(self, training):
        self.optimizer = training.optimizer
        self.state = [training.table.numpy().astype("float64"), 0.0, 0.0]
        self.num_steps = 0

    def step(self, gradient):
        optimizer, (weights, momentum, velocity) = self.optimizer, self.state
        beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
        if optimizer.global_clipnorm:
            gradient = gradient / max(1.0, np.linalg.norm(gradient) / optimizer.global_clipnorm)
        rate = getattr(optimizer._learning_rate, "on_host", lambda step: float(optimizer.learning_rate))(self.num_steps)
        self.num_steps += 1
        momentum = beta_1 * momentum + (1 - beta_1) * gradient
        velocity = beta_2 * velocity + (1 - beta_2) * gradient**2
        corrected = rate * (1 - beta_2**self.num_steps) ** 0.5 / (1 - beta_1**self.num_steps)
        weights = weights * (1 - rate * (optimizer.weight_decay or 0.0))
        self.state = [weights - corrected * momentum / (velocity**0.5 + optimizer.epsilon), momentum, velocity]


def test_only_the_rows_of_a_batch_are_written_until_all_are():
    from kmodels.backends.torch import deferred

    ours, begun = Training(True), False
    for number in range(deferred.STEPS):
        before = ours.table._value.detach().clone()
        assert ours.gradient.is_up_to_date == (number == 0)
        ours.step(number)
        num_changed = int((ours.table._value.detach() != before).any(dim=1).sum())
        begun = begun or num_changed == 20
        assert num_changed <= 20 or number == deferred.STEPS - 1
    assert begun and ours.gradient.is_up_to_date and num_changed > 200


@pytest.mark.parametrize("which", range(3), ids=["table", "momentum", "velocity"])
def test_who_reads_a_weight_or_a_moment_finds_it_up_to_date(which):
    ours, dense = both()
    for number in range(7):
        ours.step(number)
        dense.step(number)
    variable, expected = (
        [each.table, each.optimizer._momentums[0], each.optimizer._velocities[0]][which] for each in (ours, dense)
    )
    np.testing.assert_allclose(variable.numpy(), expected.numpy(), rtol=2e-6, atol=1e-9)
    assert ours.gradient.is_up_to_date
    assert type(variable) is type(expected)
    for number in range(7, 14):
        ours.step(number)
        dense.step(number)
    assert_same(ours, dense)


def test_what_is_assigned_stays():
    ours = Training(True)
    for number in range(3):
        ours.step(number)
    ours.table.assign(np.ones((NUM_ROWS, DIM)))
    assert (ours.table.numpy() == 1).all()


def looked_up_twice(training):
    return lambda places, factors: training.loss(places, factors) + training.loss(places[:4], factors[:4] ** 2)


def looked_up_again_without_a_gradient(training):
    return lambda places, factors: training.loss(places, factors) + training.loss(places[:4], factors[:4]).detach()


def in_no_order(training):
    from keras import ops

    return lambda places, factors: (ops.take(training.table, places.flip(0)[:, None], axis=0) * factors[:, None]).sum()


def in_two_ways(training):
    from kmodels.backends.torch.tables import take_different

    in_any_order = in_no_order(training)

    def loss(places, factors):
        taken = take_different(training.table, places[:4]).detach().sum()
        twice = places.repeat(2), factors.repeat(2, 1)
        return taken + in_any_order(*twice)

    return loss


def used_beside(training):
    return lambda places, factors: training.loss(places, factors) + (training.table.value**2).sum()


def used_beside_first(training):
    return lambda places, factors: (training.table.value**2).sum() + training.loss(places, factors)


OTHERS = looked_up_twice, looked_up_again_without_a_gradient, in_no_order, in_two_ways, used_beside, used_beside_first


@pytest.mark.parametrize("other", OTHERS, ids=lambda function: function.__name__)
def test_what_else_a_batch_does_with_a_table_is_done(other):
    ours, dense = both()
    for number in range(12):
        is_other = number in (4, 5, 9)
        for each in (ours, dense):
            each.step(number, other(each) if is_other else None)
        assert ours.gradient.is_up_to_date == is_other
    assert_same(ours, dense)


def test_vectors_that_a_model_was_given_stay_as_they_were():
    from kmodels.backends.torch.tables import take_different

    training, given = Training(True), []

    def loss(places, factors):
        vectors = take_different(training.table, places)
        given.append((vectors, vectors.detach().clone()))
        return (vectors * factors).sum()

    training.step(0, loss)
    for vectors, before in given:
        assert (vectors == before).all()


def test_a_batch_with_much_of_the_table_updates_all_of_it():
    ours, dense = both()
    for number in range(6):
        for each in (ours, dense):
            each.step(number, num_places=NUM_ROWS // 4 if number == 3 else 20)
        assert ours.gradient.is_up_to_date == (number == 3)
    assert_same(ours, dense)


@pytest.mark.parametrize(
    "settings",
    [{"gradient_accumulation_steps": 2}, {"beta_2": 0.9}, {"use_ema": True}, {"averages": True}, {"is_built": False}],
    ids=str,
)
def test_where_more_than_adam_happens_to_a_weight_it_is_not_deferred(settings):
    import keras

    from kmodels.backends.torch.optimizer import optimizer_class
    from kmodels.optimizers import _averaging

    settings = dict(settings)
    kind, is_built = optimizer_class(keras.optimizers.Adam), settings.pop("is_built", True)
    if settings.pop("averages", False):
        kind, settings = _averaging(kind), settings | {"momentum": 0.9}
    optimizer = kind(0.1, **settings)
    if is_built:
        optimizer.build([keras.Variable(np.zeros((NUM_ROWS, DIM)))])
    assert not optimizer.can_defer


def test_another_optimizer_begins_with_rows_that_are_up_to_date():
    from kmodels.backends.torch import deferred

    ours, dense = both()
    for number in range(5):
        ours.step(number)
        dense.step(number)
    deferred.gradient_of(ours.table, None)
    assert not hasattr(ours.table, "kmodels_deferred")
    assert_same(ours, dense)


@pytest.fixture
def run(review_files, tmp_path, monkeypatch):
    """Trains with a table so small that it would not be deferred otherwise, all rows up to date every 4 steps."""
    import kmodels
    from kmodels.backends.torch import deferred, tables

    monkeypatch.setattr(tables, "_FEWEST_ROWS", 1)
    monkeypatch.setattr(deferred, "_SHARE", 0)
    monkeypatch.setattr(deferred, "STEPS", 4)

    def train(name, *callbacks, **settings):
        common = tiny_settings("textcnn", review_files, tmp_path / name) | {"epochs": 2, "checkpoint_seconds": 0.0}
        kmodels.train(callbacks=callbacks, **common | settings)
        return tmp_path / name

    return train


def at_batch(number, function):
    import keras

    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch == number and function())


def test_a_run_is_saved_where_all_rows_are_up_to_date_and_goes_on_in_the_same_bits(run):
    from kmodels import Interrupted

    whole = run("whole")
    with pytest.raises(Interrupted, match="epoch 0, step 4"):
        run("stopped", at_batch(1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    stopped = run("stopped", checkpoint_seconds=1e-9)
    assert bits(stopped) == bits(whole)


def test_a_run_with_an_average_of_its_weights_is_saved_at_any_step(run):
    from kmodels import Interrupted

    with pytest.raises(Interrupted, match="epoch 0, step 2"):
        run("stopped", at_batch(1, lambda: os.kill(os.getpid(), signal.SIGTERM)), ema_momentum=0.9)
