"""From logical layers to tiles, and what surrounds a tile digitally."""

from __future__ import annotations

from pydantic import Field

from simulator.config.base import Count, Fraction, NonNegative, Number, Positive, StrictModel, Switch


class MappingParameter(StrictModel):
    """How a layer's weight matrix is scaled and cut into tiles."""

    digital_bias: Switch = Field(
        default=True, description="Add the bias digitally; else it is one more analog column with input 1."
    )
    weight_scaling_omega: NonNegative = Field(
        default=0.0,
        description="Scale weights so that their absolute maximum is omega (normalised); 0: no scaling.",
    )
    weight_scaling_columnwise: Switch = Field(
        default=False, description="Scale every output of a tile by itself instead of the whole tile."
    )
    weight_scaling_lr_compensation: Switch = Field(
        default=False, description="Compensate the learning rate for the scale; here it never depends on it."
    )
    learn_out_scaling: Switch = Field(
        default=False, description="Add a trainable digital output scale, initially 1."
    )
    out_scaling_columnwise: Switch = Field(
        default=False, description="Learn one output scale per output instead of one per tile."
    )
    max_input_size: Count = Field(default=512, description="Most inputs of a tile; 0: no limit.")
    max_output_size: Count = Field(default=512, description="Most outputs of a tile; 0: no limit.")


class InputRangeParameter(StrictModel):
    """A static input range per tile: inputs are clipped to it and divided by it before the DAC.

    The range of a convolution is initialised, learned and calibrated on the maps that arrive, where each
    value counts once, and not on their patches, which repeat values and hold the zeros of the padding.
    """

    enable: Switch = Field(default=False, description="Whether tiles have an input range.")
    learn_input_range: Switch = Field(default=True, description="Learn the range while fine-tuning.")
    init_value: Positive = Field(
        default=3.0, description="The range before anything is learned, input units."
    )
    init_from_data: Count = Field(
        default=100, description="Number of first batches that set the range from the data."
    )
    init_std_alpha: Positive = Field(
        default=3.0, description="Range set from data, in standard deviations of the input."
    )
    decay: NonNegative = Field(default=0.001, description="Decay of the range per step (unit-free).")
    input_min_percentage: Fraction = Field(
        default=0.95, description="Decay only while more than this share of the inputs lies inside."
    )
    manage_output_clipping: Switch = Field(
        default=False, description="Let outputs that are clipped widen the range."
    )
    output_min_percentage: Fraction = Field(
        default=0.95, description="Share of outputs inside the bound that output clipping management keeps."
    )
    gradient_scale: Number = Field(default=1.0, description="Factor on the range's gradient (unit-free).")
    gradient_relative: Switch = Field(
        default=True, description="Multiply the range's gradient by the range itself."
    )
    calibration_info: None = Field(
        default=None, description="Filled in by the reference's calibration; always null here."
    )


class PrePostProcessingParameter(StrictModel):
    """Digital processing before and after a tile."""

    input_range: InputRangeParameter = Field(
        default_factory=InputRangeParameter, description="Static input range per tile."
    )
