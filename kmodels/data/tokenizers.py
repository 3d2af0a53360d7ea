"""Turns sentences into token ids: whole words, WordPiece as in BERT, byte-level BPE as in RoBERTa.

All three are pipelines of the `tokenizers` library, and all are saved in its standard `tokenizer.json`.
"""

import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from kmodels.data import spaced, tokenizer_json
from kmodels.data.words import words_pipeline
from kmodels.errors import InputError

KINDS = {"WordLevel": "words", "WordPiece": "wordpiece", "BPE": "byte_level_bpe"}  # by the library's name of the model
SPECIAL_TOKENS = {  # in the order that training gives them
    "words": ["[PAD]", "[UNK]"],
    "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "byte_level_bpe": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
}
OPTIONAL_TOKENS = {"[MASK]", "<unk>", "<mask>"}
PADDING_TOKENS = {"words": "[PAD]", "wordpiece": "[PAD]", "byte_level_bpe": "<pad>"}
TEXTS_PER_CUT = 100_000  # whose words are tokenised once
FEWEST_TEXTS_TO_CUT = 1_000  # fewer repeat little
TEXTS_PER_SLICE = 10_000  # an Encoding holds far more than its ids: never hold those of a whole data set


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """Token ids of many texts, one after another, without padding.

    Attributes:
        token_ids: int32, (total_tokens,).
        offsets: int64, (num_texts + 1,); text i is `token_ids[offsets[i]:offsets[i + 1]]`.
    """

    token_ids: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self):
        """Number of tokens of each text: int32, (num_texts,)."""
        return np.diff(self.offsets).astype(np.int32)


class Tokenizer:
    """A tokenizer of one of three kinds. It never changes, so threads can share it.

    Attributes:
        kind: "words", "wordpiece" or "byte_level_bpe".
        vocabulary_size: number of ids, special tokens included.
        padding_id: the id that fills the rows of a batch.
    """

    def __init__(self, backend):
        """Wraps a `tokenizers.Tokenizer`; call `load` or a function of this module instead."""
        model = backend.model
        self.kind = KINDS.get(type(model).__name__)
        if self.kind is None or (self.kind == "byte_level_bpe" and "ByteLevel" not in str(backend.pre_tokenizer)):
            raise InputError(f"its model is {type(model).__name__} after {backend.pre_tokenizer}")
        ids = backend.get_vocab()
        _check_vocabulary(self.kind, ids)
        # A file from elsewhere may carry these; here each call names its length, and batches do the padding.
        backend.no_truncation()
        backend.no_padding()
        unknown_is_known = model.unk_token is None or model.token_to_id(model.unk_token) is not None
        if max(backend.encode("").ids, default=0) >= len(ids) or not unknown_is_known:
            raise InputError("its pipeline adds special tokens that its vocabulary has not")
        self._backend = backend
        self._num_special_tokens = backend.num_special_tokens_to_add(False)
        self.vocabulary_size = len(ids)
        self.padding_id = ids[PADDING_TOKENS[self.kind]]

    def encode(self, texts, max_length=None):
        """Turns texts into ids, with the special tokens that the kind puts around a text.

        A text that is too long loses its end, but keeps the final special token. A lone surrogate counts as U+FFFD.

        Args:
            texts: iterable of str; TypeError if one is something else.
            max_length: greatest number of tokens of a text, special tokens included; None keeps all. InputError if it
                leaves no room for the special tokens.

        Returns:
            TokenizedTexts.
        """
        minimum = max(1, self._num_special_tokens)
        if max_length is not None and max_length < minimum:
            raise InputError(f"max_length must be at least {minimum} for a {self.kind} tokenizer; got {max_length}")
        texts = valid_texts(texts)
        if len(texts) < FEWEST_TEXTS_TO_CUT or not self._is_spaced:
            return self._encoded(texts, max_length)
        cuts = (texts[start : start + TEXTS_PER_CUT] for start in range(0, len(texts), TEXTS_PER_CUT))
        return _one_after_another([self._encoded_once(cut, max_length) for cut in cuts])

    def _encoded(self, texts, max_length):
        return _ragged(self._truncated(ids, max_length) for ids in ids_of(self._backend, texts))

    def _encoded_once(self, texts, max_length):
        """`_encoded`, for which what stands between spaces is tokenised once."""
        pieces = spaced.cut(texts)
        distinct = self.encode_words(pieces.distinct)
        token_ids, offsets = spaced.joined(distinct.token_ids, distinct.offsets, pieces)
        if max_length is not None:
            token_ids, offsets = spaced.truncated(token_ids, offsets, max_length - self._num_special_tokens)
        if self._num_special_tokens:
            token_ids, offsets = spaced.surrounded(token_ids, offsets, *self._backend.encode("").ids)
        return TokenizedTexts(token_ids, offsets)

    @functools.cached_property
    def _is_spaced(self):
        """Whether no stage looks across a space: those of `words_pipeline` don't, and BERT's."""
        stages = _stages(self._backend)
        if self.kind == "words":
            return stages == _stages(words_pipeline())
        kinds = [(stages[name] or {}).get("type") for name in ("normalizer", "pre_tokenizer")]
        looks_around = [each["lstrip"] or each["rstrip"] or each["single_word"] for each in stages["added_tokens"]]
        has_space = [" " in each["content"] for each in stages["added_tokens"]]
        in_two = self._num_special_tokens == len(self._backend.encode("").ids) == 2
        return kinds == ["BertNormalizer", "BertPreTokenizer"] and in_two and not any(looks_around + has_space)

    def _truncated(self, ids, max_length):
        # Not the library's truncation: that is state, which other threads and the next call would see.
        if max_length is None or len(ids) <= max_length:
            return ids
        return ids[: max_length - 1] + ids[-1:] if self._num_special_tokens else ids[:max_length]

    def tokens(self, text):
        """Returns the tokens of one text as strings, one for each id of `encode`."""
        return [self._backend.id_to_token(int(token_id)) for token_id in self.encode([text]).token_ids]

    def encode_words(self, words):
        """The ids that words have inside a sentence, without special tokens: [str, …] → TokenizedTexts."""
        return _ragged(ids_of(self._backend, self.inside(words), add_special_tokens=False))

    def inside(self, words):
        """Words as texts that have the tokens which the words have inside a sentence: [str, …] → [str, …]."""
        space = " " if self.kind == "byte_level_bpe" else ""  # there a word's first token holds the space before it
        return [space + word for word in words]

    def whole_words(self):
        """The tokens that are words in themselves, by id: list of str; in byte-level BPE, those of ASCII signs."""
        if self.kind == "byte_level_bpe":
            return [token[1:] for token in self.vocabulary if token[:1] == "Ġ" and token[1:].isascii()]
        return [token for token in self.vocabulary if not token.startswith("##") and token[:1] + token[-1:] != "[]"]

    def is_one_word(self, text):
        """True if a tokenizer of words takes a text for one word, as it is."""
        stages = self._backend.normalizer, self._backend.pre_tokenizer
        return [word for word, _ in stages[1].pre_tokenize_str(stages[0].normalize_str(text))] == [text]

    def with_words(self, words):
        """A tokenizer of words that knows these as well, their ids after its own."""
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        vocabulary = dict.fromkeys([*self.vocabulary, *words])
        ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        backend.model = models.WordLevel(ids, unk_token="[UNK]")
        return Tokenizer(backend)

    @property
    def vocabulary(self):
        """All tokens, by id: list of str."""
        return tokens_by_id(self._backend)

    @property
    def merges(self):
        """The merges of byte-level BPE, by rank, as lines of a merges.txt: list of "a b"; empty for other kinds."""
        return [" ".join(pair) for pair in json.loads(self._backend.to_str())["model"].get("merges", ())]

    def to_json(self):
        """All of the tokenizer as text: the same for the same tokenizer."""
        return self._backend.to_str(pretty=True)

    def save(self, path):
        """Writes `to_json` into a `tokenizer.json`."""
        Path(path).write_text(self.to_json(), encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path):
        """Reads a `tokenizer.json`; InputError if it can't be read, is damaged, or of another kind."""
        try:
            return cls(tokenizers.Tokenizer.from_buffer(tokenizer_json.checked(Path(path).read_bytes())))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())  # it may quote the file
            raise InputError(
                f"can't read {path} as tokenizer.json of a {', '.join(KINDS)} model: {reason:.200}"
            ) from error


def wordpiece(vocabulary, lowercase=True, strip_accents=None, tokenize_chinese_chars=True):
    """Makes BERT's tokenizer: [CLS] text [SEP], with the ids of transformers' BertTokenizer.

    Args:
        vocabulary: list of str, by id, as in a vocab.txt; InputError if one comes twice or a special one is missing.
        lowercase: False for a cased model.
        strip_accents: whether é is e; None does as `lowercase` does.
        tokenize_chinese_chars: makes every Chinese character a word.
    """
    return Tokenizer(wordpiece_pipeline(vocabulary, lowercase, strip_accents, tokenize_chinese_chars))


def wordpiece_pipeline(vocabulary, lowercase=True, strip_accents=None, tokenize_chinese_chars=True):
    """What `wordpiece` wraps: a tokenizers.Tokenizer of the library."""
    ids = {token: token_id for token_id, token in enumerate(vocabulary)}
    _check_vocabulary("wordpiece", ids)
    backend = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(True, tokenize_chinese_chars, strip_accents, lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens([token for token in SPECIAL_TOKENS["wordpiece"] if token in ids])
    return backend


def byte_level_bpe(vocabulary, merges):
    """Makes RoBERTa's tokenizer: <s> text </s>, with the ids of transformers' RobertaTokenizer.

    Args:
        vocabulary: dict of str to int, as in a vocab.json; InputError if <s>, <pad> or </s> is missing.
        merges: list of "a b" or of (a, b), by rank, as in a merges.txt; InputError for one that makes no token.
    """
    _check_vocabulary("byte_level_bpe", vocabulary)
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, _merge_pairs(merges, vocabulary)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    first, last = ("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])
    backend.post_processor = processors.RobertaProcessing(last, first, trim_offsets=True, add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([token for token in SPECIAL_TOKENS["byte_level_bpe"] if token in vocabulary])
    return Tokenizer(backend)


def ids_of(backend, texts, add_special_tokens=True):
    """Yields the ids of each text by a tokenizers.Tokenizer: [int, …]."""
    for start in range(0, len(texts), TEXTS_PER_SLICE):
        part = texts[start : start + TEXTS_PER_SLICE]
        encodings = backend.encode_batch_fast(part, add_special_tokens=add_special_tokens)
        yield from (encoding.ids for encoding in encodings)


def _ragged(rows):
    """TokenizedTexts of the ids of each text, of which only one slice's are held as lists."""
    lengths = [0]

    def counted():
        for row in rows:
            lengths.append(len(row))
            yield from row

    token_ids = np.fromiter(counted(), np.int32)
    return TokenizedTexts(token_ids, np.cumsum(lengths, dtype=np.int64))


def _stages(backend):
    """All that a tokenizers.Tokenizer does before and after its model, as JSON has it."""
    return {name: stage for name, stage in json.loads(backend.to_str()).items() if name != "model"}


def _one_after_another(parts):
    ends = itertools.accumulate((len(part.token_ids) for part in parts), initial=0)
    offsets = [part.offsets[1:] + end for part, end in zip(parts, ends)]
    return TokenizedTexts(
        np.concatenate([part.token_ids for part in parts]), np.concatenate([np.zeros(1, np.int64), *offsets])
    )


def valid_texts(texts):
    """Returns texts as a list of str that UTF-8 can hold, which the library needs."""
    if isinstance(texts, str):
        raise TypeError("texts must be several str, as in a list; got a single str")
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"each text must be a str; got {type(text).__name__}: {text!r:.60}")
    return [t if t.isascii() else t.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for t in texts]


def _merge_pairs(merges, ids):
    pairs = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in map(_checked_merge, merges)]
    pairs = [pair for pair in pairs if pair[0] != "#version:"]  # the heading of a merges.txt
    for pair in pairs:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= ids.keys():
            raise InputError(f"a merge must join two tokens of the vocabulary to a third; got {pair!r:.80}")
    return pairs


def _checked_merge(merge):
    tokens = [merge] if isinstance(merge, str) else merge
    if not isinstance(tokens, (list, tuple)) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"a merge must be two tokens; got {merge!r:.80}")
    return merge


def tokens_by_id(backend):
    ids = backend.get_vocab()
    return sorted(ids, key=ids.get)


def _check_vocabulary(kind, ids):
    if strange := [token_id for token_id in ids.values() if type(token_id) is not int]:
        raise InputError(f"a vocabulary must give each token a whole number; got {strange[0]!r:.80}")
    if unused := set(range(len(ids))).difference(ids.values()):
        raise InputError(f"a vocabulary must number its tokens from 0, each once; no token has the id {min(unused)}")
    if missing := sorted({*SPECIAL_TOKENS[kind]} - OPTIONAL_TOKENS - ids.keys()):
        raise InputError(f"the vocabulary of a {kind} tokenizer must hold {', '.join(missing)}")
