"""Times after programming, as jobs ask for them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from simulator.config.base import Number

MAX_T_INFERENCE_S: Final = 1e12  # 30,000 years
TimeAfterProgramming = Annotated[Number, Field(ge=0, le=MAX_T_INFERENCE_S)]
