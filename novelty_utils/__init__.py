"""What the papers of the novelty-detection book share; import the wing you need: `from novelty_utils import data`."""

__version__ = "0.1.0"
