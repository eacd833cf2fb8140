"""ONNX files: what they say (``description``), their graph for viewers (``snapshot``). Nothing is executed."""
