"""The control plane: REST under ``/v1``, the dashboard's pages, and the control loop beside them."""
