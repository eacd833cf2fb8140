"""Learners and their schedules, under CNTK's names (a door)."""

from cntk_lab.learners import _builders, _schedules
from cntk_lab.learners._builders import *
from cntk_lab.learners._learner import Learner
from cntk_lab.learners._schedules import *
from cntk_lab.learners._user import UserLearner, universal

__all__ = ["Learner", "UserLearner", "universal"]
__all__ += _builders.__all__
__all__ += _schedules.__all__
