"""The handlers of work items, by kind: the twin of what `app.engine.kinds` plans."""

from __future__ import annotations

from collections.abc import Callable

from app.engine.keys import ItemKind
from worker.items import analyse, baseline, calibrate, describe, evaluate, finetune, verify
from worker.runner.context import ItemContext

HANDLERS: dict[str, Callable[[ItemContext], None]] = {
    ItemKind.VERIFY: verify.handle,
    ItemKind.CALIBRATE: calibrate.handle,
    ItemKind.FINETUNE: finetune.handle,
    ItemKind.BASELINE: baseline.handle,
    ItemKind.EVALUATE: evaluate.handle,
    ItemKind.DESCRIBE: describe.handle,
    ItemKind.ANALYSE: analyse.handle,
}
