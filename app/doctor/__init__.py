"""Looks at a deployment and says what is wrong with it and what to do: `python -m app.doctor`."""
