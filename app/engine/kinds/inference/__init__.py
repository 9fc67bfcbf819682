"""Accuracy over time of a network on analog chips, before and after fine-tuning."""
