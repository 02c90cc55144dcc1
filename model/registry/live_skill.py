"""Evaluate a promotion by the live skill of a challenger on a feed, as the service tells it."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from model.core.aliases import Gate
from model.core.errors import InputError
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.registry.evaluation import Evaluation
from model.registry.gates import FEWEST_EVENTS

SECONDS: Final = 60.0
"""How long the service may take for the answer."""


class Service(NamedTuple):
    """A service: its address, and a file with an API key where it needs one."""

    url: str
    key_file: Path | None = None

    def get(self, path: str, query: list[tuple[str, str]]) -> Mapping[str, Any]:
        """Return the JSON answer of a route.

        Raises
        ------
        InputError
            The service refuses, cannot be reached, or the key cannot be read.
        """
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"{self.url} is no address of a service", where="--service", hint="Write https://...")
        address = f"{self.url.rstrip('/')}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 - see above
        try:
            if self.key_file is not None:
                request.add_header("Authorization", f"Bearer {self.key_file.read_text().strip()}")
            with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310 - see above
                answer: Mapping[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise _refusal(error, address) from None
        except (OSError, ValueError) as error:
            hint = "Is the service running? Give its address with --service"
            raise InputError(f"there is no answer ({error})", where=self.url, hint=hint) from None
        return answer


def evaluate_live(
    candidate: ModelInfo, champion: ModelInfo, feed: str, service: Service, window_hours: float
) -> Evaluation:
    """Compare a challenger of a feed with the champion and with extrapolation, on the same live cases.

    Where there are too few cases, gates are inconclusive; thresholds that it has rained too little for are left out.
    Latency and parity are no gates here: the challenger has run in the service.

    Raises
    ------
    InputError
        The service cannot be asked, or did not score one of the models.
    """
    models = dict.fromkeys((candidate.reference, champion.reference, EXTRAPOLATION.reference))
    query = [("window", f"{window_hours:g}"), *(("model", each) for each in models)]
    skill = service.get(f"/v1/feeds/{urllib.parse.quote(feed, safe='')}/skill", query)
    events = {each["threshold_mm_h"]: sum(each["pixels"]) for each in skill["observed"]}
    gates, why = [], "" if skill["enough"] else skill["comment"]
    for found in skill["differences"]:
        threshold = found["threshold_mm_h"]
        if events[threshold] < FEWEST_EVENTS:
            continue
        if found["other"] == champion.reference:
            gates += _beside_champion(found, champion.reference, why)
        if found["other"] == EXTRAPOLATION.reference:
            what = f"live CSI at {threshold:g} mm/h beside extrapolation"
            gate = partial(Gate, gate="extrapolation", what=what, limit=0.0)
            gates.append(_judged(gate, found["csi_mean"], why, lambda value, low, high: value > 0))
    if not gates:
        gates = [Gate(gate="csi", what="live skill", passed=None, note=why or "too little rain")]
    return Evaluation(
        gates=tuple(gates), champion=champion.reference, protocol=f"live skill of the feed {feed}", archives={}
    )


def _beside_champion(found: Mapping[str, Any], champion: str, why: str) -> list[Gate]:
    threshold = found["threshold_mm_h"]
    csi = partial(Gate, gate="csi", what=f"live CSI at {threshold:g} mm/h beside {champion}", limit=0.0)
    gates = [_judged(csi, found["csi_mean"], why, lambda value, low, high: high >= 0)]
    if found["brier_mean"] is not None:
        brier = partial(Gate, gate="brier", what=f"live Brier score at {threshold:g} mm/h beside {champion}", limit=0.0)
        gates.append(_judged(brier, found["brier_mean"], why, lambda value, low, high: low <= 0))
    return gates


def _judged(gate: Any, score: Mapping[str, float | None], why: str, passes: Any) -> Gate:  # noqa: ANN401 - callables
    value, low, high = (score[name] for name in ("value", "low", "high"))
    if why or value is None or low is None or high is None:
        made: Gate = gate(passed=None, note=why or "no events, or too few hours of them for an interval")
        return made
    passed = passes(value, low, high)
    judged: Gate = gate(passed=passed, value=value, low=low, high=high)
    return judged


def _refusal(error: urllib.error.HTTPError, address: str) -> InputError:
    try:
        problem = json.load(error)
        return InputError(problem["what"], where=problem["where"], hint=problem["hint"])
    except (ValueError, KeyError, TypeError):
        return InputError(f"the service answers {error.code}", where=address, hint="Is it an Echocast service?")
