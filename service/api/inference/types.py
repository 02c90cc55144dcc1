"""Bodies of the Open Inference Protocol. Their fields are the protocol's."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from model.core.forecast_variables import RAIN_RATE
from service.api.models.types import Model
from service.problem_details import ProblemDetails

MODEL_EXAMPLE: Final[dict[str, JsonValue]] = {
    "name": "rain-ms-predrnn",
    "versions": ["2"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": RAIN_RATE, "datatype": "FP32", "shape": [5, -1, -1]}],
    "outputs": [{"name": RAIN_RATE, "datatype": "FP32", "shape": [-1, -1, -1]}],
}
PLATFORMS: Final = {"network": "onnxruntime_onnx", "baseline": "echocast_python"}
"""`PROJECT_FORMAT`, as the protocol has it, by the kind of a model."""


class Live(BaseModel):
    """The process is up."""

    live: bool = True


class Ready(BaseModel):
    """Whether the service can make nowcasts now."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model can make nowcasts now."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """What the server is; `extensions` of the protocol: none."""

    name: str
    version: str
    extensions: list[str] = []


class TensorMetadata(BaseModel):
    """One tensor of a model; -1 stands for a size that requests choose."""

    name: str
    datatype: Literal["FP32"] = "FP32"
    shape: list[int] = Field(examples=[[5, -1, -1]])


class ModelMetadata(BaseModel):
    """A model: its versions, and its input and output [time, y, x] in mm/h."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    model_config = ConfigDict(json_schema_extra={"examples": [MODEL_EXAMPLE]})


class InferenceProblem(ProblemDetails):
    """Problem details, with the protocol's `error`."""

    error: str = Field(examples=["path: no model 'skynet'. /v1/models lists what can run here"])


def model_metadata(models: list[Model]) -> ModelMetadata:
    """Return the metadata of a model, whose tensors are those of its first version in the list."""
    first = models[0]
    return ModelMetadata(
        name=first.name,
        versions=[model.version for model in models],
        platform=PLATFORMS[first.kind],
        inputs=[TensorMetadata(name=RAIN_RATE, shape=[first.input_frames, -1, -1])],
        outputs=[TensorMetadata(name=RAIN_RATE, shape=[-1, -1, -1])],
    )
