"""Hardware profiles and costs as clients read them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from simulator.config.tasks import Metric

Group = Literal["analog", "digital", "static"]


class BandView(BaseModel):
    """An estimate with its band."""

    low: float = Field(description="The nominal value over the uncertainty factors of the prices.")
    nominal: float = Field(description="The best guess.")
    high: float = Field(description="The nominal value times the uncertainty factors of the prices.")


class MaintenanceView(BaseModel):
    """What is done to a chip now and then."""

    do: str = Field(
        description="`compensate`: read out all weights; `calibrate_input_ranges` and `refresh_batch_norm`: "
        "512 inferences; `reprogram`: write all devices."
    )
    energy_j: BandView = Field(description="Energy of doing it once, in J.")


class CostLayerView(BaseModel):
    """What a layer, or all nodes of one digital operator, costs in one inference."""

    name: str = Field(description="Name of the layer, or of the operator.")
    op: str = Field(description="Operation of the layer.")
    kind: Literal["analog", "digital"] = Field(description="Whether it lies on tiles.")
    nodes: int = Field(description="Nodes of the file that it stands for.")
    products: int = Field(description="Matrix-vector products of an inference; 0 of a digital layer.")
    tiles: int = Field(description="Arrays that hold its weights.")
    tile_operations: int = Field(description="Products times arrays.")
    utilisation: float | None = Field(
        description="Share of its arrays' weights that it uses; null of a digital layer."
    )
    macs: int = Field(description="Multiply-accumulates of an inference.")
    energy_j: BandView = Field(description="Energy of the layer, in J.")
    latency_s: BandView = Field(description="Time of the layer, in s.")
    components: dict[str, BandView] = Field(description="Energy by component, in J.")


class CostWarning(BaseModel):
    """Something about the profile and the tiles that is worth knowing."""

    pointer: str = Field(description="JSON pointer into the body, or into the job.")
    code: str = Field(description="What is odd, as a word that stays the same.")
    message: str = Field(description="What is odd, and what to do, in words.")


class CostView(BaseModel):
    """What one inference costs: estimates, each with its band.

    Sums over layers and over components agree. Two costs whose bands overlap have no order.
    """

    job: str | None = Field(default=None, description="Id of the job; null of a cost without one.")
    profile: str = Field(description="Name of the hardware profile.")
    energy_j: BandView = Field(description="Energy of an inference, in J.")
    analog_j: BandView = Field(description="Of it, that of analog components, in J.")
    digital_j: BandView = Field(description="Of it, that of digital components, in J.")
    static_j: BandView = Field(description="Of it, what flows whether anything is computed or not, in J.")
    latency_s: BandView = Field(description="Time of an inference, in s.")
    interval_s: BandView = Field(
        description="Time between inferences, in s: the latency, or that of the slowest layer in a pipeline."
    )
    area_mm2: BandView | None = Field(
        description="Area of the arrays in use and what belongs to them; null where the profile has none."
    )
    area_components: dict[str, BandView] = Field(description="Area by component, in mm2.")
    tops: BandView = Field(description="Operations a second in 1e12; a multiply-accumulate is two.")
    tops_per_w: BandView = Field(description="Operations a joule in 1e12.")
    energy_delay_js: BandView = Field(description="Energy times latency, in J s.")
    macs: int = Field(description="Multiply-accumulates of an inference, analog and digital.")
    tiles: int = Field(description="Arrays that hold the weights, without copies.")
    tile_operations: int = Field(description="Products of arrays in an inference.")
    utilisation: float | None = Field(
        description="Share of the arrays' weights that are in use; null without any."
    )
    maintenance: list[MaintenanceView] = Field(
        description="What is done to a chip now and then; it is not in `energy_j`."
    )
    components: dict[str, BandView] = Field(description="Energy by component, in J.")
    groups: dict[str, Group] = Field(
        description="Whether a component is analog, digital, or flows always (static)."
    )
    layers: list[CostLayerView] = Field(description="Layers on tiles, then what is computed in digital.")
    assumptions: list[str] = Field(description="What was assumed, and what is not counted.")
    sources: list[str] = Field(description="Where the prices in use were published.")
    warnings: list[CostWarning] = Field(description="What is probably not intended.")


class PeakView(BaseModel):
    """What a chip does at best: every array full, nothing around the arrays."""

    input_bits: int = Field(description="Bits of the inputs.")
    output_bits: int = Field(description="Bits of the outputs.")
    energy_per_product_j: BandView = Field(description="Energy of one product of an array, in J.")
    time_per_product_s: BandView = Field(description="Time of one product of an array, in s.")
    tops: BandView = Field(description="Operations a second of all arrays, in 1e12.")
    tops_per_w: BandView = Field(description="Operations a joule, in 1e12.")
    tops_per_mm2: BandView | None = Field(
        description="Operations a second and mm2, in 1e12; null where the profile has no areas."
    )


class ProfileView(BaseModel):
    """A hardware profile that ships."""

    name: str = Field(description="Name of the profile, as jobs use it.")
    description: str = Field(description="Chip that the profile follows.")
    node_nm: float = Field(description="Technology, in nm.")
    peak: PeakView = Field(description="What the chip does at best, at its default bits.")
    sources: list[str] = Field(description="Where its prices were published.")
    effective: dict[str, Any] = Field(description="The profile with every field.")


class ProfileList(BaseModel):
    """The profiles that ship."""

    items: list[ProfileView] = Field(description="The profiles.")


class CheckedProfile(BaseModel):
    """A profile that can be used, as the service understands it."""

    effective: dict[str, Any] = Field(description="The profile with every default filled in.")
    peak: PeakView | None = Field(
        description="What the chip does at best, at its default bits; null where these have no price."
    )


class TaggedCost(BaseModel):
    """A job by what an inference costs and by how well it does."""

    job: str = Field(description="Id of the job.")
    name: str = Field(description="Name of the job, for people.")
    profile: str = Field(description="Name of the hardware profile.")
    energy_j: BandView = Field(description="Energy of an inference, in J.")
    latency_s: BandView = Field(description="Time of an inference, in s.")
    area_mm2: BandView | None = Field(description="Area, in mm2; null where the profile has none.")
    variant: str = Field(description="Which network: `hwa` if the job has it, else `direct`, else `control`.")
    t_inference: float = Field(description="Seconds after programming: the last evaluated time.")
    repeats: int = Field(description="Chips that were evaluated.")
    mean: float = Field(description="Mean of the metric over chips.")
    ci95: tuple[float, float] | None = Field(
        description="Student's t interval of the mean over chips; null for one chip."
    )
    overlaps: list[str] = Field(
        description="Jobs of the list whose energy may be equal, since the bands overlap: they have no order."
    )


class TaggedCosts(BaseModel):
    """The jobs of a tag by cost and accuracy, newest first."""

    tag: str = Field(description="Tag of the jobs.")
    metric: Metric | None = Field(description="What the jobs are judged by; null where none is listed.")
    left_out: int = Field(
        description="Jobs that were looked at and are not listed: without hardware, without a result, or "
        "with another metric than the newest."
    )
    items: list[TaggedCost] = Field(description="The jobs.")
