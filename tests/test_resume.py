"""Interrupted runs end in the same bits as uninterrupted ones, on the chosen backend, dropout on."""

import random
import shutil
import signal
import subprocess
import sys

import pytest

import kmodels
from benchmarks.kill import bits
from kmodels import checkpoints, records, run_folder, training
from kmodels.config import BACKENDS
from kmodels.data import tokenizer_training
from tests.models.encoders import save_model, save_tokenizer
from tests.reviews import tiny_settings

PIPE = subprocess.PIPE
pytestmark = pytest.mark.backend


class Killed(BaseException):
    """What nothing catches, as a process that is killed does nothing more."""


def kill_at(epoch, step):
    """A callback that ends everything right after a step and its checkpoint."""
    import keras

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) == (epoch, step):
                raise Killed

    return Kill()


@pytest.fixture
def train(review_files, tmp_path):
    """Trains at a tiny size with dropout and a checkpoint after every step: train(name, model, **settings)."""

    def run(name, model="textcnn", callbacks=(), **settings):
        common = {"epochs": 2, "checkpoint_seconds": 1e-9}
        settings = tiny_settings(model, review_files, tmp_path / name) | common | settings
        return kmodels.train(callbacks=callbacks, **settings)

    return run


def train_with_kills(train, places, *args, **settings):
    for epoch, step in places:
        with pytest.raises(Killed):
            train("killed", *args, callbacks=[kill_at(epoch, step)], **settings)
    return train("killed", *args, **settings)


# An encoder takes many seconds to start: each backend has one. bert_large_pool is bert_base_pool with another preset.
ENCODERS = dict(zip(BACKENDS, ("bert_base_pool", "roberta_pool", "bert_base_lstm")))


@pytest.mark.parametrize("model", ["textcnn", "bilstm", "encoder"])
def test_a_run_killed_at_any_step_ends_in_the_same_bits(train, model, chosen_backend, tmp_path):
    is_encoder = model == "encoder"
    model = ENCODERS[chosen_backend] if is_encoder else model
    settings = {"word_dropout": 0.2}
    train("whole", model, **settings)
    every = [(epoch, step) for epoch in range(2) for step in range(6)]
    places = sorted(random.Random(model).sample(every, 1 if is_encoder else 2))
    train_with_kills(train, places, model, **settings)
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_accumulation_steps": 4},
        {"schedule": "linear", "warmup_fraction": 0.3, "label_smoothing": 0.1, "weight_decay": 0.1},
        {"monitor": "accuracy", "patience": 1, "learning_rate": 0.3, "epochs": 12},
        {"ema_momentum": 0.8},
        {"batch_size": 7, "max_train_examples": 50},
        {"checkpoint_seconds": 0.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_recipe_goes_on_in_the_same_bits(train, settings, tmp_path):
    train("whole", **settings)
    train_with_kills(train, [(0, 3), (1, 1)], **settings)
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


def test_low_rank_updates_frozen_layers_and_rates_by_layer_go_on_without_their_preset(train, tmp_path):
    settings = {"lora_rank": 2, "frozen_layers": 1, "layer_decay": 0.5}
    train("whole", "bert_base_pool", **settings)
    train_with_kills(train, [(1, 2)], "bert_base_pool", **settings)
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.parametrize("source", ["file", pytest.param("encoder", marks=pytest.mark.one_backend)])
def test_a_run_with_word_vectors_goes_on_without_what_they_are_from(train, tmp_path, source):
    path = tmp_path / "vectors"
    if source == "file":
        path.write_text("film 1 0 0\nfine 0 2 1\nawful 0 0 3\n")
    else:
        path.mkdir()
        save_tokenizer(path, tokenizer_training.train_wordpiece(["the film is fine"], 100))
        save_model(path, "bert", "BertModel")
    settings = {"embeddings": str(path), "embedding_dim": None, "frozen_embeddings": False}
    train("whole", **settings)

    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 1)], **settings)
    path.rename(tmp_path / "gone")
    train("killed", **settings)
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.one_backend
def test_a_run_killed_before_its_record_is_written_only_writes_the_record(train, tmp_path):
    train("killed")
    whole = bits(tmp_path / "killed")
    (tmp_path / "killed" / records.METRICS).unlink()
    train("killed", callbacks=[kill_at(0, 0), kill_at(2, 0)])
    assert bits(tmp_path / "killed") == whole


@pytest.mark.one_backend
def test_a_run_that_patience_ended_stays_ended(train, tmp_path):
    settings = {"patience": 1, "learning_rate": 0.5, "epochs": 30}
    record = train("killed", **settings)
    whole = bits(tmp_path / "killed")
    (tmp_path / "killed" / records.METRICS).unlink()
    assert train("killed", **settings)["epoch"] == record["epoch"] < 29
    assert bits(tmp_path / "killed") == whole


def test_more_epochs_continue_a_finished_run(train, tmp_path):
    train("whole", epochs=3, schedule="constant")
    train("longer", epochs=1, schedule="constant")
    longer = train("longer", epochs=3, schedule="constant")
    assert [line["epoch"] for line in longer.history] == [0, 1, 2]
    assert longer.config["epochs"] == 3
    assert bits(tmp_path / "longer") == bits(tmp_path / "whole")


@pytest.mark.one_backend
def test_other_settings_are_refused_with_what_differs_and_what_may(train, tmp_path):
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 1)])
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "killed").rglob("*"))
    with pytest.raises(
        kmodels.InputError, match=r"seed: 0 there, 7 now.*may go on with other backend, workers, epochs"
    ):
        train("killed", seed=7)
    with pytest.raises(kmodels.InputError, match="epochs: 2 there, 1 now"):
        train("killed", epochs=1)
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "killed").rglob("*")) == before


@pytest.mark.one_backend
def test_other_data_under_the_same_names_is_refused(train, tmp_path, review_files):
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 1)])
    review_files[0].write_text(review_files[0].read_text().replace("film", "movie"))
    with pytest.raises(kmodels.InputError, match="the data is not what the run"):
        train("killed")


@pytest.mark.one_backend
def test_a_finished_run_is_no_answer_for_other_data(train, review_files):
    record = train("run", epochs=1, max_train_examples=16)
    review_files[0].write_text(review_files[0].read_text() + review_files[0].read_text().splitlines()[-1] + "\n")
    assert train("run", epochs=1, max_train_examples=16).metrics == record.metrics  # beyond the first 16
    review_files[1].write_text(review_files[1].read_text().replace("film", "movie"))
    with pytest.raises(kmodels.InputError, match="the data is not what the finished run"):
        train("run", epochs=1, max_train_examples=16)
    review_files[1].unlink()
    assert train("run", epochs=1, max_train_examples=16).metrics == record.metrics  # nobody can tell


@pytest.mark.one_backend
def test_a_finished_run_is_no_answer_for_a_setting_taken_back(train):
    train("run", epochs=1, max_train_examples=16)
    with pytest.raises(kmodels.InputError, match="max_train_examples: 16 there, None now"):
        train("run", epochs=1)


@pytest.mark.one_backend
def test_a_finished_run_gets_what_it_was_made_without(train, tmp_path):
    before = train("run")
    record = train("run", save_predictions=True, measure_peak=True)
    assert (tmp_path / "run" / records.PREDICTIONS).is_file() and record["fraction_of_peak"] > 0
    assert record.history == before.history
    assert (record["samples_per_second"], record["best_epoch"]) == (before["samples_per_second"], before["best_epoch"])
    assert train("run", measure_peak=True).metrics == record.metrics
    with pytest.raises(kmodels.InputError, match="wrote no TensorBoard logs"):
        train("run", tensorboard=True)
    train("bare")
    shutil.rmtree(tmp_path / "bare" / records.CHECKPOINTS)
    with pytest.raises(kmodels.InputError, match="save_predictions can't be made up for"):
        train("bare", save_predictions=True)


@pytest.mark.one_backend
def test_more_patience_counts_after_a_kill_before_its_first_checkpoint(train):
    settings = {"learning_rate": 0.5, "epochs": 30}
    end = train("run", patience=1, **settings)["epoch"]
    with pytest.raises(Killed):
        train("run", patience=4, callbacks=[kill_at(end + 1, 0)], **settings)
    assert train("run", patience=4, **settings)["epoch"] >= end + 3


@pytest.mark.one_backend
def test_overwriting_that_is_killed_halfway_may_be_done_again(train, tmp_path, monkeypatch):
    train("run")
    remove = shutil.rmtree

    def killed(path, **arguments):
        remove(path, **arguments)
        raise Killed

    monkeypatch.setattr(run_folder.shutil, "rmtree", killed)
    with pytest.raises(Killed):
        train("run", overwrite=True, seed=2)
    monkeypatch.undo()
    assert not records.is_finished(tmp_path / "run")
    assert train("run", overwrite=True, seed=2).config["seed"] == 2


@pytest.mark.one_backend
def test_a_folder_that_another_process_takes_meanwhile_is_left_to_it(train, tmp_path, monkeypatch):
    folder, build = tmp_path / "run", training.corpus.build
    code = "import sys; from kmodels import locks\nwith locks.hold(sys.argv[1]): print(flush=True); sys.stdin.read()"
    others = []

    def taken(*arguments):
        folder.mkdir()
        others.append(subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=PIPE, stdout=PIPE))
        others[0].stdout.readline()
        return build(*arguments)

    monkeypatch.setattr(training.corpus, "build", taken)
    with pytest.raises(kmodels.InputError, match=r"in use by process \d+"):
        train("run")
    others[0].kill()
    others[0].wait()
    shutil.rmtree(folder)

    def begun(config, *arguments):
        folder.mkdir()
        records.write_json(folder / records.CONFIG, config.to_json())
        return build(config, *arguments)

    monkeypatch.setattr(training.corpus, "build", begun)
    with pytest.raises(kmodels.InputError, match="another process has begun the run"):
        train("run")
    assert [path.name for path in folder.iterdir()] == [records.CONFIG]


@pytest.mark.one_backend
def test_a_stopped_run_that_overwrote_another_goes_on_without_overwriting(train):
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(kmodels.Interrupted, match="the same command without --overwrite goes on from epoch 0, step 1"):
        train("run", overwrite=True, callbacks=[Stop()])
    assert train("run")["epoch"] == 1


@pytest.mark.one_backend
def test_a_run_that_goes_on_with_other_software_says_so(train, monkeypatch, capsys):
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(0, 1)])
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 0)])
    assert "same bits" not in capsys.readouterr().err
    before = kmodels.__version__
    monkeypatch.setattr(kmodels, "__version__", "99.0")
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 1)])
    assert f"not the same bits from here on: kmodels {before} → 99.0\n" in capsys.readouterr().err


@pytest.mark.one_backend
def test_a_run_of_the_version_that_did_not_note_its_own_says_so_too(train, monkeypatch, capsys):
    noted = run_folder.environment
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run_folder, "environment", lambda *of: {k: v for k, v in noted(*of).items() if k != "kmodels"})
        train("killed", callbacks=[kill_at(1, 1)])
    train("killed")
    assert "not the same bits from here on: kmodels 0.1.0 → " in capsys.readouterr().err


@pytest.mark.one_backend
def test_an_encoder_that_the_checkpoint_cannot_hold_is_refused_before_memory_is_taken(train, tmp_path):
    with pytest.raises(Killed):
        train("killed", "bert_base_pool", callbacks=[kill_at(0, 1)])
    path = tmp_path / "killed" / records.MODEL
    description = records.read_json(path)
    description["backbone"]["config"]["vocabulary_size"] = 10**12
    records.write_json(path, description)
    with pytest.raises(kmodels.InputError, match="describes a larger encoder"):
        train("killed", "bert_base_pool")


@pytest.mark.one_backend
def test_overwrite_begins_anew(train, tmp_path):
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 1)])
    train("killed", overwrite=True)
    train("whole")
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.one_backend
def test_a_folder_that_was_only_begun_is_begun_again(train, tmp_path):
    train("whole")
    (tmp_path / "begun").mkdir()
    for name in (records.TOKENIZER, records.ENVIRONMENT, ".config.json.new"):
        (tmp_path / "begun" / name).write_text("{")
    train("begun")
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")


@pytest.mark.one_backend
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(train, tmp_path, capsys):
    train("whole")
    with pytest.raises(Killed):
        train("killed", callbacks=[kill_at(1, 4)])
    arrays = checkpoints.newest(tmp_path / "killed", pytest.fail).path / checkpoints.ARRAYS
    arrays.write_bytes(arrays.read_bytes()[:-1])
    train("killed")
    said = capsys.readouterr().err
    assert f"{arrays.parent} is damaged" in said
    assert "from epoch 1, step 3" in said
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.one_backend
def test_users_callbacks_may_keep_a_state(train):
    import keras

    class Counter(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1

        def get_state(self):
            return self.steps

        def set_state(self, state):
            self.steps = state

    with pytest.raises(Killed):
        train("killed", callbacks=[Counter(), kill_at(1, 4)])
    counter = Counter()
    train("killed", callbacks=[counter])
    assert counter.steps == 12


def test_saving_does_not_read_a_model_that_is_no_number(train, tmp_path):
    import keras

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.get_layer("logits").bias
                weight.assign(weight * float("nan"))

    with pytest.raises(kmodels.RunError, match="from epoch 1, step 0 on"):
        train("run", callbacks=[Poison()])
    newest = checkpoints.newest(tmp_path / "run", pytest.fail)
    assert (newest.epoch, newest.step) == (1, 0)


@pytest.mark.one_backend
def test_outputs_that_are_no_numbers_in_validation_alone_end_the_run_and_are_not_saved(train, tmp_path):
    import keras

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (1, self.params["steps"] - 1):
                weight = self.model.get_layer("logits").bias
                weight.assign(weight * float("nan"))

    with pytest.raises(kmodels.RunError, match="on the validation data are no finite numbers after epoch 1"):
        train("run", callbacks=[Poison()])
    newest = checkpoints.newest(tmp_path / "run", pytest.fail)
    assert newest.epoch == 1 and newest.step > 0
    assert len(records.read_history(tmp_path / "run" / records.HISTORY)) == 1
