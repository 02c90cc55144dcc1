"""From a model to frames of forecast, step by step: ONNX Runtime, persistence and extrapolation. No torch."""
