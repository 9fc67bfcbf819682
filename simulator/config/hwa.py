"""Hardware-aware training: disturbing, clipping and remapping the weights."""

from __future__ import annotations

from pydantic import Field

from simulator.config.base import Fraction, NonNegative, Number, Positive, StrictModel, Switch
from simulator.config.enums import WeightClipType, WeightModifierType, WeightRemapType


class WeightModifierParameter(StrictModel):
    """Noise on the weights of every training forward and backward pass; updates go to the clean weights.

    Source: Joshi et al., Nat. Commun. 11, 2473 (2020).
    """

    std_dev: NonNegative = Field(
        default=0.0, description="Standard deviation of the noise relative to the largest weight (unit-free)."
    )
    per_batch_sample: Switch = Field(
        default=False, description="Draw the noise for every sample of a batch instead of once per batch."
    )
    res: Number = Field(
        default=0.0, description="Discretisation: step relative to the weight range, or number of steps."
    )
    sto_round: Switch = Field(default=False, description="Discretise with stochastic rounding.")
    dorefa_clip: Positive = Field(default=0.6, description="DoReFa: weights are mapped to +-dorefa_clip.")
    pdrop: Fraction = Field(
        default=0.0, description="Probability that a weight is set to zero, with every type of modifier."
    )
    enable_during_test: Switch = Field(default=False, description="Disturb the weights in evaluation too.")
    rel_to_actual_wmax: Switch = Field(
        default=True, description="Refer to the tile's actual largest weight instead of assumed_wmax."
    )
    assumed_wmax: Positive = Field(default=1.0, description="Largest weight assumed (normalised units).")
    copy_last_column: Switch = Field(
        default=False, description="Leave the last input column undisturbed (an analog bias)."
    )
    coeffs: tuple[Number, ...] = Field(
        default=(0.0105392, 0.0768, -0.046925),
        min_length=1,
        max_length=16,
        description="Poly, ProgNoise: polynomial of |w| / wmax, lowest order first (in uS for ProgNoise).",
    )
    type: WeightModifierType = Field(
        default=WeightModifierType.NONE, description="How weights are disturbed."
    )
    g_max: Positive = Field(
        default=25.0, description="PCMNoise, ProgNoise: conductance of |w| = wmax, in uS."
    )
    pcm_zero_thres: NonNegative = Field(
        default=0.0, description="PCMNoise: weights below this threshold count as zero (normalised units)."
    )
    pcm_t_inference: NonNegative = Field(default=0.0, description="PCMNoise: time after programming, in s.")
    pcm_prob_at_reset: Fraction = Field(
        default=0.0, description="PCMNoise: probability that a device is stuck at its reset state."
    )
    pcm_prob_at_gmax: Fraction = Field(
        default=0.0, description="PCMNoise: probability that a device is stuck at g_max."
    )
    pcm_prob_at_random: Fraction = Field(
        default=0.0, description="PCMNoise: probability that a device is stuck at a random conductance."
    )
    pcm_t0: Positive = Field(default=20.0, description="PCMNoise: reference time of the drift, in s.")


class WeightClipParameter(StrictModel):
    """Clipping of the weights after every optimiser step."""

    fixed_value: Number = Field(
        default=-1.0, description="Bound of the weights (normalised units); <= 0: none."
    )
    sigma: Positive = Field(
        default=2.5, description="LayerGaussian: bound in standard deviations of the tile's weights."
    )
    type: WeightClipType = Field(default=WeightClipType.NONE, description="How weights are clipped.")


class WeightRemapParameter(StrictModel):
    """Rescaling of the weights to the conductance range after every optimiser step."""

    remapped_wmax: Positive = Field(
        default=1.0, description="Largest weight after remapping (normalised units)."
    )
    max_scale_range: NonNegative = Field(
        default=0.0, description="Largest output scale relative to the smallest; 0: no limit."
    )
    max_scale_ref: NonNegative = Field(
        default=0.0, description="Lower limit of the smallest scale that max_scale_range refers to."
    )
    type: WeightRemapType = Field(default=WeightRemapType.NONE, description="How weights are remapped.")
