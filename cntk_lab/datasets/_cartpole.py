"""The cart-pole: a pole hinged on a cart that is pushed left or right; the classic first task of reinforcement
learning.

A small simulation, nothing to download. It keeps the calls of today's environments (reset, step) and knows no
learner.

Source: Barto, Sutton, Anderson (1983), "Neuronlike adaptive elements ..."; constants, limits and the half-length
    convention as
in Gymnasium's CartPole-v1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cntk_lab.errors import AttributeValueError, SequenceError

State = npt.NDArray[np.float32]

GRAVITY = 9.8  # m/s²
CART_MASS, POLE_MASS = 1.0, 0.1  # kg
HALF_LENGTH = 0.5  # m, from the hinge to the pole's centre
FORCE = 10.0  # N
STEP_SECONDS = 0.02
TRACK = 2.4  # m to either side
TILT = math.radians(12)
START_RANGE = 0.05
LONGEST = 500  # steps of an episode
ACTIONS = 2


@dataclass(frozen=True)
class Step:
    """What one step led to.

    Args:
        state: position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
        reward: 1 for every step.
        fell: the pole fell or the cart left the track.
        ended: the longest episode is over.
    """

    state: State
    reward: float
    fell: bool
    ended: bool

    @property
    def done(self) -> bool:
        """Whether the episode is over, for either reason."""
        return self.fell or self.ended


class CartPole:
    """A cart with a pole; made by :func:`cartpole`."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._state: npt.NDArray[np.float64] | None = None
        self._steps = 0
        self._over = True

    def reset(self) -> State:
        """Begin an episode; returns the state, every value drawn between -0.05 and 0.05."""
        self._state = self._random.uniform(-START_RANGE, START_RANGE, 4)
        self._steps, self._over = 0, False
        return self._state.astype(np.float32)

    def step(self, action: int) -> Step:
        """Push to the left (0) or to the right (1) for 0.02 s.

        Raises:
            AttributeValueError: if the action is neither 0 nor 1.
            SequenceError: if the episode is over or was never begun.
        """
        if action not in {0, 1}:
            raise AttributeValueError(f"step: action {action}", where="CartPole.step", fix="0 (left) or 1 (right)")
        if self._over or self._state is None:
            raise SequenceError(
                f"the episode is over after {self._steps} steps", where="CartPole.step", fix="call reset()"
            )
        self._state = _moved(self._state, FORCE if action else -FORCE)
        self._steps += 1
        fell = bool(abs(self._state[0]) > TRACK or abs(self._state[2]) > TILT)
        ended = self._steps >= LONGEST
        self._over = fell or ended
        return Step(self._state.astype(np.float32), 1.0, fell, ended)


def _moved(state: npt.NDArray[np.float64], force: float) -> npt.NDArray[np.float64]:
    """One explicit Euler step of the equations of motion."""
    _, velocity, angle, turning = state
    sine, cosine, mass = math.sin(angle), math.cos(angle), CART_MASS + POLE_MASS
    pull = (force + POLE_MASS * HALF_LENGTH * turning**2 * sine) / mass
    turn = (GRAVITY * sine - cosine * pull) / (HALF_LENGTH * (4 / 3 - POLE_MASS * cosine**2 / mass))
    push = pull - POLE_MASS * HALF_LENGTH * turn * cosine / mass
    return state + STEP_SECONDS * np.array([velocity, push, turning, turn])


def cartpole(seed: int = 0) -> CartPole:
    """The cart-pole task: keep the pole up for 500 steps. Simulated, nothing is downloaded.

    Args:
        seed: of the starting states; the same seed gives the same episodes for the same actions.

    Returns:
        A CartPole with ``reset()`` and ``step(action)``.

    Example:
        >>> cart = cartpole(seed=1)
        >>> cart.reset().shape
        (4,)
        >>> cart.step(1).reward
        1.0

    Source: Barto, Sutton, Anderson (1983).
    """
    return CartPole(seed)
