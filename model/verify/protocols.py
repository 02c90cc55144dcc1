"""The verification protocols as data: which cases are forecast, which pixels count, and what an event is.

A score belongs to its protocol: a table never mixes two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from model.core.errors import InputError
from model.data.archive import Archive
from model.metrics import ceil_to_float32
from model.verify.accumulators import Accumulators
from model.verify.cases import CaseSelection, Clips, RegularStarts
from model.verify.masking import CommonMasking, HKO7Masking, Masking, MSRNNMasking


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named, versioned way to score forecasts.

    Attributes
    ----------
    name : str
        NAME@VERSION; a change to the meaning of a score is a new version.
    description : str
        The definition as text, for reports and cards.
    selection : CaseSelection
        Which start times are forecast.
    masking : Masking
        How frames are read, and which pixels are scored.
    thresholds_mm_h : tuple of float
        An event is rain at or above a threshold.
    reliability_mm_h : tuple of float
        Edges of the classes of forecast rain rate in the reliability diagram.
    fss_windows : tuple of int
        Sides of the windows of FSS in pixels.
    plotted_lead_minutes : tuple of float
        Lead times of the case study, of LPIPS and of the spectrum; of SSIM and PSNR unless `ssim_psnr_at_all_leads`.
    ssim_psnr_at_all_leads : bool
        Whether SSIM and PSNR are computed at every lead.
    online_fine_tuning : bool
        Whether packages are fine-tuned on past frames before each forecast.
    """

    name: str
    description: str
    selection: CaseSelection
    masking: Masking
    thresholds_mm_h: tuple[float, ...]
    reliability_mm_h: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0)
    fss_windows: tuple[int, ...] = (1, 5, 9, 17, 33, 65)
    plotted_lead_minutes: tuple[float, ...] = (30.0, 60.0)
    ssim_psnr_at_all_leads: bool = False
    online_fine_tuning: bool = False

    @property
    def class_edges_mm_h(self) -> tuple[float, ...]:
        """Return the edges of the classes of rain rate (mm h-1), thresholds included."""
        return tuple(sorted({*self.reliability_mm_h, *self.thresholds_mm_h}))

    def accumulators(self, lead_minutes: Sequence[float], grid_shape: tuple[int, int]) -> Accumulators:
        """Return the accumulators of the scores for these lead times and frames of this shape."""
        edges = self.class_edges_mm_h
        plotted = tuple(index for index, lead in enumerate(lead_minutes) if lead in self.plotted_lead_minutes)
        return Accumulators(
            scale=self.masking.scale,
            class_edges=tuple(ceil_to_float32(self.masking.to_scale(edge)) for edge in edges),
            threshold_indices=tuple(edges.index(threshold) for threshold in self.thresholds_mm_h),
            fss_windows=self.fss_windows,
            plotted_leads=plotted,
            ssim_psnr_leads=tuple(range(len(lead_minutes))) if self.ssim_psnr_at_all_leads else plotted,
            lead_count=len(lead_minutes),
            grid_shape=grid_shape,
            psnr_epsilon=self.masking.psnr_epsilon,
        )

    def case_size(self, archive: Archive, required: int) -> tuple[int, int]:
        """Return the numbers of input frames and of forecast frames of a case.

        Parameters
        ----------
        archive : Archive
            The archive to verify on.
        required : int
            The most input frames that a model requires.

        Raises
        ------
        InputError
            The time step of the archive is not the protocol's, or a model requires more frames than it provides.
        """
        try:
            return self.selection.context_length(required), self.selection.lead_count(archive.step_minutes)
        except InputError as error:
            raise type(error)(error.what, where=str(archive.root), hint=error.hint) from None


NOWCAST_60: Final = Protocol(
    name="nowcast-60@1",
    selection=RegularStarts(horizon_minutes=60, stride_minutes=30),
    masking=CommonMasking(),
    thresholds_mm_h=(0.5, 2.0, 5.0, 10.0),
    description=(
        "start times every 30 min; leads at the time step of the archive to 60 min; counts pooled over all start times "
        "and pixels, by lead; a pixel is scored where the truth and every compared forecast hold data; "
        "an event is rain >= threshold"
    ),
)
HKO7_FIXED: Final = Protocol(
    name="hko7-fixed@1",
    selection=Clips(context_frames=5, lead_frames=20, stride_frames=5, max_gap_frames=2, archive_step_minutes=6),
    thresholds_mm_h=(0.5, 2.0, 5.0, 10.0, 30.0),
    masking=HKO7Masking(),
    plotted_lead_minutes=(30.0, 60.0, 120.0),
    description=(
        "the benchmark of HKO-7 (Shi et al. 2017), its fixed setting: 5 frames of 6 min in, 20 out, one clip every 5 "
        "frames; at most 2 consecutive frames missing, read as 0 and not scored; pixels that the static mask excludes "
        "and true pixels in (0, 71) are not scored; unknown forecast pixels count as 0; an event is pixel >= "
        "threshold; counts pooled over all clips, by lead, and scores averaged over the 20 leads"
    ),
)
HKO7_ONLINE: Final = replace(
    HKO7_FIXED,
    name="hko7-online@1",
    online_fine_tuning=True,
    description=HKO7_FIXED.description.replace("its fixed setting", "its online setting")
    + "; before each forecast, a network is fine-tuned by one step on the newest clip whose frames have all been "
    "observed (AdaGrad, rate 1e-3, B-MSE + B-MAE, gradients clipped to a norm of 50)",
)
MS_RNN: Final = Protocol(
    name="ms-rnn@1",
    selection=Clips(
        context_frames=10,
        lead_frames=10,
        stride_frames=20,
        max_gap_frames=0,
        archive_step_minutes=6,
        frame_interval=6,
        scores_input=True,
    ),
    thresholds_mm_h=HKO7_FIXED.thresholds_mm_h,
    masking=MSRNNMasking(),
    plotted_lead_minutes=(36.0, 180.0, 360.0),
    ssim_psnr_at_all_leads=True,
    description=(
        "the test loop of MS-RNN (Ma et al. 2022) for HKO-7: every sixth frame of 6 min, resized to 128 x 128 pixels; "
        "clips of 20 frames, 10 in and 10 out, that share no frame and miss none; the 19 frames after the first are "
        "scored: leads to 0 min are outputs over the input, each one step ahead of true frames, leads above 0 are the "
        "forecast; every pixel is scored, noise included; unknown forecast pixels count as 0; an event is pixel >= "
        "threshold; PSNR of the MSE + 1e-5; counts pooled over all clips, by lead, and scores averaged over the 19 "
        "leads"
    ),
)
PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {"nowcast-60": NOWCAST_60, "hko7-fixed": HKO7_FIXED, "hko7-online": HKO7_ONLINE, "ms-rnn": MS_RNN}
)
