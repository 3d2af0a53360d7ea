"""Texts that a tokenizer must bear, small vocabularies, and tokenizers trained on a few sentences."""

import subprocess
import sys

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from kmodels.data import tokenizer_training

SENTENCES = [
    "It doesn't work, it's bad.",
    "The film is a warm, well-made comedy with unlikely heroes.",
    "An unlikely and likeable film; the heroes don't work, they play!",
    "Nobody's acting could have saved this worthless, endless story.",
    "I'd watch it again (and again) for the acting alone.",
    "Endless, hopeless, and somehow charming: 10 out of 10 heroes agree.",
    "Café crème at the café, naïve über-heroes, señor and señora.",
    "这 部 电影 好 看 。 好 电影 ！",
    "Привет, хороший фильм! Хороший, но длинный фильм.",
    "Good 😀 or bad 😡? 😀😀",
]
HARD_TEXTS = {
    "plain": "The heroes don't work in this unlikely film.",
    "empty": "",
    "spaces only": " \t\n ",
    "long text": "the film is bad , " * 556,
    "long word": "a" * 10_000,
    "word of 100": "a" * 100,
    "word of 101": "a" * 101,
    "composed accent": "caf\u00e9 na\u00efve \u00c9COLE",
    "decomposed accent": "cafe\u0301 nai\u0308ve E\u0301COLE",
    "emoji": "good \U0001f600\U0001f621 \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f468\u200d\U0001f469",
    "chinese": "这部电影好看。very好！",
    "japanese and korean": "映画はとても 영화는 정말",
    "cyrillic": "Хороший ФИЛЬМ, но длинный",
    "right to left": "فيلم جيد \u200fסרט טוב\u202e evil",
    "control characters": "a\x01film\x7f \x1b[0m\r\nbad\x0b\x0c\x85",
    "zero width": "fi\u200blm \ufeffbad\u2060 so\u00adft",
    "NUL": "\0film\0 bad\0",
    "no-break space": "bad\u00a0film\u3000good\u2003bad",
    "replacement character": "bad \ufffd film",
    "BERT's special tokens": "[CLS] bad [SEP][PAD]film[MASK] [UNK] [sep] [ SEP ]",
    "RoBERTa's special tokens": "<s>bad</s> film<pad> <mask> <unk></S>",
    "leading space": "  film",
    "turkish capital": "\u0130stanbul \u1e9e \ufb01lm",
}
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = st.one_of(
    st.characters(codec="utf-8"), st.characters(codec="ascii"), st.sampled_from("éàü中好\u0301\u200b 😀'-.")
)
TEXTS = st.lists(
    st.one_of(CHARACTERS, st.sampled_from(["film", " the", "[SEP]", "</s>", "[UNK]", "<mask>", "n't", "ing "])),
    max_size=20,
).map("".join)
many = settings(max_examples=300, deadline=None, derandomize=True)
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", "un", "##like", "##ly"]
WORDPIECE += [",", ".", "cafe", "!", "好", "don", "'", "t"]
BYTE_LEVEL = ["<s>", "<pad>", "</s>", "<unk>", *"lowerĠÃ©", "lo", "low", "er", "Ġlow", "Ġlo", "<mask>"]
MERGES = ["l o", "lo w", "e r", "Ġ low", "Ġ lo"]


def rows(tokenized):
    return [row.tolist() for row in np.split(tokenized.token_ids, tokenized.offsets[1:-1])]


def ids(tokenizer, text, max_length=None):
    return tokenizer.encode([text], max_length).token_ids.tolist()


def make(kind, texts=SENTENCES):
    if kind == "words":
        return tokenizer_training.train_words(texts)
    if kind == "wordpiece":
        return tokenizer_training.train_wordpiece(texts, 250)
    return tokenizer_training.train_byte_level_bpe(texts, 350)


def run_python(arguments, standard_input, environment, folder):
    command = [sys.executable, *arguments]
    options = {"env": environment, "cwd": folder, "capture_output": True, "text": True, "timeout": 120}
    run = subprocess.run(command, input=standard_input, check=False, **options)
    assert run.returncode == 0, run.stderr
    return run.stdout
