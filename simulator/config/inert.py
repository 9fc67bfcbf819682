"""Parts of the reference's configuration that only in-memory training or its runtime have."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simulator.config.base import Count, Number, Switch
from simulator.config.enums import PulseType, RPUDataType
from simulator.config.io import InertModel


class RuntimeParameter(InertModel):
    """How the reference's tiles run: here every tile computes in float32."""

    reason: ClassVar[str] = "tiles compute in 32-bit floats, without offloading"

    data_type: RPUDataType = Field(default=RPUDataType.FLOAT, description="Number format of the tile.")
    on_the_fly_bindings: Switch = Field(default=False, description="Rebuild the tile's bindings when called.")
    offload_input: Switch = Field(default=False, description="Keep inputs in host memory between passes.")
    offload_gradient: Switch = Field(default=False, description="Keep gradients in host memory.")


class UpdateParameters(InertModel):
    """The in-memory weight update, which inference does not have."""

    reason: ClassVar[str] = "there is no in-memory weight update; training updates weights digitally"

    desired_bl: Count = Field(default=31, description="Desired length of the pulse trains, in pulses.")
    fixed_bl: Switch = Field(default=True, description="Whether the pulse trains have a fixed length.")
    pulse_type: PulseType = Field(default=PulseType.NONE, description="Kind of pulse train.")
    res: Number = Field(default=0.0, description="Resolution of the update probabilities.")
    x_res_implicit: Number = Field(default=0.0, description="Resolution of the inputs in implicit pulsing.")
    d_res_implicit: Number = Field(default=0.0, description="Resolution of the errors in implicit pulsing.")
    d_sparsity: Switch = Field(default=False, description="Whether to record the sparsity of the errors.")
    sto_round: Switch = Field(default=False, description="Round update probabilities stochastically.")
    update_bl_management: Switch = Field(default=True, description="Adapt the pulse train length.")
    update_management: Switch = Field(default=True, description="Balance input and error probabilities.")
    um_grad_scale: Number = Field(default=1.0, description="Gradient scale of the update management.")


class IdealDevice(InertModel):
    """The pulsed device of in-memory training, which inference does not have."""

    reason: ClassVar[str] = "devices are described by the noise model, not by a pulsed device"

    construction_seed: Count = Field(default=0, description="Seed of the device's construction.")
    diffusion: Number = Field(default=0.0, description="Weight diffusion per update.")
    lifetime: Number = Field(default=0.0, description="Weight decay time in updates; 0: none.")
    reset_std: Number = Field(default=0.01, description="Spread of the weights after a reset.")
