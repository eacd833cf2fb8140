"""Training, under CNTK's names (a door)."""

from cntk_lab.io import MinibatchData
from cntk_lab.train import distributed, trainer
from cntk_lab.train._function import average_function as test_function
from cntk_lab.train._function import train_function
from cntk_lab.train.distributed import (
    Communicator,
    DistributedLearner,
    WorkerDescriptor,
    block_momentum_distributed_learner,
    data_parallel_distributed_learner,
    mpi_communicator,
)
from cntk_lab.train.trainer import Trainer
from cntk_lab.train.training_session import (
    CheckpointConfig,
    CrossValidationConfig,
    DataUnit,
    TestConfig,
    TrainingSession,
    minibatch_size_schedule,
    training_session,
)

__all__ = [
    "CheckpointConfig", "Communicator", "CrossValidationConfig", "DataUnit", "DistributedLearner", "MinibatchData",
    "TestConfig", "Trainer", "TrainingSession", "WorkerDescriptor", "block_momentum_distributed_learner",
    "data_parallel_distributed_learner", "distributed", "minibatch_size_schedule", "mpi_communicator",
    "test_function", "train_function", "trainer", "training_session",
]  # fmt: skip
