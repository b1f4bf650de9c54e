"""The ports' adapters: Google's services, the alert channels, and memory."""
