"""The composer: a network as readable layer code and as a graph, in step with each other (a door).

The program's text is what is true. It is parsed, never run: only what the catalog of layers and operators holds can be
called. Weights survive every edit that keeps their shape.
"""

from cntk_lab.composer._catalog import palette
from cntk_lab.composer._composer import Composer, Fix
from cntk_lab.composer._new_code import Code
from cntk_lab.composer._open import MODEL_FILES
from cntk_lab.composer._program import Problem
from cntk_lab.composer._templates import Template, templates
from cntk_lab.composer._weights import Report

__all__ = ["MODEL_FILES", "Code", "Composer", "Fix", "Problem", "Report", "Template", "palette", "templates"]
