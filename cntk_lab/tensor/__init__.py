"""Values: element types, shapes, packed sequences, sparse rows, arrays of a device, random numbers."""
