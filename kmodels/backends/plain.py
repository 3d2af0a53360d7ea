"""Whether a model does nothing that a step made of fewer, or other, calls would miss."""

from keras.src.models.functional import Functional

# Whose layers add no losses of their own and look at one sentence at a time; one that someone else wrote may not.
_PACKAGES = ("keras", "keras_hub", "kmodels")


def is_plain(model):
    """True for a model that overrides nothing of Keras's training and can add nothing to the loss."""
    layers = list(model._flatten_layers())
    return (
        type(model) is Functional
        and all(type(layer).__module__.partition(".")[0] in _PACKAGES for layer in layers)
        and not any(getattr(layer, "activity_regularizer", None) for layer in layers)
        and not any(getattr(variable, "regularizer", None) for variable in model.trainable_weights)
    )
