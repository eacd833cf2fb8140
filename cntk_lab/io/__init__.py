"""Readers: minibatches from files, arrays and Python code, under CNTK's names (a door)."""

from cntk_lab.graph.record import Record
from cntk_lab.io import transforms
from cntk_lab.io._cbf import CBFDeserializer, write_cbf
from cntk_lab.io._check import Report, StreamReport, check
from cntk_lab.io._config import MinibatchSourceConfig
from cntk_lab.io._ctf import CTFDeserializer
from cntk_lab.io._image import Base64ImageDeserializer, ImageDeserializer
from cntk_lab.io._memory import MinibatchSourceFromData
from cntk_lab.io._source import MinibatchSource
from cntk_lab.io._speech import (
    HTKFeatureDeserializer,
    HTKMLFBinaryDeserializer,
    HTKMLFDeserializer,
    LatticeDeserializer,
)
from cntk_lab.io._streams import (
    DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS,
    FULL_DATA_SWEEP,
    INFINITELY_REPEAT,
    MinibatchData,
    StreamConfiguration,
    StreamDef,
    StreamDefs,
    StreamInformation,
)
from cntk_lab.io._tables import DatasetDeserializer, TableDeserializer
from cntk_lab.io._text import _is_tensor, sequence_to_cntk_text_format  # noqa: F401  (CNTK's own tests ask for it)
from cntk_lab.io._user import UserDeserializer, UserMinibatchSource

__all__ = [
    "DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS", "FULL_DATA_SWEEP", "INFINITELY_REPEAT", "Base64ImageDeserializer",
    "CBFDeserializer", "CTFDeserializer", "DatasetDeserializer", "HTKFeatureDeserializer", "HTKMLFBinaryDeserializer",
    "HTKMLFDeserializer", "ImageDeserializer",
    "LatticeDeserializer", "MinibatchData", "MinibatchSource", "MinibatchSourceConfig",
    "MinibatchSourceFromData", "Record", "Report", "StreamConfiguration", "StreamDef", "StreamDefs",
    "StreamInformation", "StreamReport", "TableDeserializer", "UserDeserializer", "UserMinibatchSource", "check",
    "sequence_to_cntk_text_format", "transforms", "write_cbf",
]  # fmt: skip
