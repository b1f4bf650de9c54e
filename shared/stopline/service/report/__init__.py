"""The risk report, as data and as a page."""
