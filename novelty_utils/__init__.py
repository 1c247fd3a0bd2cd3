"""Shared rooms of the novelty-detection book; import the room you need, e.g. `from novelty_utils import data`."""

__version__ = "0.1.0"
