"""BestEpoch and PeakMemory on any Keras model; what the loop's own callbacks measure."""

import mmap
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def model():
    """A plain Keras model that has nothing to do with kmodels."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def data():
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((32, 2)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def fit(model, data, callbacks, epochs=3):
    return model.fit(*data, validation_data=data, epochs=epochs, callbacks=callbacks, batch_size=8, verbose=0).history


def test_best_epoch_is_the_lowest_or_the_highest(model, data):
    from kmodels.callbacks import BestEpoch

    lowest, highest = BestEpoch("val_loss", "min"), BestEpoch("val_loss", "max")
    losses = fit(model, data, [lowest, highest])["val_loss"]
    assert lowest.epoch == int(np.argmin(losses))
    assert highest.epoch == int(np.argmax(losses))
    assert lowest.logs["val_loss"] == min(losses)


def test_best_epoch_keeps_the_weights_of_that_epoch(model, data, tmp_path):
    from kmodels.callbacks import BestEpoch

    best = BestEpoch("val_loss", "max", tmp_path / "best.weights.h5")
    losses = fit(model, data, [best])["val_loss"]
    assert best.epoch == 0  # the loss falls
    model.load_weights(tmp_path / "best.weights.h5")
    assert model.evaluate(*data, verbose=0) == pytest.approx(losses[0], rel=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.h5"]


def test_the_first_of_equal_epochs_is_the_best():
    from kmodels.callbacks import BestEpoch

    best = BestEpoch("x", "max")
    for epoch, value in enumerate([1.0, 2.0, 2.0, float("nan")]):
        best.on_epoch_end(epoch, {"x": value})
    assert best.epoch == 1


def test_a_figure_that_is_no_number_is_never_the_best():
    from kmodels.callbacks import BestEpoch

    best = BestEpoch("x")
    best.on_epoch_end(0, {"x": float("nan")})
    assert best.epoch is None
    best.on_epoch_end(1, {"x": 3.0})
    assert best.epoch == 1


def test_best_epoch_refuses_what_cannot_be():
    from kmodels.callbacks import BestEpoch

    with pytest.raises(ValueError, match="mode must be 'min' or 'max'; got 'auto'"):
        BestEpoch(mode="auto")
    with pytest.raises(ValueError, match=r"must end in '.weights.h5'; got 'x.h5'"):
        BestEpoch(filepath="x.h5")
    with pytest.raises(ValueError, match="monitor must be one of val_loss; got 'val_los'; did you mean 'val_loss'"):
        BestEpoch("val_los").on_epoch_end(0, {"val_loss": 1.0})


@pytest.mark.parametrize("name", ["BestEpoch", "PeakMemory"])
def test_the_public_callbacks_do_nothing_per_step(name):
    """A method per step would make JAX and PyTorch wait for the device after every one of them."""
    import keras

    from kmodels import callbacks

    kind = getattr(callbacks, name)
    for method in ("on_train_batch_begin", "on_train_batch_end", "on_batch_end", "on_test_batch_end"):
        assert getattr(kind, method) is getattr(keras.callbacks.Callback, method)


def test_peak_memory_sees_a_peak_that_is_gone_when_the_epoch_ends(model, data):
    import keras

    from kmodels.callbacks import PeakMemory

    class Hog(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            memory = mmap.mmap(-1, 150 * 2**20)  # not of what earlier tests have freed
            np.frombuffer(memory, np.uint8)[:] = 1

    quiet, loud = PeakMemory(), PeakMemory()
    fit(model, data, [quiet], epochs=1)
    fit(model, data, [Hog(), loud], epochs=1)
    assert loud.peak_host_bytes >= loud.host_bytes > 2**20
    assert loud.peak_host_bytes - quiet.host_bytes > 100 * 2**20


def test_device_figures_are_absent_without_a_device(model, data):
    from kmodels import backends
    from kmodels.callbacks import PeakMemory

    memory = PeakMemory()
    fit(model, data, [memory], epochs=1)
    if not backends.current().device_memory():
        assert memory.device_memory == []


def test_an_accelerator_the_run_did_not_use_is_left_out(model, data, monkeypatch):
    from kmodels import backends
    from kmodels.backends import DeviceMemory
    from kmodels.callbacks import PeakMemory, peak_memory

    used, unused = DeviceMemory(10, 20), DeviceMemory(0, 0)
    monkeypatch.setattr(backends.current(), "device_memory", lambda: [used, unused])
    readings = iter([[300], [200]])
    monkeypatch.setattr(peak_memory, "nvml_process_bytes", lambda: next(readings))
    memory = PeakMemory()
    fit(model, data, [memory], epochs=1)
    assert memory.device_memory == [used]
    assert memory.nvml_bytes == [300]


def test_nvml_counts_this_process_only(monkeypatch):
    import os

    import pynvml

    from kmodels.callbacks import peak_memory

    mine, other = SimpleNamespace(pid=os.getpid(), usedGpuMemory=7), SimpleNamespace(pid=1, usedGpuMemory=9)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda number: [[mine, other], [other]][number])
    assert peak_memory.nvml_process_bytes() == [7, 0]


def test_peak_resident_memory_does_not_start_from_the_parents():
    code = "from kmodels.callbacks.peak_memory import peak_resident_bytes as peak; print(peak())"
    ballast = np.ones(1500 * 2**20, np.uint8)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ballast.sum() > int(result.stdout.split()[-1])


def fake_batches(lengths, num_steps):
    """Batches whose plan holds one sentence a step."""
    from kmodels.data.batching import Plan

    plan = Plan(np.arange(num_steps)[:, None], np.array(lengths))
    tokenized = SimpleNamespace(lengths=np.array(lengths))
    return SimpleNamespace(plan=lambda epoch=0: plan, tokenized=tokenized)


@pytest.mark.parametrize(("each_is_compiled", "compiled"), [(True, (0, 2)), (False, (0,))])
def test_throughput_tells_compilation_from_steady_steps(monkeypatch, each_is_compiled, compiled):
    from kmodels.callbacks import throughput

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock.now)
    speed = throughput.Throughput(fake_batches([4, 4, 8, 4, 8], 5), each_is_compiled)
    for epoch in range(2):
        speed.on_epoch_begin(epoch)
        for batch, length in enumerate([4, 4, 8, 4, 8]):
            speed.on_train_batch_begin(batch)
            first = epoch == 0 and batch in compiled
            clock.now += length / 4 + (100 if first else 0)  # one second for four tokens, 100 more to compile
            speed.on_train_batch_end(batch, {"loss": 0.0})
        clock.now += 50  # validation
        speed.on_epoch_end(epoch)
    assert speed.tokens_per_second == pytest.approx(4.0)
    steady = 10 - len(compiled), 14 - sum([4, 4, 8, 4, 8][batch] / 4 for batch in compiled)
    assert speed.samples_per_second == pytest.approx(steady[0] / steady[1])
    assert speed.compile_seconds == pytest.approx(100.0 * len(compiled))
    assert speed.epoch_seconds == [7 + 100 * len(compiled) + 50, 7 + 50]


def test_a_run_of_first_batches_only_has_no_speed():
    from kmodels.callbacks.throughput import Throughput

    speed = Throughput(fake_batches([4, 8], 2))
    speed.on_epoch_begin(0)
    for batch in range(2):
        speed.on_train_batch_begin(batch)
        speed.on_train_batch_end(batch, {"loss": 0.0})
    assert speed.samples_per_second is speed.tokens_per_second is speed.compile_seconds is None


def test_lazy_logs_copy_a_figure_only_when_it_is_read():
    from kmodels.callbacks.dispatch import LazyLogs

    class Scalar:
        reads = 0

        def __float__(self):
            Scalar.reads += 1
            return 1.5

    logs = LazyLogs({"loss": Scalar(), "accuracy": Scalar()})
    assert set(logs) == {"loss", "accuracy"}
    assert Scalar.reads == 0
    assert logs["loss"] == logs.get("loss") == 1.5
    assert Scalar.reads == 2


def test_first_non_finite_step_is_the_first(model):
    import keras

    from kmodels.callbacks.finite import FirstNonFiniteStep

    metric = FirstNonFiniteStep()
    seen = []
    for value in (1.0, 2.0, float("inf"), 3.0, float("nan")):
        metric.update_state(None, np.full((2, 2), value, "float32"))
        seen.append(int(keras.ops.convert_to_numpy(metric.result())))
    assert seen == [-1, -1, 2, 2, 2]
    metric.reset_state()
    assert int(keras.ops.convert_to_numpy(metric.result())) == -1


def test_a_driver_that_does_not_list_processes_measures_nothing(monkeypatch):
    import pynvml

    from kmodels.callbacks import peak_memory

    def refuse(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    for name, answer in (("nvmlInit", None), ("nvmlDeviceGetCount", 1), ("nvmlShutdown", None)):
        monkeypatch.setattr(pynvml, name, lambda answer=answer: answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", refuse)
    assert peak_memory.nvml_process_bytes() == []


def test_a_run_that_is_stopped_twice_in_an_epoch_keeps_the_events_of_those_before(tmp_path):
    from kmodels.callbacks.tensorboard import TensorBoardFile

    once = TensorBoardFile(tmp_path)
    once.set_state({"epochs": 7})
    assert once.get_state() == {"epochs": 7}
