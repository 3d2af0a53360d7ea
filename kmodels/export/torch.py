"""A program of torch.export."""

TITLE = "a program of torch.export"
BACKEND = "torch"
SUFFIX = ".pt2"
PACKAGES, EXTRA = ("torch",), "torch"
OUTPUT = "what it returns"
CALL = """\
import torch

program = torch.export.load("{name}").module()
with torch.no_grad():
    logits = program(token_ids=torch.from_numpy(token_ids), padding_mask=torch.from_numpy(padding_mask)).numpy()
"""


def write(model, path):
    """Writes one file. LSTMs become torch.export's scan, a loop that a program can hold."""
    import torch

    from kmodels.export import tracing

    tracing.trace_any_shape(model, _lstm)
    inputs = tracing.example_inputs()
    shapes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in inputs}
    program = torch.export.export(tracing.TokensToLogits(model), (), inputs, dynamic_shapes=shapes, strict=False)
    for module in program.graph_module.modules():
        for node in module.graph.nodes:
            node.meta.pop("stack_trace", None)  # where this machine keeps its files
    torch.export.save(program, path)


def read(path):
    import torch

    program = torch.export.load(path).module()

    def call(token_ids, padding_mask):
        with torch.no_grad():
            return program(token_ids=torch.from_numpy(token_ids), padding_mask=torch.from_numpy(padding_mask)).numpy()

    return call, None


def _lstm(layer):
    import torch

    def step(state, cell, gates, recurrent_kernel):
        """One word: (batch, units) twice, (batch, 4 * units), (units, 4 * units) → the next two, and the output."""
        input_gate, forget_gate, candidate, output_gate = torch.chunk(gates + state @ recurrent_kernel, 4, dim=1)
        cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        state = torch.sigmoid(output_gate) * torch.tanh(cell)
        return [state, cell, state.clone()]  # scan wants no tensor twice

    def compute(x):
        kernel, recurrent_kernel, bias = (
            weight.value for weight in (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias)
        )
        gates = (x @ kernel + bias).transpose(0, 1)  # (length, batch, 4 * units)
        start = [torch.zeros(x.shape[0], layer.units) for _ in range(2)]
        # clone: scan can't take a parameter as it is
        _, _, states = torch.ops.higher_order.scan(step, start, [gates], (recurrent_kernel.clone(),))
        return states.transpose(0, 1)  # (batch, length, units)

    return compute
