"""Settings from the environment, `ECHOCAST_*`: how they are read, and those of the engine that runs networks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.core.errors import InputError

DeviceName = Literal["auto", "cpu", "cuda"]
Variant = Literal["auto", "fp32", "int8", "fp16"]

ENVIRONMENT = SettingsConfigDict(env_prefix="ECHOCAST_", frozen=True, env_ignore_empty=True)


class BadSetting(InputError):
    """An environment variable with a value that cannot be used."""

    code = "bad-setting"


class EngineSettings(BaseModel):
    """Where, in which precision and with how much memory networks run, and the calibration of extrapolation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceName = Field(
        default="auto",
        description="Where networks run: cpu, cuda, or auto: CUDA where onnxruntime-gpu is installed, and then never "
        "the CPU.",
    )
    variant: Variant = Field(
        default="auto",
        description="Which precision of a package runs: auto is the fastest that the device supports and the package "
        "has.",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads that ONNX Runtime uses for one nowcast; 0 is one for each core."
    )
    memory_mb: int = Field(
        default=1024,
        ge=1,
        description="Most memory for the states and the work space of a forecast on a CPU, in MB (2^20 bytes); a "
        "larger domain is cut in more and smaller tiles.",
    )
    gpu_memory_mb: int = Field(
        default=0,
        ge=0,
        description="Most memory that each model takes on a GPU, in MB (2^20 bytes); a worker keeps up to three. 0 "
        "sets no limit.",
    )
    calibration: Path | None = Field(
        default=None,
        description="A file of `echocast models calibrate extrapolation`, for the probabilities of extrapolation in "
        "place of the shipped calibration.",
    )


class EngineEnvironment(EngineSettings, BaseSettings):
    """The settings of the engine, from the environment."""

    model_config = ENVIRONMENT


S = TypeVar("S", bound=BaseSettings)


def read_environment(kind: type[S], **overrides: object) -> S:
    """Return the settings of the environment; `overrides` that are not None come first.

    Raises
    ------
    BadSetting
        A value cannot be used; the error names the variable.
    """
    try:
        return kind(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{ENVIRONMENT['env_prefix']}{'_'.join(str(part) for part in first['loc'])}".upper()
        raise BadSetting(
            f"{first['msg']}, it is {first['input']!r}", where=name, hint="Correct the setting, or leave it out"
        ) from None
