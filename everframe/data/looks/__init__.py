"""Restyling looks as batched torch operators with the prompts that name them."""

from everframe.data.looks.catalogue import LOOKS, look_by_name
from everframe.data.looks.look import Look, State

__all__ = ["LOOKS", "Look", "State", "look_by_name"]
