"""Datasets: built-in and uploaded ones."""
