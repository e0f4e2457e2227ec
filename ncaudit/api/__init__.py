"""What programs call: one function per command, with the same settings.

The names that people use are in `ncaudit` itself, which imports them when they are asked for.
"""
