"""ONNX, by PyTorch's exporter. Keras 3.15's own keeps the shape of the example, or does not know take_along_axis."""

TITLE = "ONNX"
BACKEND = "torch"
SUFFIX = ".onnx"
PACKAGES, EXTRA = ("torch", "onnx", "onnxscript", "onnxruntime"), "onnx"
OUTPUT = "`logits`"
CALL = """\
import onnxruntime

session = onnxruntime.InferenceSession("{name}")
(logits,) = session.run(None, {{"token_ids": token_ids, "padding_mask": padding_mask}})
"""


def write(model, path):
    """Writes one file with the weights in it, which ONNX limits to 2 GiB. LSTMs become ONNX's own."""
    import torch

    from kmodels.export import tracing

    tracing.trace_any_shape(model, _lstm)
    inputs = tracing.example_inputs()
    program = torch.onnx.export(
        tracing.TokensToLogits(model),
        kwargs=inputs,
        dynamo=True,
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes={name: {0: "batch", 1: "length"} for name in inputs},
        verbose=False,
    )
    assert program is not None  # it is None only where the exporter writes a file itself
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where this machine keeps its files
    program.save(path, external_data=False)


def read(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def call(token_ids, padding_mask):
        return session.run(["logits"], {"token_ids": token_ids, "padding_mask": padding_mask})[0]

    return call, None


def _lstm(layer):
    """A keras.layers.LSTM as ONNX's operator, https://onnx.ai/onnx/operators/onnx__LSTM.html."""
    import torch

    kernel, recurrent_kernel, bias = (
        _gates_reordered(weight.value.detach())
        for weight in (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias)
    )
    weights = (
        kernel.T[None].contiguous(),  # (1, 4 * units, dim)
        recurrent_kernel.T[None].contiguous(),  # (1, 4 * units, units)
        torch.cat([bias, torch.zeros_like(bias)])[None],  # (1, 8 * units): of the input and of the state
    )

    def compute(x):
        batch, length = x.shape[:2]
        states = torch.onnx.ops.symbolic(
            "LSTM",
            (x.transpose(0, 1), *weights),
            {"hidden_size": layer.units},
            dtype=x.dtype,
            shape=(length, 1, batch, layer.units),
        )
        return states[:, 0].transpose(0, 1)  # (batch, length, units)

    return compute


def _gates_reordered(weight):
    """The gates of Keras, input, forget, cell, output, in the order of ONNX: input, output, forget, cell."""
    import torch

    gate = weight.chunk(4, dim=-1)
    return torch.cat([gate[0], gate[3], gate[1], gate[2]], dim=-1)
