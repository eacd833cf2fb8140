"""Learners and communicators under CNTK's distributed names, for a process that trains alone.

One process is one worker of rank 0: nothing is exchanged, so a distributed learner does what the learner in it does.
Programs written for several workers run unchanged on one. Knows learners; no network.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cntk_lab.errors import AttributeValueError, NotAvailableError, SignatureError
from cntk_lab.learners._learner import Learner

__all__ = [
    "Communicator", "DistributedLearner", "WorkerDescriptor", "block_momentum_distributed_learner",
    "data_parallel_distributed_learner", "mpi_communicator",
]  # fmt: skip

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where starters of several processes tell how many there are."""


@dataclass(frozen=True, slots=True)
class WorkerDescriptor:
    """A worker: its number and its machine.

    Args:
        global_rank: its number, from 0.
        host_id: name of its machine.

    Example:
        >>> WorkerDescriptor().is_main()
        True

    Source: CNTK 2.7 ``train.distributed.WorkerDescriptor``.
    """

    global_rank: int = 0
    host_id: str = ""

    @property
    def m_global_rank(self) -> int:
        """Its number, by CNTK's lower-level name."""
        return self.global_rank

    @property
    def m_host_id(self) -> str:
        """Name of its machine, by CNTK's lower-level name."""
        return self.host_id

    def is_main(self) -> bool:
        """Whether it is the worker that writes files."""
        return self.global_rank == 0


class Communicator:
    """What workers say to each other; here there is one, so that everything said is its own.

    Example:
        >>> Communicator.num_workers(), Communicator.rank(), Communicator().is_main()
        (1, 0, True)

    Source: CNTK 2.7 ``train.distributed.Communicator``.
    """

    @staticmethod
    def num_workers() -> int:
        """Number of workers: 1.

        Raises:
            NotAvailableError: if this process was started as one of several.
        """
        _refuse_several()
        return 1

    @staticmethod
    def rank() -> int:
        """Number of this worker: 0.

        Raises:
            NotAvailableError: if this process was started as one of several.
        """
        _refuse_several()
        return 0

    @staticmethod
    def finalize() -> None:
        """Nothing: there is no connection to close."""

    def current_worker(self) -> WorkerDescriptor:
        """This worker."""
        return WorkerDescriptor(0, socket.gethostname())

    def workers(self) -> list[WorkerDescriptor]:
        """All workers."""
        return [self.current_worker()]

    def is_main(self) -> bool:
        """Whether this worker writes files: yes."""
        return True

    def barrier(self) -> None:
        """Nothing: there is nobody to wait for."""

    def aggregate(self, values: Iterable[Any], send_to_workers: Any = None) -> list[Any]:
        """Sums over all workers: the values themselves.

        Args:
            values: arrays.
            send_to_workers: who gets the sums.

        Returns:
            The sums.
        """
        del send_to_workers
        return list(values)

    def aggregate_in_place(self, values: Iterable[Any], send_to_workers: Any = None) -> None:
        """Replace values by their sums over all workers, which they are already."""

    def concatenate(self, values: Iterable[Any], send_to_workers: Any = None) -> list[Any]:
        """Values of all workers: this one's.

        Args:
            values: arrays.
            send_to_workers: who gets them.

        Returns:
            The values.
        """
        return self.aggregate(values, send_to_workers)

    def gather(self, values: Mapping[Any, Any], send_to_workers: Any = None) -> list[Mapping[Any, Any]]:
        """Dictionaries of all workers: this one's.

        Args:
            values: a dictionary.
            send_to_workers: who gets them.

        Returns:
            One dictionary per worker.
        """
        del send_to_workers
        return [values]

    def sub_group(self, workers: Iterable[WorkerDescriptor]) -> Communicator:
        """A communicator among some workers.

        Raises:
            AttributeValueError: if there is a worker that does not exist.
        """
        strangers = [w for w in workers if w.global_rank != 0]
        if strangers:
            raise AttributeValueError(f"there is no worker {strangers[0].global_rank}", fix="there is one worker, 0")
        return self


def _refuse_several() -> None:
    for name in _SIZES:
        count = os.environ.get(name, "")
        if count.isdigit() and int(count) > 1:
            raise NotAvailableError(
                f"this process is one of {count} ({name}), and exchange between processes is not available",
                fix="start the program as one process, without mpiexec",
            )


def mpi_communicator() -> Communicator:
    """The communicator of all workers.

    Returns:
        Communicator.

    Raises:
        NotAvailableError: if this process was started as one of several.

    Example:
        >>> len(mpi_communicator().workers())
        1

    Source: CNTK 2.7 ``train.distributed.mpi_communicator``.
    """
    _refuse_several()
    return Communicator()


class DistributedLearner(Learner):
    """A learner whose parameters several workers train together; with one worker, the learner itself.

    Made by :func:`data_parallel_distributed_learner` and :func:`block_momentum_distributed_learner`: these give the
    learner this class beside its own, so that its state, formulas and checkpoints stay what they are.

    Source: CNTK 2.7 ``train.distributed.DistributedLearner``.
    """

    _distributed_after: int

    def communicator(self) -> Communicator:
        """The communicator of its workers."""
        return mpi_communicator()

    get_communicator = communicator

    @property
    def parallelization_after(self) -> int:
        """Samples after which workers share the work."""
        return self._distributed_after

    def set_as_metric_aggregator(self) -> None:
        """Nothing: there is only this worker's metric."""

    def is_metric_aggregator(self) -> bool:
        """Whether it adds up metrics of all workers: yes, of one."""
        return True


def _distributed(learner: Any, distributed_after: int) -> Any:
    if not isinstance(learner, Learner):
        raise SignatureError(
            f"a distributed learner is made of a learner, not of a {type(learner).__name__}",
            fix="give sgd(...) or another",
        )
    if distributed_after < 0:
        raise AttributeValueError(f"distributed_after is {distributed_after!r}", fix="give a number of samples from 0")
    _refuse_several()
    if not isinstance(learner, DistributedLearner):
        kind = type(learner)
        learner.__class__ = type(f"Distributed{kind.__name__}", (DistributedLearner, kind), {})
    learner._distributed_after = distributed_after  # type: ignore[attr-defined]
    return learner


def data_parallel_distributed_learner(
    learner: Learner,
    distributed_after: int = 0,
    num_quantization_bits: int = 32,
    use_async_buffered_parameter_update: bool = False,
) -> DistributedLearner:
    """A learner that adds up the gradients of all workers before each update.

    Args:
        learner: what updates the parameters.
        distributed_after: samples after which workers share the work.
        num_quantization_bits: bits of a gradient's element on its way: 1 to 32.
        use_async_buffered_parameter_update: whether updates overlap with the exchange.

    Returns:
        The learner, as a distributed one.

    Raises:
        AttributeValueError: if the number of bits or samples cannot be.
        NotAvailableError: if this process was started as one of several.

    Example:
        >>> import cntk_lab as C
        >>> w = C.parameter((1,), init=1.0)
        >>> isinstance(data_parallel_distributed_learner(C.sgd([w], 0.1)), DistributedLearner)
        True

    Source: CNTK 2.7 ``train.distributed.data_parallel_distributed_learner``.
    """
    del use_async_buffered_parameter_update
    if not 1 <= num_quantization_bits <= 32:
        raise AttributeValueError(
            f"num_quantization_bits is {num_quantization_bits}", fix="give 1 to 32; 32 changes nothing"
        )
    made: DistributedLearner = _distributed(learner, distributed_after)
    return made


def block_momentum_distributed_learner(
    learner: Learner,
    block_size: int,
    block_momentum_as_time_constant: float | None = None,
    use_nestrov_momentum: bool = True,
    reset_sgd_momentum_after_aggregation: bool = True,
    block_learning_rate: float = 1.0,
    distributed_after: int = 0,
) -> DistributedLearner:
    """A learner that averages the parameters of all workers after each block of samples, with momentum.

    Args:
        learner: what updates the parameters.
        block_size: samples of all workers in a block.
        block_momentum_as_time_constant: momentum of the averages, in samples; None: by the number of workers.
        use_nestrov_momentum: whether the momentum looks ahead.
        reset_sgd_momentum_after_aggregation: whether the learner's own momentum starts anew after a block.
        block_learning_rate: rate at which averages are taken over.
        distributed_after: samples after which workers share the work.

    Returns:
        The learner, as a distributed one.

    Raises:
        AttributeValueError: if a number cannot be.
        NotAvailableError: if this process was started as one of several.

    Source: CNTK 2.7 ``train.distributed.block_momentum_distributed_learner``.
    """
    del use_nestrov_momentum, reset_sgd_momentum_after_aggregation
    if block_size < 1:
        raise AttributeValueError(f"block_size is {block_size!r}", fix="give a number of samples from 1")
    if block_momentum_as_time_constant is not None and block_momentum_as_time_constant < 0:
        raise AttributeValueError(
            f"block_momentum_as_time_constant is {block_momentum_as_time_constant}", fix="give 0 or more"
        )
    if block_learning_rate <= 0:
        raise AttributeValueError(f"block_learning_rate is {block_learning_rate}", fix="give a rate above 0")
    made: DistributedLearner = _distributed(learner, distributed_after)
    return made
