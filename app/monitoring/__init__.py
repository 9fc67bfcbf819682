"""What operators see of the service: its log, its metrics, its traces. API and workers share it; no HTTP."""
