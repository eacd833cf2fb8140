"""Plans as data: what is computed from what, for every device. Knows no device."""

from cntk_lab.engine.plan.plan import Builder as Builder
from cntk_lab.engine.plan.plan import Plan as Plan
from cntk_lab.engine.plan.steps import AddRows as AddRows
from cntk_lab.engine.plan.steps import Buffer as Buffer
from cntk_lab.engine.plan.steps import Call as Call
from cntk_lab.engine.plan.steps import Contract as Contract
from cntk_lab.engine.plan.steps import Delay as Delay
from cntk_lab.engine.plan.steps import DelayInitial as DelayInitial
from cntk_lab.engine.plan.steps import Fill as Fill
from cntk_lab.engine.plan.steps import Gathered as Gathered
from cntk_lab.engine.plan.steps import Join as Join
from cntk_lab.engine.plan.steps import Loop as Loop
from cntk_lab.engine.plan.steps import Map as Map
from cntk_lab.engine.plan.steps import Order as Order
from cntk_lab.engine.plan.steps import Part as Part
from cntk_lab.engine.plan.steps import Phase as Phase
from cntk_lab.engine.plan.steps import RowSymbol as RowSymbol
from cntk_lab.engine.plan.steps import Share as Share
from cntk_lab.engine.plan.steps import Spread as Spread
from cntk_lab.engine.plan.steps import Step as Step
from cntk_lab.engine.plan.steps import UpdateRows as UpdateRows
from cntk_lab.engine.plan.steps import View as View
from cntk_lab.engine.plan.steps import all_steps as all_steps
from cntk_lab.engine.plan.steps import leaves as leaves
from cntk_lab.engine.plan.steps import row_symbol as row_symbol
