"""Programs where real CNTK 2.7 itself is wrong and this package stays right: which, and why.

A program on the list must still differ, so that the list cannot grow old.
"""

FAULTS = {}
"""Reasons by the id of the program."""
