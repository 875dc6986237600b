"""The page: one file that shows the mechanisms move, with the kernel in it. What it is told, and how it is written."""
