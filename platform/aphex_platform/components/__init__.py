"""The component resources that a pipeline stack is made of."""
