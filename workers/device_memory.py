"""The memory of NVIDIA GPUs as metrics, by their management library (NVML), which needs no CUDA context."""

from __future__ import annotations

import logging

from service.metrics.instruments import DEVICE_MEMORY_SIZE, DEVICE_MEMORY_USED

log = logging.getLogger(__name__)


class DeviceMemory:
    """The GPUs of this machine; none where the library or its driver is absent."""

    def __init__(self) -> None:
        self._devices = []
        try:
            import pynvml

            pynvml.nvmlInit()
            self._devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except ImportError:
            return
        except pynvml.NVMLError as error:
            log.debug("no metrics of GPUs: %s", error)

    def report(self) -> None:
        """Set the metrics of every GPU; one that does not respond keeps its last values."""
        if not self._devices:
            return
        import pynvml

        for index, device in enumerate(self._devices):
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            except pynvml.NVMLError as error:
                log.debug("memory of GPU %d: %s", index, error)
                continue
            DEVICE_MEMORY_USED.labels(str(index)).set(memory.used)
            DEVICE_MEMORY_SIZE.labels(str(index)).set(memory.total)
