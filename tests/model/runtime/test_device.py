"""The device of a graph: errors for unusable graphs and settings, and the variant that runs."""

import pytest

from model.core.catalog import Catalog
from model.core.errors import BadPackage, InputError
from model.runtime.device import EngineOptions, fastest_variant, open_session


def test_a_model_that_is_too_large_is_refused_with_both_numbers():
    graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
    with pytest.raises(BadPackage, match=r"takes \d+ MB at least, a forecast may take 5 MB"):
        open_session(graph, options=EngineOptions(memory_mb=5))


def test_options_come_from_the_environment_and_errors_name_the_variable(monkeypatch):
    monkeypatch.setenv("ECHOCAST_MEMORY_MB", "512")
    monkeypatch.setenv("ECHOCAST_DEVICE", "cpu")
    monkeypatch.delenv("ECHOCAST_THREADS", raising=False)
    assert EngineOptions.from_environment() == EngineOptions(memory_mb=512, device="cpu")
    monkeypatch.setenv("ECHOCAST_DEVICE", "tpu")
    with pytest.raises(InputError, match=r"ECHOCAST_DEVICE: Input should be 'auto', 'cpu' or 'cuda', it is 'tpu'"):
        EngineOptions.from_environment()


def test_cuda_is_never_replaced_by_the_processor_in_silence():
    graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
    with pytest.raises(InputError, match="CUDA is requested"):
        open_session(graph, options=EngineOptions(device="cuda"))


def test_the_fastest_variant_that_a_device_runs_is_taken(monkeypatch):
    variants = {"fp32": "a", "int8": "b", "fp16": "c"}
    assert fastest_variant(variants, "cuda") == "fp16"
    assert fastest_variant({"fp32": "a", "int8": "b"}, "cuda") == "fp32"
    for able, expected in ((True, "int8"), (False, "fp32")):
        monkeypatch.setattr("model.runtime.device._multiplies_int8", lambda able=able: able)
        assert fastest_variant(variants, "cpu") == expected
    assert fastest_variant(variants, "cpu", "fp16") == "fp16"
    with pytest.raises(BadPackage, match="no variant int8, it has fp32"):
        fastest_variant({"fp32": "a"}, "cpu", "int8")


def test_a_graph_that_is_not_one_is_refused(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="cannot load the graph"):
        open_session(tmp_path / "bad.onnx")
