"""An agent that eval harnesses may talk to. Not in the production image; build one for evals with bot/evals/Dockerfile."""
