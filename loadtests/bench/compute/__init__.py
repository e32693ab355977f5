"""What computes a forward: torch, OpenVINO in three dtypes, and ONNX Runtime as a peer."""
