"""How probable each rival is, given what was published."""
