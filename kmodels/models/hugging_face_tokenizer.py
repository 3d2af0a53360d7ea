"""Reads the tokenizer in a folder that transformers wrote, with or without the vocab.txt that it no longer writes."""

from kmodels.data import tokenizers
from kmodels.errors import InputError
from kmodels.models.preset_files import read_settings

MODELS = {"wordpiece": "WordPiece", "byte_level_bpe": "BPE"}  # the tokenizers library's names
CLASSES = {"wordpiece": "BertTokenizer", "byte_level_bpe": "RobertaTokenizer"}
# Of these transformers takes tokenizer.json as it is; of those above only its vocabulary.
WHOLE = ("PreTrainedTokenizer", "TokenizersBackend")


def read_tokenizer(folder, reads):
    """The tokenizer in a folder, with the ids of transformers' AutoTokenizer.

    Args:
        folder: pathlib.Path, with tokenizer.json, or vocab.txt, or vocab.json and merges.txt.
        reads: "wordpiece" or "byte_level_bpe".

    Returns:
        kmodels.data.tokenizers.Tokenizer.

    Raises:
        InputError: a file is missing or damaged, or the tokenizer is of another kind.
    """
    path = folder / "tokenizer_config.json"
    settings = read_settings(path) if path.is_file() else {}
    name = settings.get("tokenizer_class") or read_settings(folder / "config.json").get("tokenizer_class")
    name = (name or CLASSES[reads]).removesuffix("Fast")
    try:
        if name in WHOLE:
            tokenizer = tokenizers.Tokenizer.load(folder / "tokenizer.json")
            _check_is(CLASSES[reads], tokenizer.kind == reads, tokenizer.kind)
            return tokenizer
        _check_is(CLASSES[reads], name == CLASSES[reads], name)
        _check_added_tokens(folder, settings, reads)
        vocabulary, merges = _read_vocabulary(folder, reads)
        return _make_tokenizer(vocabulary, merges, settings, reads)
    except InputError as error:
        raise InputError(f"the tokenizer in {folder} can't be used: {error}") from error


def _check_is(wanted, holds, name):
    if not holds:
        raise InputError(f"it must be a {wanted}; its files say {name}")


def _check_added_tokens(folder, settings, reads):
    """Refuses tokens that are looked for before the vocabulary is asked: left out, they would give other ids."""
    added = [token["content"] for token in settings.get("added_tokens_decoder", {}).values()]
    if (folder / "added_tokens.json").is_file():
        added += read_settings(folder / "added_tokens.json")
    if (folder / "tokenizer.json").is_file():
        added += [token["content"] for token in read_settings(folder / "tokenizer.json").get("added_tokens", [])]
    if others := sorted(set(added) - set(tokenizers.SPECIAL_TOKENS[reads])):
        raise InputError(f"tokens added to the vocabulary are not supported; got {', '.join(others[:5])}")


def _read_vocabulary(folder, reads):
    """({token: id}, [merge, …]); tokenizer.json counts where there is one, as in transformers."""
    whole = folder / "tokenizer.json"
    if whole.is_file():
        model = read_settings(whole).get("model", {})
        if model.get("type", MODELS[reads]) != MODELS[reads] or not isinstance(model.get("vocab"), dict):
            raise InputError(f"tokenizer.json must hold a {MODELS[reads]} model; it holds {model.get('type')!r}")
        return model["vocab"], model.get("merges", [])
    if reads == "byte_level_bpe":
        lines = _read_text(folder / "merges.txt").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
        return read_settings(folder / "vocab.json"), merges
    lines = _read_text(folder / "vocab.txt").removesuffix("\n").split("\n")
    return {token: number for number, token in enumerate(lines)}, []


def _make_tokenizer(vocabulary, merges, settings, reads):
    options = {
        name: settings.get(name, default)
        for name, default in (("do_lower_case", True), ("strip_accents", None), ("tokenize_chinese_chars", True))
    }
    if not all(value in (True, False, None) for value in [*options.values(), settings.get("add_prefix_space")]):
        raise InputError(f"its settings in tokenizer_config.json must be true, false or null; got {options}")
    if reads == "byte_level_bpe":
        if settings.get("add_prefix_space"):
            raise InputError("add_prefix_space in tokenizer_config.json must be false; got true")
        return tokenizers.byte_level_bpe(vocabulary, merges)
    if set(vocabulary.values()) != set(range(len(vocabulary))):
        raise InputError("its vocabulary must number its tokens from 0, each once")
    return tokenizers.wordpiece(
        sorted(vocabulary, key=vocabulary.get),
        lowercase=bool(options["do_lower_case"]),
        strip_accents=options["strip_accents"],
        tokenize_chinese_chars=bool(options["tokenize_chinese_chars"]),
    )


def _read_text(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} can't be read: {error}") from error
