"""A job's parts as torch objects: data, imported model, analog and digital variants, device."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from app.db.blobs import BlobMissing
from app.engine import recording
from app.engine.keys import ItemKey, ItemKind
from app.engine.specification import config_of, spec_of, task_of
from simulator.config import CalibrationSpec, InferenceRPUConfig, LayerRules, Variant
from simulator.config.maintenance import Schedule
from simulator.config.training_config import training_config
from simulator.data.loading import Dataset, Split, load_dataset
from simulator.data.options import DatasetOptions, ImageLayout
from simulator.evaluate import Samples
from simulator.maintenance import Inputs, Upkeep
from simulator.nn import (
    analog_layers,
    convert_to_analog,
    convert_to_digital,
    load_trained_elsewhere,
    remap_for_programming,
)
from simulator.onnx.importer import ImportedModel, import_model
from simulator.tasks import targets_for
from worker.runner.context import InputGone, ItemContext, ItemFailedError

# Other items convert the same layers, and check them.
_CHECKED_ELSEWHERE = (ItemKind.EVALUATE, ItemKind.ANALYSE)


class JobModels:
    """The parts that an item works with; each is made when it is first used.

    Args:
        item: the work item.
        configure: what an analysis makes of each layer's configuration; None leaves them as they are.
        rules: which layers stay digital or have overrides, in place of the job's; None: the job's.
        config: the configuration in place of the job's; None: the job's.
    """

    def __init__(
        self,
        item: ItemContext,
        *,
        configure: Callable[[InferenceRPUConfig], InferenceRPUConfig] | None = None,
        rules: LayerRules | None = None,
        config: InferenceRPUConfig | None = None,
    ) -> None:
        self.item = item
        self.spec = spec_of(item.job)
        self.configure = configure
        self.rules = rules or self.spec.rules
        self.config = config or config_of(item.job)
        self.seed = item.job.seed
        self.task = task_of(item.job)
        self.evaluate = self.spec.evaluate

    @classmethod
    def for_training(cls, item: ItemContext) -> Self:
        """Return the parts of an item with the configuration of training."""
        return cls(item, config=training_config(config_of(item.job), spec_of(item.job).finetune))

    @cached_property
    def device(self) -> torch.device:
        """The device of the whole job: what was asked for, or what its first item found."""
        wanted: str = self.spec.device
        if wanted == "auto":
            found = "cuda" if torch.cuda.is_available() else "cpu"
            wanted = self.item.write(recording.pin_device, found=found)
        if wanted == "cuda" and not torch.cuda.is_available():
            raise ItemFailedError("device_unavailable", "this job runs on CUDA and this worker has none")
        return torch.device(wanted)

    @property
    def _dataset(self) -> Dataset:
        return self.item.runner.keep("dataset", self._load_dataset)

    def _load_dataset(self) -> Dataset:
        row = self.item.dataset_row
        if row is not None and not self.item.blobs.exists(row.blob_key):
            raise BlobMissing(row.blob_key)
        path = None if row is None else self.item.blobs.fetch(row.blob_key, sha256=row.sha256)
        return load_dataset(
            self.item.job.dataset_ref,
            path,
            file_format="npz" if row is None else row.format,
            options=None if row is None else _options(row.options),
            inputs=[one["name"] for one in self.item.model.report["inputs"]],
        )

    def first_inputs(self, count: int) -> tuple[torch.Tensor, ...]:
        """Return the inputs of the first training samples, on the CPU."""
        return tuple(tensor[:count] for tensor in self._dataset.train.inputs)

    def _samples(self, part: Split) -> Samples:
        return Samples(part.inputs, self._targets(part.targets)).to(self.device)

    def _targets(self, targets: torch.Tensor) -> torch.Tensor:
        return targets_for(self.task, targets, one_hot=self._dataset.kind == "one_hot")

    @cached_property
    def train(self) -> Samples:
        """The training set."""
        return self._samples(self._dataset.train)

    @cached_property
    def test(self) -> Samples:
        """The test set, or the part of it that the job asks for."""
        return self._samples(self._dataset.test).first(self.evaluate.max_samples)

    @cached_property
    def imported(self) -> ImportedModel:
        """The user's model; the module is the item's own, which may train it or load weights into it."""
        kept = self.item.runner.keep("model", self._import_model)
        return replace(kept, module=copy.deepcopy(kept.module))

    def _import_model(self) -> ImportedModel:
        outputs = [output["name"] for output in self.item.model.report["outputs"]]
        return import_model(self.item.blobs.read(self.item.model.blob_key), outputs=outputs)

    @cached_property
    def network(self) -> nn.Module:
        """The user's model as the job trains and scores it: with logits in the place of probabilities."""
        return self.imported.for_task(self.task)

    def digital(self, variant: Variant) -> nn.Module:
        """Return the model of a variant in floating point: as uploaded, or as fine-tuned."""
        if variant is Variant.HWA:
            return convert_to_digital(self.analog(variant)).to(self.device).eval()
        module = self.network
        if variant is Variant.CONTROL:
            self._load(module, ItemKey(ItemKind.FINETUNE, variant))
        return module.to(self.device).eval()

    def analog(self, variant: Variant) -> nn.Module:
        """Return the model of a variant with its layers on tiles, not programmed yet."""
        if variant is Variant.CONTROL:
            return self.convert(self.digital(variant)).eval()
        analog = self.convert(self.network)
        if variant is Variant.HWA:
            self._load_trained(analog)
        return analog.eval()

    def _load_trained(self, analog: nn.Module) -> None:
        """Give an analog model what was trained under noise, mapped as for programming."""
        key = ItemKey(ItemKind.FINETUNE, Variant.HWA)
        if self.spec.finetune is None or self.spec.finetune.rpu_config is None:
            self._load(analog, key)
        else:
            training = JobModels.for_training(self.item)
            trained = training.convert(training.network)
            training._load(trained, key)  # noqa: SLF001 - of the same class
            remap_for_programming(trained)
            load_trained_elsewhere(analog, trained)
        remap_for_programming(analog)

    def ready(self, variant: Variant) -> nn.Module:
        """Return the analog model of a variant with its final input ranges."""
        analog = self.analog(variant)
        if self.item.read(recording.has_item, self.item.job.id, str(ItemKey(ItemKind.CALIBRATE, variant))):
            self._load(analog, ItemKey(ItemKind.CALIBRATE, variant))
        return analog

    def calibrated(self, model: nn.Module) -> nn.Module:
        """Calibrate the model's input ranges, if it has any, on the first training batches; return it."""
        if any(layer.rpu_config.pre_post.input_range.enable for _, layer in analog_layers(model)):
            method = self.spec.calibration or CalibrationSpec()
            self._calibrate(model, self.train.first(self.evaluate.batch_size * method.batches).inputs)
        return model

    def upkeep(self, schedule: Schedule | None) -> Upkeep | None:
        """Return what a schedule does to chips in service; None where there is none."""
        if schedule is None:
            return None
        return Upkeep(
            schedule,
            inputs=lambda: self.train.inputs,
            calibrate=self._calibrate,
            batch_size=self.evaluate.batch_size,
            check_stop=self.item.check_stop,
        )

    def _calibrate(self, model: nn.Module, inputs: Inputs) -> None:
        from simulator.nn import calibrate_input_ranges

        method, size = self.spec.calibration or CalibrationSpec(), self.evaluate.batch_size
        try:
            calibrate_input_ranges(
                model,
                self._stoppable(zip(*(one.split(size) for one in inputs), strict=True)),
                method=method.method,
                quantile=method.quantile,
                std_alpha=method.std_alpha,
                seed=self.seed,
            )
        except ValueError as error:
            message = f"the input ranges could not be calibrated: {error}"
            raise ItemFailedError("calibration_failed", message) from error

    def _stoppable(self, batches: Iterable[tuple[torch.Tensor, ...]]) -> Iterator[tuple[torch.Tensor, ...]]:
        for batch in batches:
            self.item.check_stop()
            yield batch

    def convert(self, module: nn.Module) -> nn.Module:
        """Return the module with its layers on tiles, by the job's configuration."""
        return convert_to_analog(
            module,
            self.config,
            digital=self.rules.digital,
            overrides=self.rules.overrides,
            seed=self.seed,
            check=self.item.lease.kind not in _CHECKED_ELSEWHERE,
            channels_last=True,
            configure=self.configure,
        ).to(self.device)

    def _load(self, model: nn.Module, key: ItemKey) -> None:
        model.load_state_dict(self.checkpoint(key))

    def checkpoint(self, key: ItemKey) -> dict[str, torch.Tensor]:
        """Return the parameters and buffers that an item of the job ended with.

        Raises:
            InputGone: the storage has them no more.
        """
        where = self.item.read(recording.checkpoint_of, self.item.job.id, str(key))
        if where is None:
            raise InputGone(str(key))
        try:
            stored = self.item.blobs.read(where["blob_key"])
        except BlobMissing:
            raise InputGone(str(key)) from None
        state = torch.load(io.BytesIO(stored), weights_only=True)
        model: dict[str, torch.Tensor] = state["model"]
        return model


def _options(said: dict[str, Any]) -> DatasetOptions:
    """Return a stored dataset's options."""
    return DatasetOptions(
        test_fraction=said.get("test_fraction"),
        seed=said.get("seed"),
        mean=tuple(said["mean"]) if "mean" in said else None,
        std=tuple(said["std"]) if "std" in said else None,
        layout=ImageLayout(said.get("layout", ImageLayout.CHANNELS_FIRST)),
    )


def checkpoint_of(model: nn.Module) -> bytes:
    """Return a model's parameters and buffers as a file that `JobModels.checkpoint` reads."""
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict()}, buffer)
    return buffer.getvalue()
