"""Run model packages and baselines on radar frames. No torch.

The files in the order in which a nowcast passes through them:

1. `model_selection`: the model for the input; `frame_selection`: the frames that it reads, at one time step; `outages`:
   masks dry frames of a radar that was off.
2. `load`: the predictor of a catalog entry, either one of `baselines` or an `onnx_predictor`.
3. `request`: the forecast request, the events that report its progress, and its `cancellation` token.
4. `predictor`: the protocol that callers see, dry input, the file header, and running requests one by one.
5. `onnx_predictor`: rain rates become the network's input (`motion`, `advection`, `gap_filling`, `exogenous_fields`),
   and its output becomes rain rates.
6. `tile_scheduler`: a `forecast_task` in `tiles`, tiles in batches, batches in waves; frames of large domains wait in a
   `spill_file`, or come from other workers (`remote_tiles`); `device_errors` classifies exceptions.
7. `graph_session`: the ONNX graph and its states, on a `device`, through `ort`.

`nowcast` does all of this for one sequence in memory.
"""
