"""Cohorts: every source of annotated cases yields the same Case."""
