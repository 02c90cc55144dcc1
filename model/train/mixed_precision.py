"""Mixed precision: how `bfloat16=auto` of a recipe is resolved when a run starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from model.train.callbacks import Notify
from model.train.recipe import Recipe
from model.train.resume import stored_recipe


def supports_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 natively: elsewhere it is emulated, and slower than float32.

    These are GPUs with bfloat16, and CPUs with AMX or AVX-512 BF16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.cpu has no public names for these checks yet; where a version lacks one, the run uses float32.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return device.type == "cpu" and any(check is not None and check() for check in checks)


def resolve_bfloat16(recipe: Recipe, device: torch.device, out: Path, *, resume: bool, notify: Notify) -> Recipe:
    """Return the recipe with `bfloat16` true or false.

    A resumed run keeps its choice, whatever device it resumes on; a new run takes what the device computes best.

    Raises
    ------
    InputError
        The recipe of the run to resume is damaged or absent.
    """
    if recipe.bfloat16 != "auto":
        return recipe
    if resume:
        return replace(recipe, bfloat16=stored_recipe(out).bfloat16)
    native = supports_bfloat16(device)
    notify(
        f"bfloat16=auto: {'true, the device computes in it natively' if native else 'false, float32 is faster here'}"
    )
    return replace(recipe, bfloat16=native)
