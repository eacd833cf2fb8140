"""Memory of plans, for every device: lifetimes, slots that are shared, inputs that are read where they lie."""
