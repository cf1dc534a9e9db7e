"""The whole story on real models: build, promote, regret, roll back, catch up, prove."""

from vecrollback.demo.story import run_demo

__all__ = ["run_demo"]
