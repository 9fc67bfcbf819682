"""The handlers of work items, by kind: the twin of what `app.engine.kinds` plans."""

from __future__ import annotations

from collections.abc import Callable

from worker.items import baseline, calibrate, describe, evaluate, finetune, verify
from worker.runner.context import ItemContext

HANDLERS: dict[str, Callable[[ItemContext], None]] = {
    "verify": verify.handle,
    "calibrate": calibrate.handle,
    "finetune": finetune.handle,
    "baseline": baseline.handle,
    "evaluate": evaluate.handle,
    "describe": describe.handle,
}
