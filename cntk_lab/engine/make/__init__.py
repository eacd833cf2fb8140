"""Plans are made here: the graph becomes steps, gradients and updates are added, passes improve the plan."""
