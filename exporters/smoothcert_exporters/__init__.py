"""Framework models, and any ONNX file, to ONNX ready to certify."""
