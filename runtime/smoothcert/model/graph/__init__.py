"""What an ONNX graph holds, and what in it no certificate could rest on."""
