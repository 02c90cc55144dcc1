"""The online setting of HKO-7: what is learnt from, and when; and that a package on torch learns."""

import numpy as np
import pytest

from model.core.manifest import package_digest
from model.runtime.baselines import Persistence
from model.verify.protocol import HKO7_ONLINE, verify

pytest.importorskip("torch")

SHAPE = (20, 30)


class Pupil(Persistence):
    """Persistence that notes what it is given to learn from, and which frame it forecasts from: pixels are numbers."""

    info = Persistence.info.model_copy(update={"name": "pupil"})

    def __init__(self):
        self.told = []

    def frames(self, sequence, steps):
        self.told.append(("forecast", number_of(sequence.rain_rate[-1])))
        return super().frames(sequence, steps)

    def learn(self, context, future, step_minutes):
        self.told.append(("learn", number_of(context[0]), number_of(future[-1]), len(context), len(future)))


def number_of(rain):
    from model.core.normalisation import hko7_fraction

    return round(float(hko7_fraction(rain)[0, 0] * 255)) - 100


def test_a_clip_is_learnt_once_all_its_frames_have_been_seen(pixel_archive):
    frames = [frame for frame in range(115) if not 60 <= frame < 63]
    archive = pixel_archive({6 * frame: np.full(SHAPE, 100 + frame) for frame in frames})
    pupil = Pupil()
    verify(archive, [pupil], HKO7_ONLINE)
    # Clips begin at 0, 5, .. 35 (35-59 is whole), then, after the three missing frames, at 63, 68, ..
    starts = [told[1] for told in pupil.told if told[0] == "forecast"]
    assert starts == [4, 9, 14, 19, 24, 29, 34, 39, 67, 72, 77, 82, 87, 92]
    # Before the sixth forecast (of 29) frames 0-24 have been seen; then the next; not across the gap.
    assert pupil.told[4:8] == [
        ("forecast", 24),
        ("learn", 0, 24, 5, 20),
        ("forecast", 29),
        ("learn", 5, 29, 5, 20),
    ]
    lessons = [told[1:3] for told in pupil.told if told[0] == "learn"]
    assert lessons == [(0, 24), (5, 29), (10, 34), (15, 39), (63, 87)]


@pytest.fixture(params=["eulerian", "lagrangian"])
def package(request, package_of):
    return package_of("ms-predrnn in MS-RNN", frame_of_reference=request.param)


def test_a_package_on_torch_forecasts_as_its_graph_does_and_learns(package):
    from model.data.synthetic_storms import synthesise
    from model.runtime.nowcast import nowcast
    from model.runtime.onnx_predictor import OnnxPredictor
    from model.verify.rolling import Rolling

    digest = package_digest(package.folder)
    storms = synthesise(frames=9, shape=(62, 70), step_minutes=6.0, seed=4, no_data_sectors=1)
    predictor = OnnxPredictor(package)
    rolling = Rolling(predictor)
    before = nowcast(storms.last(5), rolling, 2).rain_rate
    assert before == pytest.approx(nowcast(storms.last(5), predictor, 2).rain_rate, rel=1e-2, abs=1e-2, nan_ok=True)
    losses = [rolling.learn(storms.rain_rate[:5], storms.rain_rate[5:], 6.0) for _ in range(3)]
    assert losses[-1] < losses[0]
    after = nowcast(storms.last(5), rolling, 2).rain_rate
    assert np.nanmax(np.abs(after - before)) > 0
    assert package_digest(package.folder) == digest
