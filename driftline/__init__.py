"""The Python client of Driftline: from a trained network to its accuracy on analog hardware, over time.

```python
from driftline import Driftline

job = Driftline().run(model="m.onnx", data="builtin:mnist10k", times=["1 s", "1 h", "1 month"])
job.plot()
```

Nothing is imported before it is asked for, so `import driftline` takes next to no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftline.aio import AsyncDriftline, AsyncJob
    from driftline.client import Driftline, Job
    from driftline.durations import seconds
    from driftline.errors import (
        ApiError,
        BadRequest,
        Conflict,
        DriftlineError,
        Fault,
        Forbidden,
        Gone,
        InvalidInput,
        InvalidRequest,
        JobFailed,
        MissingExtra,
        NotFound,
        PreconditionFailed,
        ServerError,
        ServiceUnavailable,
        ServiceUnreachable,
        StorageFull,
        TooLarge,
        TooManyRequests,
        Unauthorized,
        UnknownName,
        UnsupportedMediaType,
        WaitTimeout,
    )
    from driftline.resources.jobs import Event
    from driftline.resources.results import Comparison, Lifetime, Results, Summary
    from driftline.resources.uploads import Dataset, Model

_HOMES = {
    "driftline.client": ("Driftline", "Job"),
    "driftline.aio": ("AsyncDriftline", "AsyncJob"),
    "driftline.durations": ("seconds",),
    "driftline.errors": (
        "ApiError",
        "BadRequest",
        "Conflict",
        "DriftlineError",
        "Fault",
        "Forbidden",
        "Gone",
        "InvalidInput",
        "InvalidRequest",
        "JobFailed",
        "MissingExtra",
        "NotFound",
        "PreconditionFailed",
        "ServerError",
        "ServiceUnavailable",
        "ServiceUnreachable",
        "StorageFull",
        "TooLarge",
        "TooManyRequests",
        "Unauthorized",
        "UnknownName",
        "UnsupportedMediaType",
        "WaitTimeout",
    ),
    "driftline.resources.jobs": ("Event",),
    "driftline.resources.results": ("Comparison", "Lifetime", "Results", "Summary"),
    "driftline.resources.uploads": ("Dataset", "Model"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ApiError",
    "AsyncDriftline",
    "AsyncJob",
    "BadRequest",
    "Comparison",
    "Conflict",
    "Dataset",
    "Driftline",
    "DriftlineError",
    "Event",
    "Fault",
    "Forbidden",
    "Gone",
    "InvalidInput",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "Lifetime",
    "MissingExtra",
    "Model",
    "NotFound",
    "PreconditionFailed",
    "Results",
    "ServerError",
    "ServiceUnavailable",
    "ServiceUnreachable",
    "StorageFull",
    "Summary",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "UnknownName",
    "UnsupportedMediaType",
    "WaitTimeout",
    "seconds",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
