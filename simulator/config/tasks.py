"""What a network is asked to do."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What a network is asked to do.

    CLASSIFICATION: logits `[N, C]` against classes `[N]`, or one logit `[N]` or `[N, 1]` of the second of two
    classes. MULTI_LABEL: logits `[N, L]` against zeros and ones.
    TOKEN_CLASSIFICATION and NEXT_TOKEN: `[N, P, C]`, or `[N, C, P]` with one or more dimensions of positions,
    against classes `[N, P]`. REGRESSION: values against values.
    """

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi_label"
    TOKEN_CLASSIFICATION = "token_classification"  # noqa: S105 - no password
    NEXT_TOKEN = "next_token"  # noqa: S105 - no password
    REGRESSION = "regression"

    @property
    def has_classes(self) -> bool:
        """Whether the targets are class indices."""
        return self in (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN)
