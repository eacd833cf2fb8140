"""The engine: from any graph to a plan, and from a plan to numbers."""
