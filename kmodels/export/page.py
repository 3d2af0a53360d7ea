"""The page beside an exported model: how to call it."""

import json
import re
from pathlib import Path

from kmodels.data.tokenizers import PADDING_TOKENS

_PAGE = """\
# {name}

A classifier of sentences, `{model}`, {title}, in float32. kmodels wrote it, read it again with its own runtime, and
found its logits within {difference:.0e} of the run's for 64 sentences of 1 to {max_length} tokens.

| | name | type | shape |
|---|---|---|---|
| input | `token_ids` | int32 | ({batch}, length), padded with {padding_id} |
| input | `padding_mask` | bool | ({batch}, length), true on tokens, which come before the padding |
| output | {output} | float32 | ({batch}, {num_classes}): logits, of which softmax makes probabilities |

The batch is {batch_size}; the length is 1 to {max_length} tokens, special ones included. The labels of the columns
are in the example, which runs in this folder:

```python
import numpy as np
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({max_length})
tokenizer.enable_padding(pad_id={padding_id}, pad_token={padding_token})
sentences = tokenizer.encode_batch(["the film is great", "the plot is awful and the cast is dull"])
token_ids = np.array([sentence.ids for sentence in sentences], np.int32)
padding_mask = np.array([sentence.attention_mask for sentence in sentences], bool)

{call}
labels = {labels}
print([labels[number] for number in logits.argmax(axis=1)])
```
"""

_BEGINNING = re.compile(r"# .+\n\nA classifier of sentences, `.+`, .+, in float32\. kmodels wrote it")


def text(name, format, config, label_names, tokenizer, found):
    """The page, Markdown.

    Args:
        name: of the model's file or folder.
        format: its module.
        config: the run's kmodels.config.RunConfig.
        label_names: the name of each class.
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        found: {"difference", "batch"}, what the check of the model found.
    """
    return _PAGE.format(
        name=name,
        model=config.model,
        title=format.TITLE,
        difference=max(found["difference"], 1e-7),
        max_length=config.max_length,
        batch=found["batch"] or "batch",
        padding_id=tokenizer.padding_id,
        output=format.OUTPUT,
        num_classes=len(label_names),
        batch_size="of one sentence" if found["batch"] else "of any size",
        padding_token=json.dumps(PADDING_TOKENS[tokenizer.kind]),
        call=format.CALL.format(name=name),
        labels=json.dumps(label_names),
    )


def is_one(path):
    """True if a file begins as `text` does."""
    try:
        return _BEGINNING.match(Path(path).read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:  # a folder
        return False
