"""Tiny encoders and their tokenizers, as transformers saves them."""

import json

KINDS = ("bert", "roberta")
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


def save_tokenizer(folder, trained, layout="tokenizer.json", cased=False, **settings):
    """Writes the files of transformers' tokenizer: as transformers 5 does, or the vocabularies it wrote before."""
    import transformers

    vocabulary = {token: number for number, token in enumerate(trained.vocabulary)}
    if trained.kind == "wordpiece":
        tokenizer = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=not cased, **settings)
    else:
        merges = [tuple(merge.split(" ")) for merge in trained.merges]
        tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, **settings)
    tokenizer.save_pretrained(folder)
    if layout == "tokenizer.json":
        return
    (folder / "tokenizer.json").unlink()
    if trained.kind == "wordpiece":
        (folder / "vocab.txt").write_text("\n".join(trained.vocabulary) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *trained.merges]) + "\n", encoding="utf-8")


def save_model(folder, kind, class_name, **settings):
    """A tiny model of transformers with random values in every parameter, saved; returns it."""
    import torch
    import transformers

    numbers = torch.Generator().manual_seed(0)
    config = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[kind]
    more = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2} if kind == "roberta" else {}
    model = getattr(transformers, class_name)(config(**SIZES | {"vocab_size": 300} | more | settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4, generator=numbers)
    model.save_pretrained(folder)
    return model
