"""A gate for the nowcasts of real workers: Python imports this file as it starts, where its folder is on PYTHONPATH.

After each lead step a nowcast waits for as long as there is the file that `TEST_GATE` names. So a test can kill, stop
or dismiss a nowcast that is under way, however fast the machine is. While it waits it reports that it is still at work,
as a nowcast of a large domain does, and so hears that it was dismissed.
"""

import os
import sys
import time
from pathlib import Path

if any("spawn_main" in word for word in sys.orig_argv):  # a worker's process that runs jobs; all others are left alone
    from model.runtime.together import Together

    gate, answers = Path(os.environ["TEST_GATE"]), Together.__iter__

    def gated(together):
        for answer in answers(together):
            yield answer
            while gate.exists():
                time.sleep(0.02)
                yield answer._replace(frame=None)

    Together.__iter__ = gated
