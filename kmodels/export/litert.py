"""LiteRT (TensorFlow Lite), by Keras's exporter."""

TITLE = "LiteRT (TensorFlow Lite)"
BACKEND = "tensorflow"
SUFFIX = ".tflite"
PACKAGES, EXTRA = ("tensorflow", "ai_edge_litert"), "litert"
OUTPUT = "`output_0`"
CALL = """\
from ai_edge_litert.interpreter import Interpreter

classify = Interpreter("{name}").get_signature_runner()
rows = zip(token_ids[:, None], padding_mask[:, None])  # of (1, length)
logits = np.concatenate([classify(token_ids=ids, padding_mask=mask)["output_0"] for ids, mask in rows])
"""


def write(model, path):
    """Writes one file of LiteRT's own operators, which an app need not bring along.

    With them an LSTM and a new axis of a mask are bound to a batch size, which is 1 then.
    """
    import tensorflow
    from tensorflow.lite.python.convert import ConverterError

    operators = {"supported_ops": [tensorflow.lite.OpsSet.TFLITE_BUILTINS]}
    try:
        model.export(path, format="litert", verbose=False, target_spec=operators)
    except ConverterError:
        signature = [_signature(batch_size=1)]
        model.export(path, format="litert", verbose=False, target_spec=operators, input_signature=signature)


def read(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    runner = interpreter.get_signature_runner()
    batch_size = int(interpreter.get_input_details()[0]["shape_signature"][0])

    def call(token_ids, padding_mask):
        return runner(token_ids=token_ids, padding_mask=padding_mask)["output_0"]

    return call, None if batch_size < 0 else batch_size


def _signature(batch_size):
    import keras

    dtypes = {"token_ids": "int32", "padding_mask": "bool"}
    return {name: keras.InputSpec(dtype, (batch_size, None), name=name) for name, dtype in dtypes.items()}
