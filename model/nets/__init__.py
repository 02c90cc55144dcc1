"""The networks: one file per cell, one stack that carries them at one scale or many."""
