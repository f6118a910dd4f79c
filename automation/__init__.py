"""What a person types, and the Automation API that carries it out."""
