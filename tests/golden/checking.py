"""What the check scripts share: go through files, tell which are wrong, count them. Runs on Python 3.6 too."""

import os


def count_wrong(files, wrong):
    """Print what is wrong with each file and how many there are; how many failed.

    Args:
        files: pairs (name, path); files that are not there are left out.
        wrong: function of a name and a path that says what is wrong, empty if nothing.
    """
    checked = failed = 0
    for name, path in files:
        if not os.path.exists(path):
            continue
        checked += 1
        try:
            what = wrong(name, path)
        except Exception as error:
            what = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
        if what:
            failed += 1
            print("FAILED", name, what)
    print("%d checked, %d failed" % (checked, failed))
    return failed
