"""Every operator under its CNTK name."""

from cntk_lab.ops import sequence  # noqa: F401
from cntk_lab.ops._activations import *  # noqa: F403
from cntk_lab.ops._arithmetic import *  # noqa: F403
from cntk_lab.ops._batching import *  # noqa: F403
from cntk_lab.ops._comparison import *  # noqa: F403
from cntk_lab.ops._convolution import *  # noqa: F403
from cntk_lab.ops._convolution_transpose import *  # noqa: F403
from cntk_lab.ops._criteria import *  # noqa: F403
from cntk_lab.ops._crop import *  # noqa: F403
from cntk_lab.ops._ctc import *  # noqa: F403
from cntk_lab.ops._indexing import *  # noqa: F403
from cntk_lab.ops._normalization import *  # noqa: F403
from cntk_lab.ops._parts import *  # noqa: F403
from cntk_lab.ops._pooling import *  # noqa: F403
from cntk_lab.ops._products import *  # noqa: F403
from cntk_lab.ops._random import *  # noqa: F403
from cntk_lab.ops._ranking import *  # noqa: F403
from cntk_lab.ops._reductions import *  # noqa: F403
from cntk_lab.ops._rnnstack import *  # noqa: F403
from cntk_lab.ops._shaping import *  # noqa: F403
from cntk_lab.ops._similarity import *  # noqa: F403
from cntk_lab.ops._softmax import *  # noqa: F403
from cntk_lab.ops._structure import *  # noqa: F403
from cntk_lab.ops._unary import *  # noqa: F403
from cntk_lab.ops._user import *  # noqa: F403
from cntk_lab.ops._vocabulary import *  # noqa: F403
