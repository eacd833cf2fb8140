"""What pytest leaves alone here: recorders and checkers run on Python 3.6, beside the real CNTK, and programs in the
manner of CNTK's tutorials need the alias in front.
"""

collect_ignore_glob = ["record*.py", "*/record*.py", "*/check.py", "differential/*.py", "tutorials/*.py"]
