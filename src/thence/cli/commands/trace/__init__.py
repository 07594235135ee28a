"""Commands on coding agents, traces and questions of agents."""
