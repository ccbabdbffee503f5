"""MLflow's scoring protocol: ``/invocations`` and its health checks, for clients of ``mlflow models serve``."""
