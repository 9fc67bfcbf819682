"""What analyses are planned on: a job's specification, and its layers on tiles with their configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import Job, Model
from app.engine.specification import config_of, spec_of
from simulator.config import InferenceRPUConfig
from simulator.config.job import JobSpec
from simulator.config.tiling import weight_slots


@dataclass(frozen=True)
class Subject:
    """A job as its analyses see it.

    Attributes:
        spec: what it computes.
        config: its configuration, without overrides of layers.
        layers: the layers that lie on tiles, by name, as the model's report has them and in its order.
    """

    spec: JobSpec
    config: InferenceRPUConfig
    layers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, spec: JobSpec, config: InferenceRPUConfig, report: Mapping[str, Any]) -> Subject:
        """Return the subject of a job on the model of a report."""
        layers = {
            layer["name"]: layer
            for layer in report.get("layers", ())
            if layer["kind"] == "analog" and not spec.rules.is_digital(layer["name"])
        }
        return cls(spec, config, layers)

    @classmethod
    def read(cls, session: Session, job: Job) -> Subject:
        """Return the subject of a stored job."""
        model = session.get(Model, job.model_id)
        return cls.of(spec_of(job), config_of(job), {} if model is None else model.report)

    @cached_property
    def devices(self) -> Mapping[str, int]:
        """Devices that hold each layer's weights."""
        found: dict[str, int] = {}
        for name, layer in self.layers.items():
            config = self.configs[name]
            slots = [
                slot
                for shape in layer.get("matrices") or [layer["weight_shape"]]
                for slot in weight_slots(
                    shape, layer.get("groups", 1), has_bias=layer.get("bias", False), mapping=config.mapping
                )
            ]
            weights = sum(math.prod(slot.shape) for slot in slots)
            found[name] = weights * config.noise_model.devices_per_weight
        return found

    @cached_property
    def macs(self) -> Mapping[str, int]:
        """Multiply-accumulates of each layer for one sample; one position where its input size is open."""
        return {
            name: (layer.get("positions") or 1)
            * sum(math.prod(shape) for shape in layer.get("matrices") or [layer["weight_shape"]])
            for name, layer in self.layers.items()
        }

    @cached_property
    def configs(self) -> Mapping[str, InferenceRPUConfig]:
        """The configuration of every layer on tiles, by name."""
        return self.spec.rules.configs_for(self.layers, self.config)
