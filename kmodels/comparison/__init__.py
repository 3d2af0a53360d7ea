"""Runs beside each other: statistics over seeds and sentences."""
