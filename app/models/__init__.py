"""Uploaded ONNX models."""
