"""Helpers of the course pack on convolutional networks."""

__version__ = "0.1.0"
