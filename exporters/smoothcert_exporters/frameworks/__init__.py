"""One file for each framework: a trained model as an ONNX graph, and its own answers."""
