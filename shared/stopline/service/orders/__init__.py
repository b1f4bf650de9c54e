"""Orders checked and sized before they are sent."""
