"""A gate for the nowcasts of real workers: Python imports this file at startup, where its folder is on PYTHONPATH.

After each lead step a nowcast waits as long as the file that `TEST_GATE` names exists. So a test can kill, stop or
dismiss a nowcast that is running, however fast the machine is. While it waits it reports progress, as a nowcast of a
large domain does, and so notices that it was dismissed.
"""

import os
import sys
import time
from pathlib import Path

if any("spawn_main" in word for word in sys.orig_argv):  # only a worker's process that runs jobs
    from model.runtime.predictor import BasePredictor

    gate, forecast = Path(os.environ["TEST_GATE"]), BasePredictor.forecast

    def gated(predictor, requests):
        for event in forecast(predictor, requests):
            yield event
            while gate.exists() and not event.request.cancellation.cancelled:
                time.sleep(0.02)
                yield event._replace(step=0, frame=None)

    BasePredictor.forecast = gated
