"""Studies behind docs/science.md: what is trained and measured, with error bars, resumable and written as small files.

`python -m science` is the command. The folder is no part of the installed package.
"""
