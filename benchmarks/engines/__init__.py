"""The engines that are measured side by side; each runs in a process of its own (``serve.py``)."""
