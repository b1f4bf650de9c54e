"""The local stand-ins for Google Cloud and for the services that alerts go to."""
