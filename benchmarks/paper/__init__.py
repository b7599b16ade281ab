"""The paper's experiments on training, on models and data at hand."""
