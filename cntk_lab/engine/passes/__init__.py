"""From a plan to a better one with the same results. Each pass can be left out; none knows an operator or a device."""
