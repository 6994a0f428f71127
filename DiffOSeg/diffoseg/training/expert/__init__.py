"""Teaching a frozen fast network one new expert from a few cases."""
