"""What a tokenizer.json may hold, checked before the tokenizers library sees it.

The library panics at some files, and with some at the first text: a PanicException is no Exception, and names no file.
So only stages are taken that were tried with damaged settings and did not, and what of their settings does is refused.
"""

import json

from kmodels.data.words import SPELLINGS

STAGES = {
    "normalizer": {"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Replace"},
    "pre_tokenizer": {
        "BertPreTokenizer",
        "ByteLevel",
        "Split",
        "Whitespace",
        "WhitespaceSplit",
        "Punctuation",
        "Digits",
    },
    "post_processor": {"BertProcessing", "RobertaProcessing", "ByteLevel", "TemplateProcessing"},
    "decoder": {"WordPiece", "ByteLevel"},
}
_MEMBERS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
}  # of Sequence
_PATTERNS = [pattern for pattern, _ in SPELLINGS]  # of all tokenizers of words that were ever saved


def checked(content):
    """The bytes of a tokenizer.json, written anew, so that the library reads just what was looked at.

    Raises:
        ValueError: it is no JSON, or holds what the library must not see.
    """
    try:
        value = _parsed(content)
        if isinstance(value, dict):
            is_bpe = isinstance(value.get("model"), dict) and "merges" in value["model"]
            if is_bpe and (value["model"].get("continuing_subword_prefix") or value["model"].get("end_of_word_suffix")):
                raise ValueError("its model must be byte-level BPE, whose tokens have no prefixes and no suffixes")
            for name in STAGES:
                _check_stage(value.get(name), name)
        return json.dumps(value).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _parsed(content):
    try:
        return json.loads(content)
    except ValueError as error:
        raise ValueError(f"it is not whole JSON: {error}") from error


def _check_stage(stage, name):
    """Raises ValueError for a stage that is none of STAGES; None is no stage."""
    if stage is None:
        return
    kind = stage.get("type") if isinstance(stage, dict) else None
    if kind == "Sequence" and isinstance(stage.get(_MEMBERS.get(name)), list):
        for member in stage[_MEMBERS[name]]:
            _check_stage(member, name)
    elif not isinstance(kind, str) or kind not in STAGES[name]:
        raise ValueError(f"its {name} must be one of {', '.join(sorted(STAGES[name]))}; got {kind!r:.40}")
    elif kind == "Replace":
        _check_pattern(stage.get("pattern"))
    elif kind == "TemplateProcessing":
        _check_template(stage)


def _check_pattern(pattern):
    """The library loses count where a pattern matches nothing and something is put there; which do, is hard to tell."""
    pattern = pattern if isinstance(pattern, dict) else {}
    if not pattern.get("String") and pattern.get("Regex") not in _PATTERNS:
        raise ValueError(f"its normalizer must replace a text, or what a tokenizer of words does; got {pattern!r:.60}")


def _check_template(stage):
    """The library looks up the special tokens of a template only when there is a text to put between them."""
    known = stage.get("special_tokens")
    for template in (stage.get("single"), stage.get("pair")):
        for piece in template if isinstance(template, list) else ():
            token = piece.get("SpecialToken") if isinstance(piece, dict) else None
            name = token.get("id") if isinstance(token, dict) else None
            if isinstance(name, str) and not (isinstance(known, dict) and name in known):
                raise ValueError(f"its post_processor must say which token {name!r:.40} is; it doesn't")
