"""
Processors that do not halt while they wait.

Client and server take turns: one computes while the other waits. Where nothing else runs, the
waiting one's processor halts. On a virtual machine it then has to be given back by the host, which
took 0.1 to 0.7 ms for each statement here, and a search takes 1 ms: the clock told how the host
shares its processors out. A server that has something to do, or is set up for low latency, does
not halt either.

Linux keeps processors awake as long as a program holds ``/dev/cpu_dma_latency`` open (PM QoS,
https://docs.kernel.org/power/pm_qos_interface.html); only root may, unless it was allowed.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["awake"]

DEVICE = Path("/dev/cpu_dma_latency")
NO_WAIT = bytes(4)
"""The longest wait for a processor, in microseconds."""


@contextmanager
def awake(wanted: bool = True) -> Iterator[str]:
    """
    Keep them awake as far as that is allowed, and say how it went.
    """
    try:
        device = DEVICE.open("wb", buffering=0) if wanted else None
    except OSError:
        device = None
    if device is None:
        yield "processors may halt while they wait"
        return
    with device:
        device.write(NO_WAIT)
        yield "processors kept awake"
