"""What a job can be asked besides its accuracy over time: the specification of each analysis. No torch."""

from __future__ import annotations

from simulator.config.analyses.advice import Advice
from simulator.config.analyses.base import AnalysisConfig, Setting, analysis_faults
from simulator.config.analyses.error_budget import ErrorBudget
from simulator.config.analyses.layer_sensitivity import LayerSensitivity
from simulator.config.analyses.maintenance_plan import MaintenancePlan

__all__ = [
    "Advice",
    "AnalysisConfig",
    "ErrorBudget",
    "LayerSensitivity",
    "MaintenancePlan",
    "Setting",
    "analysis_faults",
]
