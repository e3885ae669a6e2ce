"""Plain foundations without domain knowledge: dimensions, configs, random streams, reports."""
