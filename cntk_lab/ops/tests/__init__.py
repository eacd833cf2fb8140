"""``cntk.ops.tests``: the helpers that programs import from CNTK's tests of operators. No tests are here."""
