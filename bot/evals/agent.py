"""The entry of an agent that eval harnesses may talk to, and calls too. Never deploy it where people are called.

To import this module builds the agent, so that the first conversation does not wait for its models.
"""

from bot.agent import Agent
from bot.evals.harness import connect
from bot.settings import load_settings

bot = Agent(load_settings(), connect).take_call
