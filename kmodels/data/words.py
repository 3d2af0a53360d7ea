"""What a word is: as in the Penn Treebank, in lower case."""

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

# Raw text and text in Penn Treebank form spell these differently; here both come out as on the right.
BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}"}
SPELLINGS = [(rf"(?<!\w){name}(?!\w)", bracket) for name, bracket in BRACKETS.items()]
SPELLINGS += [(r"\\(?=[/*])", ""), (r"``|''|[“”„]", '"'), ("[`‘’]", "'"), (r"…|\.{2,}", "..."), ("[–—―]|-{2,}", "--")]
CLITICS = r"(?:s|m|d|re|ll|ve)\b"
# Tried in this order at each place. Each token matches itself as a whole, so tokens joined by spaces split the same.
WORD_PATTERNS = (
    rf"n't\b|'{CLITICS}|'\d\ds?\b",  # n't, 's, '70s
    r"can(?=not\b)|(?:gon|wan)(?=na\b)|got(?=ta\b)|(?:gim|lem)(?=me\b)",
    r"\w+?(?:-\w+?)*?(?=n't\b)",  # does|n't
    r"\p{L}(?:\.\p{L})+\b\.?",  # u.s.
    rf"\w+(?:(?:-|'(?!{CLITICS})|(?<=\d)[.,:/](?=\d))\w+)*",  # well-made, o'clock, 1,000.50
    r"\.\.\.|--|[^\s\w]\p{M}*",  # a mark stays with its symbol: many emoji carry one
)


def words_pipeline():
    """What cuts a text into lower-cased words: a tokenizers.Tokenizer that knows none yet.

    No stage looks across a space.
    """
    backend = tokenizers.Tokenizer(models.WordLevel())
    # BERT's normaliser makes lower case, removes control characters and sets Chinese characters apart.
    stages = [normalizers.BertNormalizer(strip_accents=False), normalizers.NFC()]
    stages += [normalizers.Replace(Regex(pattern), spelling) for pattern, spelling in SPELLINGS]
    backend.normalizer = normalizers.Sequence(stages)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(WORD_PATTERNS)), behavior="removed", invert=True)
    return backend
