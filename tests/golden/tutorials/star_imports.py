"""Old style: everything by star import."""

from cntk import *
from cntk.layers import *
from cntk.learners import *
from cntk.ops import *
from cntk.initializer import glorot_uniform
from cntk.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs, INFINITELY_REPEAT
from cntk.logging import *
from cntk.ops.functions import load_model
from cntk.train.training_session import *
from cntk.debugging import *
from cntk.device import try_set_default_device, gpu, cpu

x, y = input_variable(2), input_variable(1)
z = Sequential([Dense(4, activation=sigmoid), Dense(1)])(x)
loss = squared_error(z, y)
t = Trainer(
    z,
    (loss, loss),
    [
        momentum_sgd(
            z.parameters,
            learning_rate_schedule(0.1, UnitType.minibatch),
            momentum_as_time_constant_schedule(100),
        )
    ],
    [ProgressPrinter(1)],
)
from cntk.io import MinibatchSourceFromData

src = MinibatchSourceFromData(
    dict(x=np.random.rand(32, 2).astype("f"), y=np.random.rand(32, 1).astype("f")), max_samples=64
)
training_session(
    trainer=t,
    mb_source=src,
    mb_size=minibatch_size_schedule(8),
    model_inputs_to_streams={x: src.streams["x"], y: src.streams["y"]},
    max_samples=64,
    progress_frequency=32,
).train()
set_computation_network_trace_level(0)
