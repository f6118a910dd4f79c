"""Makes a target account ready: the roles that a pipeline's stages assume, and CDK's bootstrap with the right trust."""
