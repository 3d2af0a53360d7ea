"""OpenVINO's IR, read from the ONNX file that `kmodels.export.onnx` writes: Keras's exporter can't write an LSTM."""

from kmodels.export import onnx

TITLE = "OpenVINO's IR"
BACKEND = onnx.BACKEND
SUFFIX = ".xml"
PACKAGES, EXTRA = ("torch", "onnx", "onnxscript", "openvino"), "openvino"
OUTPUT = "`logits`"
CALL = """\
import openvino

# f32: on processors that have it, OpenVINO computes in bfloat16 by default
model = openvino.Core().compile_model("{name}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
logits = model({{"token_ids": token_ids, "padding_mask": padding_mask}})["logits"]
"""


def write(model, path):
    """Writes two files, the weights in one that ends in .bin."""
    import openvino

    step = path.with_suffix(".onnx")
    onnx.write(model, step)
    # read_model, not convert_model, which tells OpenVINO's makers that it was called
    openvino.save_model(openvino.Core().read_model(step), path, compress_to_fp16=False)
    step.unlink()


def read(path):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def call(token_ids, padding_mask):
        return model({"token_ids": token_ids, "padding_mask": padding_mask})["logits"]

    return call, None
