"""The graph: operators' declarations, nodes, variables, functions, and the inference of shapes and axes."""
