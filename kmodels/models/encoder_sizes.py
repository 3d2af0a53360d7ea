"""What a file may say of an encoder: its sizes, and no more of them than its weights bear out."""

from kmodels.errors import InputError

# The arguments of KerasHub's constructors that are sizes.
_SIZES = ("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim", "max_sequence_length")
ARGUMENTS = {"BertBackbone": (*_SIZES, "num_segments"), "RobertaBackbone": _SIZES}
ARRAYS_PER_LAYER = 16  # kernel and bias of four projections and two dense layers, scale and shift of two norms


def read(settings, names, path):
    """The sizes of an encoder, out of a JSON object.

    Args:
        settings: the object.
        names: {argument of KerasHub's constructor: its name there}.
        path: the file, for messages.

    Returns:
        {argument: int}.

    Raises:
        InputError: one is no whole number above 0, or the heads don't divide the hidden states.
    """
    sizes = {argument: settings.get(name) for argument, name in names.items()}
    for argument, size in sizes.items():
        if type(size) is not int or size < 1:
            raise InputError(f"{path}: {names[argument]} must be a whole number above 0; got {size!r:.80}")
    if sizes["hidden_dim"] % sizes["num_heads"]:
        raise InputError(f"{path}: {names['num_heads']} must divide {names['hidden_dim']}; got {sizes['num_heads']}")
    return sizes


def of_description(description, path):
    """`read` of an encoder as model.json describes it: {"class": a key of ARGUMENTS, "config": its arguments}.

    Raises:
        InputError: it describes none.
    """
    if not isinstance(description, dict) or str(description.get("class")) not in ARGUMENTS:
        raise InputError(f"{path} must describe a {' or '.join(ARGUMENTS)}; got {description!r:.80}")
    return of_class(description["class"], description.get("config"), path)


def of_class(name, config, path):
    """`read` of the arguments that Keras keeps of an object of the class `name`, a key of ARGUMENTS."""
    if not isinstance(config, dict):
        raise InputError(f"{path}: config must be a JSON object; got {config!r:.80}")
    return read(config, {argument: argument for argument in ARGUMENTS[name]}, path)


def least_weights(sizes):
    """What an encoder of these sizes has at least: (arrays, numbers in them).

    Left out are vectors, and BERT's pooler, which not every checkpoint has.
    """
    dim = sizes["hidden_dim"]
    num_rows = sizes["vocabulary_size"] + sizes["max_sequence_length"] + sizes.get("num_segments", 0)
    layer = 4 * dim**2 + 2 * dim * sizes["intermediate_dim"]
    return ARRAYS_PER_LAYER * sizes["num_layers"], num_rows * dim + sizes["num_layers"] * layer
