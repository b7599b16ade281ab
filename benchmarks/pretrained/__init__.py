"""The parts of `pretrained_model.py`: one study a file."""
