"""Patterns that keep a service up while what it depends on is not: copy this folder into your own application.

It knows nothing of the application around it. Each module is one pattern, and README.md says how they fit together.
"""
