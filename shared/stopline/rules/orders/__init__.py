"""Orders before they are sent: every reason against one, what it risks, whether it reduces."""
