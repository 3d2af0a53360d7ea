"""train.py as people type it: help, flags, and one line for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmodels import commandline
from kmodels.config import RunConfig
from kmodels.errors import InputError, RunError

ROOT = Path(__file__).parent.parent


def train(*flags, **environment):
    """Runs train.py in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | environment
    command = [sys.executable, str(ROOT / "train.py"), *map(str, flags)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_help_is_grouped_names_every_setting_and_is_quick():
    train("--help")  # compiled once, as after an installation
    before = os.times()
    result = train("--help")
    after = os.times()  # of the processor, not of the clock: other tests may run beside this one
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5
    assert result.returncode == 0
    for heading in ("Models", "Model", "Data", "Recipe", "Output"):
        assert f"\n{heading}\n" in result.stdout
    for name in RunConfig.__dataclass_fields__:
        assert f"--{name}" in result.stdout


def test_the_list_of_settings_is_this_one():
    """Another setting is a promise to keep: it is added here on purpose or not at all."""
    assert " ".join(RunConfig.__dataclass_fields__) == (
        "model backend preset pooling embedding_dim embeddings embedding_layers frozen_embeddings num_filters "
        "kernel_sizes lstm_units dropout word_dropout vocabulary_size frozen_layers lora_rank dataset data_dir "
        "train_file validation_file text_column label_column max_train_examples max_length num_buckets epochs "
        "batch_size learning_rate layer_decay schedule warmup_fraction weight_decay clip_norm "
        "gradient_accumulation_steps ema_momentum label_smoothing monitor patience precision deterministic seed "
        "workers cluster output_dir overwrite checkpoint_seconds save_predictions measure_peak tensorboard"
    )


def test_no_flags_give_the_defaults():
    assert commandline.parse(["train.py"]) == RunConfig()


@pytest.mark.parametrize("path", sorted((ROOT / "flags").glob("*.flags")), ids=lambda path: path.stem)
def test_every_flag_file_gives_a_config_and_flags_after_it_win(path):
    assert commandline.parse(["train.py", f"--flagfile={path}"]) != RunConfig()
    assert commandline.parse(["train.py", f"--flagfile={path}", "--epochs=77"]).epochs == 77


def test_there_is_a_flag_file_for_each_of_the_six():
    from kmodels.architectures import ARCHITECTURES

    stems = {path.stem for path in (ROOT / "flags").glob("*.flags")}
    assert set(ARCHITECTURES) <= stems


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--modle=textcnn"], "unknown flag --modle; did you mean --model?"),
        (["--epochs=many"], "epochs must be a whole number; got 'many'"),
        (["--dropout=x"], "dropout must be a number; got 'x'"),
        (["--overwrite=perhaps"], "overwrite must be true or false; got 'perhaps'"),
        (["--kernel_sizes=2,x"], "kernel_sizes must be whole numbers with commas between them; got '2,x'"),
        (["--model=textcn"], "did you mean 'textcnn'?"),
        (["textcnn"], "every setting is a flag, --name=value; got 'textcnn'"),
        (["--flagfile=missing.flags"], "missing.flags"),
        (["--epochs"], "epochs"),
    ],
)
def test_a_wrong_call_is_one_line_on_stderr_and_status_2(capsys, flags, message):
    status = commandline.run(lambda config: None, ["train.py", *flags])
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err


def test_a_flag_file_in_another_encoding_is_refused_as_such(tmp_path):
    (tmp_path / "latin.flags").write_bytes("# für später\n--epochs=3\n".encode("latin-1"))
    with pytest.raises(InputError, match="a flag file must be UTF-8 text"):
        commandline.parse(["train.py", f"--flagfile={tmp_path / 'latin.flags'}"])


@pytest.mark.parametrize(("error", "status"), [(InputError, 2), (RunError, 1), (KeyboardInterrupt, 130)])
def test_each_kind_of_end_has_its_exit_status(capsys, error, status):
    def main(config):
        raise error("what\nhappened")

    assert commandline.run(main, ["train.py"]) == status
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_folder_of_data_writes_nothing(tmp_path):
    result = train("--backend=torch", f"--data_dir={tmp_path}/none", f"--output_dir={tmp_path}/run")
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=bert_base_pool", "--preset=bert_base_uncased"], "did you mean 'bert_base_en_uncased'?"),
        (["--model=bert_base_pool", "--preset=scratch:huge"], "scratch: must be followed by one of tiny"),
        (["--model=bert_base_pool", "--preset=scratch:tiny", "--frozen_layers=9"], "frozen_layers must be at most 2"),
        (["--model=bert_base_pool", "--preset=scratch:tiny", "--max_length=999"], "max_length must be at most 512"),
    ],
)
def test_settings_that_only_the_encoder_can_refuse_write_nothing(tmp_path, flags, message):
    result = train("--backend=torch", "--dataset=sample", f"--output_dir={tmp_path}/run", *flags)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_backend_and_environment_that_disagree_are_refused(tmp_path):
    result = train("--backend=jax", f"--output_dir={tmp_path}/run", KERAS_BACKEND="torch")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--backend=jax and KERAS_BACKEND=torch disagree" in result.stderr


def test_an_output_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("")
    for folder, message in (("file", "must be a folder"), ("full", "holds other things"), ("file/run", "output_dir")):
        result = train("--backend=torch", "--dataset=sample", f"--output_dir={tmp_path / folder}")
        assert result.returncode == 2, result.stderr
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_train_py_trains_and_shows_a_short_table(tmp_path):
    result = train(
        "--backend=torch",
        "--dataset=sample",
        "--epochs=1",
        "--embedding_dim=8",
        "--num_filters=4",
        f"--output_dir={tmp_path}/run",
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) < 12
    assert "validation" in result.stdout
    assert (tmp_path / "run" / "metrics.json").is_file()
