"""The shared language: every message on every topic, money, instruments, reasons.

Imports nothing of ours. Values only: no I/O except reading the two declarations
(`topics.yaml`, `instruments.yaml`) when a caller asks for them.
"""
