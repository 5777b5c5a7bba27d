"""Take an API gateway to its next version under live traffic, or bring the old one back."""

__version__ = "0.1.0"
