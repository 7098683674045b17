"""API Priority and Fairness: who waits, who is served and who is refused when there is more to do than seats.

Source: "API Priority and Fairness" in the Kubernetes documentation and KEP-1040. ``queueset.py`` and ``concurrency.py`` are
pure; ``controller.py`` keeps them in step with FlowSchemas and PriorityLevelConfigurations.
"""
