"""Ask a running service for the live skill of a challenger on a feed, and evaluate its promotion by that."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from model.core.errors import InputError
from model.core.live_gates import compared_models, live_evaluation
from model.core.model_info import ModelInfo
from model.core.promotion import Evaluation

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

    Raises
    ------
    InputError
        The service cannot be asked, or did not score one of the models.
    """
    models = compared_models(candidate, champion)
    query = [("window", f"{window_hours:g}"), *(("model", each) for each in models)]
    skill = service.get(f"/v1/feeds/{urllib.parse.quote(feed, safe='')}/skill", query)
    return live_evaluation(champion, feed, skill)


def _refusal(error: urllib.error.HTTPError, address: str) -> InputError:
    try:
        problem = json.load(error)
        return InputError(problem["what"], where=problem["where"], hint=problem["hint"])
    except (ValueError, KeyError, TypeError):
        return InputError(f"the service answers {error.code}", where=address, hint="Is it an Echocast service?")
