"""AdamW, its learning rate over time, and what it leaves undecayed."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kmodels import backends


@keras.saving.register_keras_serializable("kmodels")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Climbs from 0 to the peak over the warm-up, then stays there, or falls in a line to 0 at the last step.

    A step is a batch, for by their number Keras asks: of batches whose gradients are added up, the last one's rate
    counts.

    Args:
        peak: the highest learning rate.
        warmup_steps: steps of the warm-up; the first has peak / warmup_steps.
        total_steps: steps of the whole run.
        decay: "linear" or "constant".

    Source: Devlin et al. 2019, appendix A.2.
    """

    def __init__(self, peak, warmup_steps, total_steps, decay="linear"):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay

    def __call__(self, step):
        return self._rate(ops.cast(step, "float32"), ops)

    def on_host(self, step):
        """The same number for an int, without a framework."""
        return float(self._rate(np.float32(step), np))

    def _rate(self, step, library):
        done = step + 1
        climb = done / max(self.warmup_steps, 1)
        fall = (self.total_steps - done + 1) / max(self.total_steps - self.warmup_steps, 1)
        factor = library.minimum(climb, 1.0)
        if self.decay == "linear":
            factor = library.minimum(factor, library.maximum(fall, 0.0))
        return self.peak * factor

    def get_config(self):
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
        }


def adamw(learning_rate, weight_decay=0.01, clip_norm=1.0, gradient_accumulation_steps=1, ema_momentum=0.0):
    """AdamW that decays no bias and no norm, and can keep the moving average of the weights.

    Args:
        learning_rate: float or schedule; of a variable that has a `learning_rate_factor`, so many times that.
        weight_decay: decoupled decay of all other weights; 0 for plain Adam.
        clip_norm: longest global gradient norm; 0 or None for no clipping.
        gradient_accumulation_steps: batches whose gradients are averaged for one update.
        ema_momentum: the part of the average that each update leaves; 0 for no average.

    Source: Loshchilov & Hutter 2019 (AdamW); Devlin et al. 2019, appendix A.2 (what is not decayed).
    """
    settings = {
        "epsilon": 1e-7,
        "global_clipnorm": clip_norm or None,
        "gradient_accumulation_steps": gradient_accumulation_steps if gradient_accumulation_steps > 1 else None,
    }
    # Without decay, AdamW would still pass over every weight to subtract nothing.
    kind = keras.optimizers.AdamW if weight_decay else keras.optimizers.Adam
    kind = _by_factor(backends.current().optimizer_class(kind))
    if ema_momentum:
        kind, settings = _averaging(kind), settings | {"momentum": ema_momentum}
    if not weight_decay:
        return kind(learning_rate, **settings)
    optimizer = kind(learning_rate, weight_decay=weight_decay, **settings)
    # Leaf names: on torch and jax a variable is matched by its own name, on tensorflow by its path.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _by_factor(kind: Any):
    """An optimizer that updates, and decays, a variable at `learning_rate_factor` times the rate, if it has that."""

    class ByFactor(kind):
        weight_decay: float | None

        def _apply_weight_decay(self, variables):
            decay = self.weight_decay
            for factor, places in _places(variables):
                self.weight_decay = decay and decay * factor
                super()._apply_weight_decay([variables[place] for place in places])
            self.weight_decay = decay

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            for factor, places in _places(trainable_variables):
                super()._backend_update_step(
                    [grads[place] for place in places],
                    [trainable_variables[place] for place in places],
                    learning_rate * factor,
                )

    return ByFactor


def _places(variables):
    """[(factor of the learning rate, [place of a variable that has it, …]), …]."""
    places: dict[float, list[int]] = {}
    for place, variable in enumerate(variables):
        places.setdefault(getattr(variable, "learning_rate_factor", 1.0), []).append(place)
    return list(places.items())


def _averaging(kind: Any):
    """An optimizer that keeps the exponential moving average of the weights, and changes nothing else.

    Keras's own `use_ema` puts the average in the weights' place whenever `fit` ends, and begins with the first state,
    which then counts for long. Here, until the momentum says less, update t is given the part 2 / (t + 1) of the
    average, so that each state counts by its number: what was early hardly does.

    Source: Polyak & Juditsky 1992; Shamir & Zhang 2013, section 4, with eta = 1 (the beginning).
    """

    class Averaging(kind):
        def __init__(self, *arguments, momentum, **settings):
            super().__init__(*arguments, **settings)
            self.momentum = momentum

        def build(self, variables):
            super().build(variables)
            self.averages = [self.add_variable_from_reference(each, name="average") for each in variables]

        def apply(self, grads, trainable_variables=None):
            before = ops.cast(self.iterations, "float32")
            super().apply(grads, trainable_variables)
            is_update = ops.cast(self.iterations, "float32") - before  # 0 where gradients are only added up
            part = is_update * ops.maximum(1 - self.momentum, 2 / (before + 2))
            backends.current().average(self.averages, self._trainable_variables, part)

    return Averaging


def averages_of(optimizer):
    """[(weight, its average), …]: keras.Variable of an optimizer that `adamw` gave an `ema_momentum`."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # what scales the loss in float16
    return list(zip(optimizer._trainable_variables, optimizer.averages))
