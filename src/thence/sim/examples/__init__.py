"""Agents, engines and validators that come with thence."""
