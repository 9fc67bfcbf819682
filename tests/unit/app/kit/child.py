"""A command line that behaves as its file says, for the tests of inspections: `python -m <this> inspect FILE`."""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

behaviour = Path(sys.argv[2]).read_text()
if behaviour == "report":
    found = {
        "cwd": [path.name for path in Path().iterdir()],
        "environment": sorted(os.environ),
        "arguments": sys.argv[3:],
    }
    print(json.dumps(found))  # noqa: T201 - its way to answer
elif behaviour == "reject":
    fault = {
        "pointer": "/graph/node/3",
        "code": "unsupported_operator",
        "message": "no Foo",
        "hint": "drop it",
    }
    print(json.dumps({"error": {"code": "unsupported_operator", "message": "no Foo", "errors": [fault]}}))  # noqa: T201
    sys.exit(3)
elif behaviour == "too large":
    print(json.dumps({"error": {"code": "too_large", "message": "9 GB inside", "errors": []}}))  # noqa: T201
    sys.exit(3)
elif behaviour == "hang":
    time.sleep(600)
elif behaviour == "compute":
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass
elif behaviour == "be killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "crash":
    os.abort()
elif behaviour == "babble":
    print("no json")  # noqa: T201
else:
    raise RuntimeError("an ordinary failure")
