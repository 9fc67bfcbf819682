"""What is said of a dataset besides its file: the split, and how the input `x` is prepared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simulator.data.errors import DatasetRejectedError
from simulator.data.layout import Layout, Part
from simulator.intake import Fault

DEFAULT_TEST_FRACTION = 0.2


class ImageLayout(StrEnum):
    """Where the channels of images are."""

    CHANNELS_FIRST = "nchw"
    CHANNELS_LAST = "nhwc"


@dataclass(frozen=True)
class DatasetOptions:
    """How a file becomes a dataset.

    Attributes:
        test_fraction: share of the samples for testing, where the file has no test set.
        seed: of that split.
        mean: subtracted from the input `x`, one number or one per channel, after bytes became 0 to 1.
        std: what it is divided by then.
        layout: of the images in the file; a network gets channels first.
    """

    test_fraction: float | None = None
    seed: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: ImageLayout = ImageLayout.CHANNELS_FIRST

    def faults(self, layout: Layout) -> list[Fault]:
        """Return what does not fit the file."""
        found = []
        fraction = self.test_fraction
        if fraction is not None and not 0 < fraction < 1:
            message = f"test_fraction is {fraction:g}; it has to be more than 0 and less than 1"
            found.append(Fault("bad_test_fraction", message))
        if fraction is not None and layout.test is not None:
            message, hint = (
                "the file has a test set of its own",
                "leave out test_fraction, or give x and y alone",
            )
            found.append(Fault("test_fraction_ignored", message, hint))
        x = layout.train.inputs["x"]
        if self.layout is ImageLayout.CHANNELS_LAST and x.ndim != 4:
            message = f"layout nhwc is for images [samples, height, width, channels]; x is {list(x.shape)}"
            found.append(Fault("bad_preprocessing", message, "leave out layout"))
            return found
        channels = self.arranged(layout.train).inputs["x"].shape[1] if x.ndim > 1 else 1
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, channels):
                message = f"{name} has {len(values)} numbers; x has {channels} channels"
                found.append(Fault("bad_preprocessing", message, "give one number, or one per channel"))
            if values is not None and not all(math.isfinite(value) for value in values):
                found.append(Fault("bad_preprocessing", f"{name} has a number that is not finite"))
        if self.std is not None and not all(value > 0 for value in self.std):
            found.append(Fault("bad_preprocessing", "std has a number that is not positive"))
        if (self.mean or self.std) and x.dtype.kind in "iu" and x.dtype != np.uint8:
            message = f"mean and std are for real values and bytes; x is {x.dtype}, read as whole numbers"
            found.append(Fault("bad_preprocessing", message, "store x as float32 or uint8"))
        return found

    def check(self, layout: Layout) -> None:
        """Make sure that the options fit the file.

        Raises:
            DatasetRejectedError: they do not; every fault is listed.
        """
        faults = self.faults(layout)
        if faults:
            raise DatasetRejectedError(faults)

    def arranged(self, part: Part) -> Part:
        """Return the samples with channels first."""
        if self.layout is ImageLayout.CHANNELS_FIRST:
            return part
        return Part({**part.inputs, "x": part.inputs["x"].transpose(0, 3, 1, 2)}, part.targets)
