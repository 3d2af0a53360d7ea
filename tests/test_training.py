"""Whole runs on the chosen backend, at tiny sizes."""

import json
import math

import numpy as np
import pytest

import kmodels
from kmodels import records
from kmodels.architectures import ARCHITECTURES
from tests.reviews import tiny_settings, write_review_files
from tests.seed_keys import SEED_KEYS, SEED_KEYS_WITHOUT_GPU

pytestmark = pytest.mark.backend

OUR_KEYS = ["samples_per_second", "tokens_per_second", "compile_seconds", "real_token_fraction", "num_parameters"]


@pytest.fixture
def run(review_files, tmp_path):
    """Trains at a tiny size: run(model, **settings) → Record."""

    def train(model="textcnn", callbacks=(), **settings):
        settings = tiny_settings(model, review_files, tmp_path / "run") | settings
        return kmodels.train(callbacks=callbacks, **settings)

    return train


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_each_of_the_six_trains_and_leaves_a_whole_folder(run, model):
    record = run(model)
    keys = list(record.metrics)
    if "peak_gpu_0_memory_MB" in keys:
        assert [key for key in keys if key in SEED_KEYS] == SEED_KEYS
    assert [key for key in keys if "gpu" not in key] == SEED_KEYS_WITHOUT_GPU + OUR_KEYS
    files = {path.name for path in record.output_dir.iterdir()}
    assert files == {
        "config.json",
        "environment.json",
        "model.json",
        "tokenizer.json",
        "history.jsonl",
        "best.weights.h5",
        "metrics.json",
        "checkpoints",
    }
    assert all(math.isfinite(value) for value in record.metrics.values() if not isinstance(value, str))
    assert record.history[1]["training_loss"] != record.history[0]["training_loss"]


@pytest.mark.parametrize("model", ["textcnn", "bilstm"])
def test_word_vectors_are_where_training_begins(run, model, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("film 1 0 0\nfine 0 2 1\nawful 0 0 3\nunseen 1 1 1\n")
    tables = []
    for frozen in (True, False):
        settings = {"embeddings": str(path), "embedding_dim": None, "frozen_embeddings": frozen, "overwrite": True}
        record = run(model, epochs=1, **settings)
        assert record.config["embedding_dim"] == 3
        classifier = kmodels.load(record.output_dir)
        ids = [classifier.tokenizer.vocabulary.index(word) for word in ("film", "fine", "awful", "unseen")]
        tables.append(np.asarray(classifier.model.get_layer("embedding").get_weights()[0])[ids])
    vectors = np.array([[1, 0, 0], [0, 2, 1], [0, 0, 3], [1, 1, 1]])
    np.testing.assert_allclose(tables[0], (vectors - vectors.mean(0)) / vectors.std(0) / 2, rtol=1e-5)
    assert (tables[1][:3] != tables[0][:3]).all()  # trained
    with pytest.raises(kmodels.InputError, match="embedding_dim must be 3"):
        run(model, embeddings=str(path), embedding_dim=8, overwrite=True)
    with pytest.raises(kmodels.InputError, match="frozen_embeddings needs embeddings"):
        run(model, frozen_embeddings=True, overwrite=True)


def test_the_folder_gives_the_figures_of_the_best_epoch_back(run, review_files):
    record = run("bilstm", epochs=3)
    classifier = kmodels.load(record.output_dir)
    rows = [line.split("\t") for line in review_files[1].read_text().splitlines()[1:]]
    probabilities = classifier.predict_proba([text for text, _ in rows])
    labels = np.array([int(label) for _, label in rows])
    right = (probabilities.argmax(axis=1) == labels).mean()
    loss = -np.log(probabilities[np.arange(len(rows)), labels]).mean()
    assert record["best_validation_accuracy"] == pytest.approx(right, abs=1e-6)
    assert record["best_validation_loss"] == pytest.approx(loss, abs=1e-5)


def test_figures_are_means_over_sentences_whatever_the_batches(run, tmp_path):
    whole, small = (
        run(batch_size=size, epochs=1, learning_rate=1e-9, dropout=0.0, output_dir=str(tmp_path / str(size)))
        for size in (96, 7)
    )
    for name in ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy"):
        assert whole[name] == pytest.approx(small[name], abs=1e-5), name


def test_training_learns_what_can_be_learned(run):
    assert run(epochs=6)["best_validation_accuracy"] > 0.95


def test_the_same_seed_gives_the_same_run(run, tmp_path):
    first, again, other = (
        run(seed=seed, output_dir=str(tmp_path / name)) for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    losses = [[line["training_loss"] for line in record.history] for record in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.one_backend
@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_the_best_epoch_is_the_one_that_monitor_names(run, monitor):
    record = run(epochs=4, monitor=monitor, learning_rate=0.1)
    values = [line[f"validation_{monitor}"] for line in record.history]
    best = values.index(min(values) if monitor == "loss" else max(values))
    assert record["best_epoch"] == best
    assert record["best_validation_accuracy"] == record.history[best]["validation_accuracy"]


@pytest.mark.one_backend
def test_patience_stops_a_run_that_gets_no_better(run):
    record = run(epochs=30, patience=2, learning_rate=0.5)
    assert record["epoch"] == record["best_epoch"] + 2 < 29
    assert record["training_epochs"] == record["epoch"]


@pytest.mark.one_backend
@pytest.mark.parametrize("model", ["textcnn", "bert_base_pool"])
def test_a_run_written_before_a_setting_was_there_is_the_same_run(run, model):
    first = run(model)
    path = first.output_dir / records.CONFIG
    config = json.loads(path.read_text())
    path.write_text(json.dumps({name: config[name] for name in config if name not in ("ema_momentum", "word_dropout")}))
    assert run(model).metrics == first.metrics


@pytest.mark.one_backend
def test_a_finished_run_gives_its_record_without_training(run):
    first = run()
    again = run(precision="auto")
    assert again.metrics == first.metrics


@pytest.mark.one_backend
def test_a_folder_with_another_run_is_refused_with_what_differs(run):
    record = run()
    before = record.output_dir.joinpath("metrics.json").read_bytes()
    with pytest.raises(kmodels.InputError, match=r"holds another run \(seed: 0 there, 5 now\)"):
        run(seed=5)
    assert record.output_dir.joinpath("metrics.json").read_bytes() == before
    assert run(seed=5, overwrite=True).config["seed"] == 5


@pytest.mark.one_backend
def test_overwrite_removes_what_a_run_left_and_nothing_else(run, tmp_path):
    record = run()
    (record.output_dir / "notes.txt").write_text("mine")
    run(seed=5, overwrite=True, epochs=1)
    assert (record.output_dir / "notes.txt").read_text() == "mine"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    with pytest.raises(kmodels.InputError, match="holds other things"):
        run(output_dir=str(tmp_path / "home"), overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"


def test_a_loss_that_is_no_number_stops_the_run_with_its_step_and_keeps_the_best_weights(run, tmp_path):
    import keras

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.get_layer("logits").bias
                weight.assign(weight * float("nan"))

    with pytest.raises(kmodels.RunError, match="from epoch 1, step 0 on"):
        run(callbacks=[Poison()])
    assert (tmp_path / "run" / "best.weights.h5").is_file()
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 1
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_users_callback_is_told_of_every_step_in_order(run):
    import keras

    class Count(keras.callbacks.Callback):
        steps, losses = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.steps.append(batch)
            self.losses.append(logs["loss"])

    run(callbacks=[Count()], epochs=1)
    assert Count.steps == list(range(6))
    assert all(isinstance(loss, float) for loss in Count.losses)


@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_accumulation_steps": 2},
        {"label_smoothing": 0.3},
        {"clip_norm": 0.0, "weight_decay": 0.1},
        {"schedule": "linear", "warmup_fraction": 0.5},
        {"max_train_examples": 20},
        {"word_dropout": 0.2},
        {"precision": "mixed_bfloat16"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_recipe_trains_and_its_setting_is_not_ignored(run, plain_loss, settings):
    record = run(**settings)
    assert math.isfinite(record["training_loss"])
    assert record["training_loss"] != plain_loss


@pytest.mark.parametrize("steps", [1, 2])
def test_the_rate_falls_over_the_whole_run_however_many_batches_an_update_takes(run, steps):
    import keras

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    found = []
    run(callbacks=[Rates()], schedule="linear", learning_rate=1.0, epochs=2, gradient_accumulation_steps=steps)
    total = len(found)
    # As it is after each of the steps: the rate of the next.
    np.testing.assert_allclose(found, [1 - done / total for done in range(1, total + 1)], atol=1e-6)


@pytest.fixture(scope="module")
def plain_loss(tmp_path_factory):
    """The training loss of the tiny run without any of these settings."""
    folder = tmp_path_factory.mktemp("plain")
    return kmodels.train(**tiny_settings("textcnn", write_review_files(folder), folder / "run"))["training_loss"]


def test_the_average_of_the_weights_is_judged_and_kept_and_the_training_is_the_same(run, tmp_path):
    """The average over the updates is made here once more, from the weights after each."""
    import keras

    class Average(keras.callbacks.Callback):
        seen, done, value = [], 0, 0.0

        def on_train_batch_end(self, batch, logs=None):
            if keras.config.backend() == "jax":
                self.model.jax_state_sync()
            kept = min(0.8, self.done / (self.done + 2))
            self.done += 1
            self.value = kept * self.value + (1 - kept) * last_weight(self.model)

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((last_weight(self.model), self.value))

    def last_weight(model):
        return keras.ops.convert_to_numpy(model.trainable_variables[-1].value).copy()

    plain = run(output_dir=str(tmp_path / "plain"))
    averaged = run(ema_momentum=0.8, callbacks=[Average()])
    for validated, average in Average.seen:
        np.testing.assert_allclose(validated, average, rtol=1e-4, atol=1e-6)
    losses = [[line["training_loss"] for line in record.history] for record in (plain, averaged)]
    assert losses[0] == losses[1]
    assert plain["validation_loss"] != averaged["validation_loss"]
    kept = kmodels.load(averaged.output_dir).evaluate().loss
    assert kept == pytest.approx(averaged["validation_loss"], rel=1e-4)


@pytest.mark.one_backend
def test_tensorboard_reads_what_a_run_writes(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = run(tensorboard=True)
    events = EventAccumulator(str(record.output_dir / "tensorboard")).Reload()
    losses = [event.value for event in events.Scalars("epoch_val_cross_entropy")]
    assert losses == pytest.approx([line["validation_loss"] for line in record.history])


@pytest.mark.parametrize("model", ["bert_base_pool", pytest.param("roberta_pool", marks=pytest.mark.one_backend)])
def test_frozen_layers_and_lora_train_less_and_load_again(run, tmp_path, model):
    import keras

    seen = {}

    class Trainable(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen[self.name] = self.model.count_params(), sum(np.prod(v.shape) for v in self.model.trainable_variables)

    for name, settings in {"whole": {}, "frozen": {"frozen_layers": 2}, "lora": {"lora_rank": 2}}.items():
        callback = Trainable()
        callback.name = name
        record = run(model, callbacks=[callback], epochs=1, output_dir=str(tmp_path / name), **settings)
        classifier = kmodels.load(record.output_dir)
        assert classifier.predict_proba(["the film is great"]).shape == (1, 2)
    assert seen["frozen"][1] < seen["whole"][1] * 0.2
    assert seen["lora"][1] < seen["whole"][1] * 0.2


def test_lora_is_merged_into_the_saved_weights(run, review_files):
    record = run("bert_base_pool", lora_rank=4, epochs=2, learning_rate=1e-2, dropout=0.0)
    rows = [line.split("\t") for line in review_files[1].read_text().splitlines()[1:]]
    probabilities = kmodels.load(record.output_dir).predict_proba([text for text, _ in rows])
    labels = np.array([int(label) for _, label in rows])
    loss = -np.log(probabilities[np.arange(len(rows)), labels]).mean()
    assert record["best_validation_loss"] == pytest.approx(loss, abs=1e-4)


@pytest.mark.one_backend
def test_metrics_and_history_are_whole_json(run):
    record = run()
    assert json.loads((record.output_dir / records.METRICS).read_text()) == record.metrics
    lines = (record.output_dir / records.HISTORY).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
    assert record["epoch"] == 1
    assert record["training_epochs"] == 1
