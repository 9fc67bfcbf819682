"""Datasets: built-in and uploaded. `loading` needs torch; the rest, which looks into files, does not."""
