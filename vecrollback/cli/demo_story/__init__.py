"""The whole story on real models: build, promote, regret, roll back, catch up, prove."""

from vecrollback.cli.demo_story.story import run_demo

__all__ = ["run_demo"]
