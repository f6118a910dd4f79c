"""The stand-in for the `eks` provider: its remote components, with the children that the real ones register."""
