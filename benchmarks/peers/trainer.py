"""transformers' Trainer fine-tuning an encoder: sentences of like length together, fused AdamW, bfloat16 where asked.

Source of the settings: transformers' documentation of Trainer and its pages on training efficiently.
"""

import argparse

import torch
import transformers
from sst2 import Clock, read


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output_dir", required=True)
    arguments = parser.parse_args()
    transformers.set_seed(arguments.seed)
    clock = Clock()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.checkpoint)
    training, validation = (
        Sentences(tokenizer, *read(arguments.data_dir, split, rows), arguments.max_length)
        for split, rows in (("train", arguments.rows), ("dev", None))
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(arguments.checkpoint, num_labels=2)
    padded = CountedTokens(transformers.DataCollatorWithPadding(tokenizer))
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            arguments.output_dir,
            num_train_epochs=1,
            per_device_train_batch_size=arguments.batch_size,
            per_device_eval_batch_size=128,
            learning_rate=arguments.learning_rate,
            use_cpu=not torch.cuda.is_available(),
            bf16=arguments.precision == "bfloat16",
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length",
            warmup_steps=0.1,
            weight_decay=0.01,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=arguments.seed,
        ),
        train_dataset=training,
        eval_dataset=validation,
        data_collator=padded,
        compute_metrics=lambda output: {"accuracy": float((output.predictions.argmax(1) == output.label_ids).mean())},
        callbacks=[Steps(clock, arguments.batch_size)],
    )
    trainer.train()
    real = padded.tokens / padded.cells
    accuracy = trainer.evaluate()["eval_accuracy"]
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    clock.report(accuracy, real_token_fraction=real, **versions)


class Sentences(torch.utils.data.Dataset):
    """Token ids of sentences, not padded."""

    def __init__(self, tokenizer, texts, labels, max_length):
        self.encoded = tokenizer(texts, truncation=True, max_length=max_length)
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        return {name: values[number] for name, values in self.encoded.items()} | {"label": self.labels[number]}


class CountedTokens:
    """A collator that counts its batches' tokens, and their cells: tokens and padding."""

    def __init__(self, collate):
        self.collate, self.tokens, self.cells = collate, 0, 0

    def __call__(self, sentences):
        batch = self.collate(sentences)
        self.tokens += int(batch["attention_mask"].sum())
        self.cells += batch["attention_mask"].numel()
        return batch


class Steps(transformers.TrainerCallback):
    """Tells the clock of each step."""

    def __init__(self, clock, batch_size):
        self.clock = clock
        self.batch_size = batch_size

    def on_step_end(self, *arguments, **more):
        self.clock.stepped(self.batch_size)


if __name__ == "__main__":
    main()
