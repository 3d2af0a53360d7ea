"""Reads the tokenizer in a folder that transformers wrote, with or without the vocab.txt that it no longer writes."""

from kmodels import records
from kmodels.data import tokenizers
from kmodels.errors import InputError
from kmodels.models.preset_files import read_lines

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
    settings = records.read_object(path) if path.is_file() else {}
    name = settings.get("tokenizer_class") or records.read_object(folder / "config.json").get("tokenizer_class")
    name = str(name or CLASSES[reads]).removesuffix("Fast")
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
        raise InputError(f"it must be a {wanted}; its files say {name!r:.80}")


def _check_added_tokens(folder, settings, reads):
    """Refuses tokens that are looked for before the vocabulary is asked: left out, they would give other ids."""
    added = _contents(settings.get("added_tokens_decoder"), dict)
    if (folder / "added_tokens.json").is_file():
        added += records.read_object(folder / "added_tokens.json")
    if (folder / "tokenizer.json").is_file():
        added += _contents(records.read_object(folder / "tokenizer.json").get("added_tokens"), list)
    if others := sorted(set(added) - set(tokenizers.SPECIAL_TOKENS[reads])):
        raise InputError(
            f"tokens added to the vocabulary are not supported; got {', '.join(map(repr, others[:5])):.80}"
        )


def _contents(tokens, kind):
    """The texts of added tokens, in a list or in the values of a dict: [str, …]."""
    if tokens is None:
        return []
    descriptions = tokens.values() if isinstance(tokens, dict) else tokens
    if not isinstance(tokens, kind) or not all(isinstance(each, dict) for each in descriptions):
        raise InputError(f"added tokens must be objects in a {kind.__name__}; got {tokens!r:.80}")
    if strange := [each for each in descriptions if not isinstance(each.get("content"), str)]:
        raise InputError(f"an added token must have a text as its content; got {strange[0]!r:.80}")
    return [each["content"] for each in descriptions]


def _read_vocabulary(folder, reads):
    """({token: id}, [merge, …]); tokenizer.json counts where there is one, as in transformers."""
    whole = folder / "tokenizer.json"
    if whole.is_file():
        model = records.read_object(whole).get("model")
        model = model if isinstance(model, dict) else {}
        vocabulary, merges = model.get("vocab"), model.get("merges", [])
        is_wanted = model.get("type", MODELS[reads]) == MODELS[reads]
        if not is_wanted or not isinstance(vocabulary, dict) or not isinstance(merges, list):
            raise InputError(f"tokenizer.json must hold a {MODELS[reads]} model; it holds {model.get('type')!r:.80}")
        return vocabulary, merges
    if reads == "byte_level_bpe":
        merges = [line for line in read_lines(folder / "merges.txt") if line and not line.startswith("#version")]
        return records.read_object(folder / "vocab.json"), merges
    return {token: number for number, token in enumerate(read_lines(folder / "vocab.txt"))}, []


def _make_tokenizer(vocabulary, merges, settings, reads):
    options = {
        name: settings.get(name, default)
        for name, default in (("do_lower_case", True), ("strip_accents", None), ("tokenize_chinese_chars", True))
    }
    given = [*options.values(), settings.get("add_prefix_space")]
    if not all(value is None or isinstance(value, bool) for value in given):
        raise InputError(f"its settings in tokenizer_config.json must be true, false or null; got {options!r:.200}")
    if reads == "byte_level_bpe":
        if settings.get("add_prefix_space"):
            raise InputError("add_prefix_space in tokenizer_config.json must be false; got true")
        return tokenizers.byte_level_bpe(vocabulary, merges)
    numbers = vocabulary.values()
    if not all(type(number) is int for number in numbers) or set(numbers) != set(range(len(vocabulary))):
        raise InputError("its vocabulary must number its tokens from 0, each once")
    return tokenizers.wordpiece(
        sorted(vocabulary, key=vocabulary.get),
        lowercase=bool(options["do_lower_case"]),
        strip_accents=options["strip_accents"],
        tokenize_chinese_chars=bool(options["tokenize_chinese_chars"]),
    )
