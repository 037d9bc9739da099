"""A slow matcher of obvious correctness, written from docs/matching.md alone.

Orders stand in one list that is searched anew at every step; money is kept by locks; nothing is clever.
"""
