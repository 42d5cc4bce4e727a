"""Experiments on image classification, `smoke` and `demo` among them."""
