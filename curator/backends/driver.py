"""Whether a card answers, from NVIDIA's driver alone: milliseconds, and nothing of CUDA need be installed.

A library's own count would say more (that it fits the driver) and takes torch three seconds, so it is asked only where it will be used.
The standard library alone is imported: `make gpu-check` reads this file where nothing else is there.
"""

from __future__ import annotations

import ctypes

NAME = "libcuda.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def cards() -> tuple[int, str]:
    """(number of cards that the driver counts, one line on it); CUDA_VISIBLE_DEVICES counts."""
    try:
        driver = ctypes.CDLL(NAME)
    except OSError as error:
        return 0, f"{NAME} is not here: no CUDA driver" if "No such file" in str(error) else str(error)
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status not in (0, _NO_DEVICE):
        return 0, f"the driver answers with error {status}"
    return count.value, f"the driver counts {count.value} device{'' if count.value == 1 else 's'}"


def cuda() -> int:
    """The newest major version of CUDA that the driver runs, 0 without a driver."""
    version = ctypes.c_int(0)
    try:
        ctypes.CDLL(NAME).cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return 0
    return version.value // 1000
