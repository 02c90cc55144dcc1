"""A gate for the nowcasts of real workers: Python imports this file at startup, where its folder is on PYTHONPATH.

After each lead step a nowcast waits as long as the file that `TEST_GATE` names exists. So a test can kill, stop or
dismiss a nowcast that is running, however fast the machine is. While it waits it reports progress, as a nowcast of a
large domain does, and so notices that it was dismissed.

Where the file holds a number, each lead step only lasts so many seconds longer. A nowcast of frames with
`TEST_POISON_ROWS` rows kills its process.
"""

import os
import signal
import sys
import time
from pathlib import Path

if any("spawn_main" in word for word in sys.orig_argv):  # only a worker's process that runs jobs
    from model.runtime.predictor import BasePredictor

    gate, forecast = Path(os.environ["TEST_GATE"]), BasePredictor.forecast
    poison_rows = int(os.environ.get("TEST_POISON_ROWS", "0"))

    def gated(predictor, requests):
        if any(request.sequence.grid.shape[0] == poison_rows for request in requests):
            os.kill(os.getpid(), signal.SIGKILL)
        for event in forecast(predictor, requests):
            yield event
            seconds = gate.read_text() if gate.exists() else ""
            if seconds:
                time.sleep(float(seconds))
                continue
            while gate.exists() and not event.request.cancellation.cancelled:
                time.sleep(0.02)
                yield event._replace(step=0, frame=None)

    BasePredictor.forecast = gated
