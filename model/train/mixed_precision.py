"""Whether a device multiplies bfloat16 itself: what `bfloat16=auto` of a recipe becomes when its run begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from model.train.checkpoint import Say, read_recipe
from model.train.recipe import Recipe


def multiplies_bfloat16(device: torch.device) -> bool:
    """A GPU with bfloat16, or a CPU with AMX or AVX-512 BF16; elsewhere it is emulated, and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Of torch.cpu these have no public name yet; where one is gone, the answer is float32.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return device.type == "cpu" and any(answer is not None and answer() for answer in asked)


def settled(recipe: Recipe, device: torch.device, out: Path, *, resume: bool, say: Say) -> Recipe:
    """The recipe with `bfloat16` true or false: as the run in `out` has it that goes on, whatever machine that is on,
    or as the device computes best.

    Raises
    ------
    InputError
        The recipe of a run that goes on is damaged or absent.
    """
    if recipe.bfloat16 != "auto":
        return recipe
    if resume:
        return replace(recipe, bfloat16=read_recipe(out).bfloat16)
    computes = multiplies_bfloat16(device)
    say(f"bfloat16=auto: {'true, the device multiplies it itself' if computes else 'false, float32 is faster here'}")
    return replace(recipe, bfloat16=computes)
