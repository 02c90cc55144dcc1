"""From a trained network to a model package, with parity between torch and ONNX checked on the way."""
