"""DeviceDescriptor: which device computes; the default device of the process.

Knows names and numbers only; whether a GPU can really be used is answered by ``backends.choose`` through the probe that
is registered here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from cntk_lab import _changes
from cntk_lab.errors import DeviceError

_probe: list[Callable[[], list[str]]] = []
_state: dict[str, DeviceDescriptor] = {}


@dataclass(frozen=True)
class DeviceDescriptor:
    """A device: the CPU, or one GPU by its number.

    Example:
        >>> print(cpu())
        CPU

    Source: CNTK 2.7 ``device.DeviceDescriptor``.
    """

    kind: int
    number: int = 0
    title: str = ""

    def type(self) -> int:
        """0 for the CPU, 1 for a GPU."""
        return self.kind

    def id(self) -> int:
        """The number of the GPU; 0 for the CPU."""
        return self.number

    def is_locked(self) -> bool:
        """Whether another process keeps this device to itself: never, devices are shared here."""
        return False

    @staticmethod
    def cpu_device() -> DeviceDescriptor:
        """The CPU; see :func:`cpu`."""
        return cpu()

    @staticmethod
    def gpu_device(device_id: int) -> DeviceDescriptor:
        """One GPU; see :func:`gpu`."""
        return gpu(device_id)

    @staticmethod
    def all_devices() -> tuple[DeviceDescriptor, ...]:
        """Every device that can be used; see :func:`all_devices`."""
        return all_devices()

    @staticmethod
    def use_default_device() -> DeviceDescriptor:
        """The device that computes unless another is named; see :func:`use_default_device`."""
        return use_default_device()

    @staticmethod
    def try_set_default_device(new_default_device: DeviceDescriptor, acquire_device_lock: bool = False) -> bool:
        """Make a device the default; see :func:`try_set_default_device`."""
        return try_set_default_device(new_default_device, acquire_device_lock)

    @staticmethod
    def set_excluded_devices(excluded: list[DeviceDescriptor]) -> None:
        """Never choose these devices as the default; see :func:`set_excluded_devices`."""
        set_excluded_devices(excluded)

    @staticmethod
    def get_gpu_properties(device: DeviceDescriptor) -> NoReturn:
        """Refuses; see :func:`get_gpu_properties`."""
        get_gpu_properties(device)

    def as_string(self) -> str:
        """The device in words."""
        return str(self)

    def __str__(self) -> str:
        return "CPU" if self.kind == 0 else f"GPU[{self.number}] {self.title}".rstrip()


class DeviceKind:
    """The kinds of devices, as numbers."""

    CPU = 0
    GPU = 1


def register_gpu_probe(probe: Callable[[], list[str]]) -> None:
    """Set the function that lists the names of the usable GPUs (done once by the package)."""
    _probe[:] = [probe]


def gpus() -> list[str]:
    """The names of the GPUs that can be used."""
    return _probe[0]() if _probe else []


def cpu() -> DeviceDescriptor:
    """The CPU."""
    return DeviceDescriptor(DeviceKind.CPU)


def gpu(device_id: int) -> DeviceDescriptor:
    """One GPU.

    Raises:
        DeviceError: if there is no GPU of that number.
    """
    names = gpus()
    if not 0 <= device_id < len(names):
        raise DeviceError(
            f"gpu({device_id}): there are {len(names)} usable GPUs",
            fix="use cpu(), or see `cntk-lab doctor` for what is missing",
        )
    return DeviceDescriptor(DeviceKind.GPU, device_id, names[device_id])


def get_gpu_properties(device: DeviceDescriptor) -> NoReturn:
    """Refuses: the cores and the memory of a GPU cannot be asked for here yet.

    Raises:
        DeviceError: always; for the CPU as in CNTK.
    """
    if device.kind == DeviceKind.CPU:
        raise DeviceError("GPU properties cannot be obtained for a CPU device", fix="ask for a GPU")
    raise DeviceError(f"the properties of {device} cannot be asked for here yet", fix="run nvidia-smi")


def all_devices() -> tuple[DeviceDescriptor, ...]:
    """Every device that can be used, GPUs first."""
    return (*(DeviceDescriptor(DeviceKind.GPU, i, n) for i, n in enumerate(gpus())), cpu())


def use_default_device() -> DeviceDescriptor:
    """The device that computes unless another is named."""
    if "default" not in _state:
        _state["default"] = all_devices()[0]
    return _state["default"]


def try_set_default_device(new_default_device: DeviceDescriptor, acquire_device_lock: bool = False) -> bool:
    """Make a device the default; returns whether that worked.

    Args:
        new_default_device: the device.
        acquire_device_lock: asks to keep the device from other processes, which the CPU refuses, as in CNTK; GPUs are
            shared too, so that there is nothing to wait for.
    """
    if new_default_device not in all_devices() or (acquire_device_lock and new_default_device.kind == DeviceKind.CPU):
        return False
    _state["default"] = new_default_device
    _changes.note()
    return True


def set_excluded_devices(excluded: list[DeviceDescriptor]) -> None:
    """Never choose these devices as the default."""
    left = [d for d in all_devices() if d not in excluded]
    if not left:
        raise DeviceError("all devices are excluded", fix="leave at least one of all_devices()")
    if use_default_device() in excluded:
        _state["default"] = left[0]
        _changes.note()
