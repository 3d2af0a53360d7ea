"""TensorFlow's SavedModel, by Keras's exporter."""

TITLE = "TensorFlow's SavedModel"
BACKEND = "tensorflow"
SUFFIX = ""
PACKAGES, EXTRA = ("tensorflow",), "tensorflow"
OUTPUT = "what `serve` returns; `output_0` of the signature `serving_default`"
CALL = """\
import tensorflow

model = tensorflow.saved_model.load("{name}")
logits = model.serve({{"token_ids": token_ids, "padding_mask": padding_mask}}).numpy()
"""


def write(model, path):
    """Writes a folder."""
    model.export(path, format="tf_saved_model", verbose=False)


def read(path):
    import tensorflow

    model = tensorflow.saved_model.load(path)

    def call(token_ids, padding_mask):
        return model.serve({"token_ids": token_ids, "padding_mask": padding_mask}).numpy()

    return call, None
