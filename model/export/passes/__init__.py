"""Graph passes on `onnx_ir`, one file each; `model.export.onnx` lists the passes of each variant in order."""
