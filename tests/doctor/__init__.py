"""Sick and healthy trainings, as a table: what the doctor has to name, and what it has to leave alone."""
