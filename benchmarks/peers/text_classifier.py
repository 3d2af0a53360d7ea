"""KerasHub's BertTextClassifier.fit as its guide uses it: text in, the preprocessor inside, its default length."""

import argparse

import keras
import keras_hub
from sst2 import Clock, read


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    keras.config.set_dtype_policy(arguments.precision)
    clock = Clock(before_steady=2)  # every batch is padded to the same length
    classifier = keras_hub.models.BertTextClassifier.from_preset(arguments.checkpoint, num_classes=2)
    texts, labels = read(arguments.data_dir, "train", arguments.rows)

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock.stepped(arguments.batch_size)

    classifier.fit(x=texts, y=labels, batch_size=arguments.batch_size, epochs=1, verbose=0, callbacks=[Steps()])
    clock.report(None, keras=keras.__version__, keras_hub=keras_hub.__version__)


if __name__ == "__main__":
    main()
