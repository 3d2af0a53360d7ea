"""Settings: every possible config survives what it is written as, and nothing that is written makes them stumble."""

import dataclasses
import json
import math
import typing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kmodels import commandline
from kmodels.architectures import ARCHITECTURES, ONLY_FOR, SCRATCH_SIZES
from kmodels.config import BACKENDS, RunConfig
from kmodels.errors import InputError
from kmodels.settings import value_type
from tests.damage import damaged

FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
ANY_TEXT = st.text(min_size=1)
# A flag file has a flag a line, and white space at a line's end is not the flag's.
TEXT_OF_A_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).map(str.rstrip).filter(bool)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for a module: hypothesis runs many examples within one test."""
    return tmp_path_factory.mktemp("settings")


def values_of(field, text):
    """Strategy of the values that a setting takes, whatever the others are."""
    value = given_values_of(field, text)
    return st.one_of(st.none(), value) if type(None) in typing.get_args(field.type) else value


def given_values_of(field, text):
    bounds = field.metadata
    kind = value_type(field)
    if bounds["choices"]:
        return st.sampled_from(list(bounds["choices"]))
    if field.name == "preset":
        return st.one_of(text, st.sampled_from(list(SCRATCH_SIZES)).map("scratch:{}".format))
    if kind in (str, bool):
        return {str: text, bool: st.booleans()}[kind]
    least, above, below = (bounds[name] for name in ("least", "above", "below"))
    most = bounds["most"] if below is None else below
    lower = least if above is None else above
    if kind is float:
        excluded = {"exclude_min": above is not None, "exclude_max": below is not None}
        return st.floats(lower, most, allow_nan=False, allow_infinity=False, **excluded)
    numbers = st.integers(lower, 10**12 if most is None else most - (below is not None))
    return st.lists(numbers, min_size=1, max_size=5).map(tuple) if kind is tuple else numbers


def compatible(settings):
    """Settings, less those that do not go with the others."""
    architecture = ARCHITECTURES[settings.get("model", RunConfig.model)]
    refused = {name for name, models in ONLY_FOR.items() if architecture.name not in models}
    if settings.get("pooling") not in architecture.poolings:
        refused.add("pooling")
    preset = settings.get("preset") or architecture.preset
    if architecture.is_encoder and not preset.startswith("scratch:"):
        refused.add("vocabulary_size")
    if settings.get("embeddings") is None or settings["embeddings"].startswith("scratch:"):
        refused |= {"embeddings", "frozen_embeddings", "embedding_layers"}
    if settings.get("frozen_embeddings"):
        refused.add("layer_decay")
    if settings.get("train_file") and settings.get("validation_file"):
        refused.add("data_dir")
    else:
        refused |= {"train_file", "validation_file"}
    return {name: value for name, value in settings.items() if name not in refused}


def possible_settings(text=ANY_TEXT):
    """Strategy of keywords of RunConfig."""
    model = {"model": values_of(FIELDS["model"], text)}
    others = {name: values_of(field, text) for name, field in FIELDS.items() if name != "model"}
    return st.fixed_dictionaries(model, optional=others).map(compatible)


def possible_configs(text=ANY_TEXT):
    return possible_settings(text).map(lambda settings: RunConfig(**settings))


# What is possible


@settings(max_examples=300)
@given(possible_configs())
def test_json_gives_every_config_back(config):
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json(), allow_nan=False))) == config


@st.composite
def flags_of(draw, config, one_line_each=False):
    """Strategy of a command line's flags that mean a config, in any order, each in one of its spellings."""
    flags = []
    for name, value in draw(st.permutations(list(vars(config).items()))):
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        spellings = [[f"--{name}={shown}"], [f"-{name}={shown}"]]
        if isinstance(value, bool):
            spellings.append([f"--{name}" if value else f"--no{name}"])
        elif not shown.startswith("-") and not one_line_each:
            spellings.append([f"--{name}", shown])
        if value is None:
            spellings = [[]]
        flags += draw(st.sampled_from(spellings))
    return flags


@settings(max_examples=300)
@given(possible_configs().flatmap(lambda config: st.tuples(st.just(config), flags_of(config))))
def test_flags_give_every_config_back(case):
    config, flags = case
    assert commandline.parse(["train.py", *flags]) == config


@settings(max_examples=200)
@given(
    possible_configs(TEXT_OF_A_LINE).flatmap(lambda config: st.tuples(st.just(config), flags_of(config, True))),
    st.sampled_from(["", "\n", "# the reason\n", "// the reason\n"]),
)
def test_a_flag_file_gives_every_config_back(folder, case, between):
    config, flags = case
    path = folder / "run.flags"
    path.write_text("".join(f"{between}{flag}\n" for flag in flags), encoding="utf-8", newline="\n")
    assert commandline.parse(["train.py", f"--flagfile={path}"]) == config


@settings(max_examples=300)
@given(possible_configs(), st.sampled_from(BACKENDS))
def test_resolving_keeps_what_was_given_and_is_idempotent(config, backend):
    resolved = config.resolved(backend)
    assert resolved.resolved(backend) == resolved
    given_settings = {name: value for name, value in vars(config).items() if value is not None}
    assert {name: getattr(resolved, name) for name in given_settings} == given_settings | (
        {"backend": backend} if config.backend else {}
    )


@settings(max_examples=300)
@given(possible_configs(), st.sampled_from(BACKENDS))
def test_the_same_settings_make_no_other_run(config, backend):
    resolved = config.resolved(backend)
    assert config.differences(config) == resolved.differences(resolved) == []
    asked = dataclasses.replace(resolved, precision="auto", num_buckets=None, data_dir=None)
    assert resolved.differences(asked) == []
    assert resolved.output_dir == dataclasses.replace(config, overwrite=True).resolved(backend).output_dir


# What is not


NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -(10**400), 10**4000]))
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)
SETTING_NAMES = st.one_of(st.sampled_from([*FIELDS, "cls", "self", "settings", "modle"]), st.text())
NEARLY_POSSIBLE = st.tuples(possible_settings(), st.dictionaries(SETTING_NAMES, JSON_VALUES, max_size=2)).map(
    lambda pair: pair[0] | pair[1]
)


def config_or_one_line(function, value):
    """The config (or None for --help); None as well where there is the one error that may be."""
    try:
        return function(value)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        return None


@settings(max_examples=600)
@given(st.one_of(JSON_VALUES, NEARLY_POSSIBLE))
@example({"cls": 1})
@example({"learning_rate": 10**400})
@example({"kernel_sizes": [True]})
@example({"clip_norm": None})
def test_any_json_gives_a_config_that_keeps_its_types_or_an_error_of_one_line(value):
    config = config_or_one_line(RunConfig.from_json, json.loads(json.dumps(value)))
    if config is not None:
        assert RunConfig.from_json(config.to_json()) == config
        for name, setting in vars(config).items():
            assert setting is None or type(setting) is value_type(FIELDS[name])
            numbers = setting if isinstance(setting, tuple) else ()
            assert all(type(number) is int for number in numbers)
            assert not isinstance(setting, float) or math.isfinite(setting)


FLAG_NAMES = st.one_of(st.sampled_from([*FIELDS, "help", "h", "flagfile", "undefok", "modle"]), st.text())
FLAG_VALUES = st.one_of(st.text(), NUMBERS.map(str), st.sampled_from(["true", "1,2", "1,", "nan", "inf", "1e999"]))
FLAG_LIKE = st.builds(
    "{}{}{}{}{}".format, st.sampled_from(["-", "--"]), st.sampled_from(["", "no"]), FLAG_NAMES,
    st.sampled_from(["", "="]), FLAG_VALUES,
)  # fmt: skip


@settings(max_examples=1000)
@given(st.lists(st.one_of(st.text(), FLAG_LIKE, FLAG_VALUES), max_size=4))
@example(["--nooverwrite=x"])
@example(["--first line\nsecond line"])
@example(["--data_dir"])
@example(["--flagfile=a\nb"])
@example(["--flagfile=a\0b"])
@example(["--flagfile=/"])
@example(["--" + "long" * 500])
@example(["--flagfile"])
@example(["--"])
@example(["--undefok"])
def test_any_command_line_gives_a_config_or_an_error_of_one_line(flags):
    config = config_or_one_line(commandline.parse, ["train.py", *flags])
    assert config is None or RunConfig.from_json(config.to_json()) == config


@settings(max_examples=300)
@given(
    st.one_of(st.binary(), damaged(b"# ten epochs\n--epochs=10\n--model=textcnn\n\n--kernel_sizes=2,3\n--overwrite\n"))
)
@example(b"--epochs=\xff")
def test_any_flag_file_gives_a_config_or_an_error_of_one_line(folder, content):
    path = folder / "damaged.flags"
    path.write_bytes(content)
    config_or_one_line(commandline.parse, ["train.py", f"--flagfile={path}"])
