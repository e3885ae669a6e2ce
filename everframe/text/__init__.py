"""From a prompt to token states: the frozen sentence encoder, without torch."""
