"""Makes the processes that have this folder on their path a later version: they expect another schema."""

import os

import app.db.schema

app.db.schema.REVISION = os.environ["DRIFTLINE_TEST_REVISION"]
