"""The analog forward pass: one matrix-vector product with its DAC, ADC and imperfections."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from simulator.config.base import (
    Bound,
    NonNegative,
    Number,
    PositiveCount,
    StrictModel,
    Switch,
    custom_error,
)
from simulator.config.enums import AnalogMVType, BoundManagementType, NoiseManagementType, WeightNoiseType

_REFUSED_VALUES = {
    AnalogMVType.SPLIT_MODE: (
        "SplitMode is not simulated: of the reference's tiles only that with time-dependent IR drop "
        "(TorchInferenceRPUConfigIRDropT) has it; use OnePass or PosNegSeparate"
    ),
    AnalogMVType.BIT_WISE: (
        "BitWise is not simulated: of the reference's tiles only that with time-dependent IR drop "
        "(TorchInferenceRPUConfigIRDropT) has it; use OnePass or PosNegSeparate"
    ),
    BoundManagementType.SHIFT: "Shift exists in the reference by name only; use Iterative or None",
}


class IOParameters(StrictModel):
    """One analog matrix-vector product, in units of the normalised weight (|w| = 1 is g_max) and input.

    A resolution is a step relative to the full range (0 < res <= 1) or a number of steps (res > 1);
    <= 0 switches the rounding off. Source: Rasch et al., AICAS 2021.
    """

    is_perfect: Switch = Field(default=False, description="Compute a plain product: no noise, DAC or ADC.")
    mv_type: AnalogMVType = Field(
        default=AnalogMVType.ONE_PASS, description="Passes through the crossbar per matrix-vector product."
    )
    inp_bound: Bound = Field(
        default=1.0,
        description='DAC range: inputs are clipped to +-inp_bound; "inf" or <= 0: no clipping, no rounding.',
    )
    inp_noise: NonNegative = Field(
        default=0.0, description="Standard deviation of the additive noise on DAC outputs, in input units."
    )
    inp_res: Number = Field(
        default=1 / 126, description="DAC resolution: step relative to 2 * inp_bound, or number of steps."
    )
    inp_sto_round: Switch = Field(default=False, description="Round stochastically in the DAC.")
    inp_asymmetry: Number = Field(
        default=0.0, description="Negative DAC outputs are multiplied by 1 - inp_asymmetry (unit-free)."
    )
    out_bound: Bound = Field(
        default=12.0,
        description='ADC range: outputs are clipped to +-out_bound; "inf" or <= 0: no clipping, no rounding.',
    )
    out_noise: NonNegative = Field(
        default=0.06, description="Standard deviation of the additive noise before the ADC, in output units."
    )
    out_noise_std: NonNegative = Field(
        default=0.0,
        description="Relative spread of out_noise over the outputs of a tile, fixed per chip instance.",
    )
    out_res: Number = Field(
        default=1 / 510, description="ADC resolution: step relative to 2 * out_bound, or number of steps."
    )
    out_sto_round: Switch = Field(default=False, description="Round stochastically in the ADC.")
    out_scale: Number = Field(default=1.0, description="Digital factor on the ADC's output (unit-free).")
    out_asymmetry: Number = Field(
        default=0.0, description="Negative outputs are multiplied by 1 - out_asymmetry before the ADC."
    )
    bound_management: BoundManagementType = Field(
        default=BoundManagementType.ITERATIVE,
        description="Whether and how input vectors whose output hits the ADC's bound are computed anew.",
    )
    noise_management: NoiseManagementType = Field(
        default=NoiseManagementType.ABS_MAX,
        description="How the scale of every input vector before the DAC is found.",
    )
    w_noise: NonNegative = Field(
        default=0.0,
        description="Weight read noise relative to |w| = 1, referred to the output; see w_noise_type.",
    )
    w_noise_type: WeightNoiseType = Field(
        default=WeightNoiseType.NONE, description="Dependence of the weight read noise on the weight."
    )
    ir_drop: NonNegative = Field(
        default=0.0, description="Scale of the IR drop along the bit lines; 0: none."
    )
    ir_drop_g_ratio: Number = Field(
        default=1 / 0.35 / 5e-6,
        gt=0,
        description="Conductance of the wire between two neighbouring cells over g_max (unit-free).",
    )
    out_nonlinearity: Number = Field(
        default=0.0,
        description=(
            "Saturation of the ADC: y / (1 + |out_nonlinearity / out_bound * y|), with 1 in the place of an "
            "out_bound that is off; negative: none."
        ),
    )
    out_nonlinearity_std: NonNegative = Field(
        default=0.0, description="Relative spread of out_nonlinearity over outputs, fixed per chip instance."
    )
    slope_calibration: Number = Field(
        default=0.0,
        description=(
            "Share of the saturation at out_bound (1 where it is off) that the calibrated slope makes good."
        ),
    )
    v_offset_std: NonNegative = Field(
        default=0.0, description="Spread of the voltage offsets relative to the read voltage, per output."
    )
    v_offset_w_min: Number = Field(
        default=-1.0,
        description="Weight (normalised) of the reference cells that carry the offset's current.",
    )
    r_series: NonNegative = Field(
        default=0.0, description="Series resistance in units of one over the current of |w| = 1 at x = 1."
    )
    w_read_asymmetry_dtod: NonNegative = Field(
        default=0.0,
        description="Device spread of the read asymmetry for negative inputs (PosNegSeparate only).",
    )
    max_bm_factor: PositiveCount = Field(
        default=1000, description="Bound management stops after a down-scaling beyond this factor."
    )
    max_bm_res: Number = Field(
        default=0.25,
        gt=0,
        description="Bound management stops after a down-scaling beyond max_bm_res / DAC step.",
    )
    bm_test_negative_bound: Switch = Field(
        default=True, description="Whether negative hits of the bound count for bound management."
    )
    nm_thres: Number = Field(
        default=0.0,
        description="Cap of the AbsMax and Max scale, or the Constant scale, in input units; <= 0: none.",
    )
    nm_assumed_wmax: Number = Field(
        default=0.6,
        gt=0,
        description=(
            "Largest weight assumed by AbsMaxNPSum (normalised weight units), beside out_bound, or beside 1 "
            "where that is off."
        ),
    )
    nm_decay: Number = Field(
        default=0.001, gt=0, le=1, description="Decay per batch of AverageAbsMax's running mean (unit-free)."
    )

    @field_validator("mv_type", "bound_management")
    @classmethod
    def _refuse_what_is_not_simulated(
        cls, value: AnalogMVType | BoundManagementType
    ) -> AnalogMVType | BoundManagementType:
        if value in _REFUSED_VALUES:
            raise custom_error("not_for_inference", _REFUSED_VALUES[value])
        return value


class InertModel(StrictModel):
    """Fields that mean nothing for inference: present with their defaults, refused with other values."""

    reason: ClassVar[str] = "it has no meaning for inference"

    @field_validator("*")
    @classmethod
    def _only_the_default(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[info.field_name or ""].get_default()
        if value != default:
            shown = default.value if hasattr(default, "value") else default
            raise custom_error("not_for_inference", f"only {shown!r} is accepted: {cls.reason}")
        return value


class BackwardIOParameters(IOParameters, InertModel):
    """The analog backward pass, which inference does not have: accepted with its defaults."""

    reason: ClassVar[str] = "there is no analog backward pass; training computes gradients digitally"

    is_perfect: Switch = Field(default=True, description="The backward pass is a plain product.")

    @model_validator(mode="before")
    @classmethod
    def _from_io_parameters(cls, data: Any) -> Any:
        if isinstance(data, IOParameters) and not isinstance(data, BackwardIOParameters):
            return data.model_dump()
        return data
