"""What travels as JSON."""

from typing import Any

Json = Any
"""A value that `json.dumps` takes."""
