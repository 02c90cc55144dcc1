"""The online setting of HKO-7: which clip is used for fine-tuning, and when; and that the loss falls."""

import numpy as np
import pytest

from model.core.package_digest import package_digest
from model.runtime.baselines import Persistence
from model.verify.protocols import HKO7_ONLINE
from model.verify.run import verify

pytest.importorskip("torch")

SHAPE = (20, 30)


class RecordingPersistence(Persistence):
    """Persistence that records the frames of each call; the pixels of a frame are its number."""

    info = Persistence.info.model_copy(update={"name": "recording"})

    def __init__(self):
        self.calls = []

    def frames(self, sequence, steps):
        self.calls.append(("forecast", number_of(sequence.rain_rate[-1])))
        return super().frames(sequence, steps)

    def fine_tune(self, context, future, step_minutes):
        self.calls.append(("fine_tune", number_of(context[0]), number_of(future[-1]), len(context), len(future)))


def number_of(rain):
    from model.core.normalisation import hko7_fraction

    return round(float(hko7_fraction(rain)[0, 0] * 255)) - 100


def test_a_clip_is_used_for_fine_tuning_once_all_its_frames_have_been_observed(pixel_archive):
    frames = [frame for frame in range(115) if not 60 <= frame < 63]
    archive = pixel_archive({6 * frame: np.full(SHAPE, 100 + frame) for frame in frames})
    model = RecordingPersistence()
    verify(archive, [model], HKO7_ONLINE)
    # Clips start at 0, 5, .. 35 (35-59 is complete) and, after the three missing frames, at 63, 68, ..
    starts = [call[1] for call in model.calls if call[0] == "forecast"]
    assert starts == [4, 9, 14, 19, 24, 29, 34, 39, 67, 72, 77, 82, 87, 92]
    # Before the sixth forecast (from 29), frames 0-24 have been observed; a clip never crosses the gap.
    assert model.calls[4:8] == [
        ("forecast", 24),
        ("fine_tune", 0, 24, 5, 20),
        ("forecast", 29),
        ("fine_tune", 5, 29, 5, 20),
    ]
    clips = [call[1:3] for call in model.calls if call[0] == "fine_tune"]
    assert clips == [(0, 24), (5, 29), (10, 34), (15, 39), (63, 87)]


@pytest.fixture(params=["eulerian", "lagrangian"])
def package(request, package_of):
    return package_of("ms-predrnn in MS-RNN", frame_of_reference=request.param)


def test_a_fine_tuned_package_first_forecasts_as_its_graph_does_and_then_its_loss_falls(package):
    from model.data.synthetic_storms import synthesise
    from model.runtime.nowcast import nowcast
    from model.runtime.onnx_predictor import OnnxPredictor
    from model.verify.online_fine_tuning import FineTunedPredictor

    digest = package_digest(package.folder)
    storms = synthesise(frames=9, shape=(62, 70), step_minutes=6.0, seed=4, no_data_sectors=1)
    predictor = OnnxPredictor(package)
    tuned = FineTunedPredictor(predictor)
    before = nowcast(storms.last(5), tuned, 2).rain_rate
    assert before == pytest.approx(nowcast(storms.last(5), predictor, 2).rain_rate, rel=1e-2, abs=1e-2, nan_ok=True)
    losses = [tuned.fine_tune(storms.rain_rate[:5], storms.rain_rate[5:], 6.0) for _ in range(3)]
    assert losses[-1] < losses[0]
    after = nowcast(storms.last(5), tuned, 2).rain_rate
    assert np.nanmax(np.abs(after - before)) > 0
    assert package_digest(package.folder) == digest
