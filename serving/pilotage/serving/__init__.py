"""The model server: a thin FastAPI shell over a framework-free data plane; and the monitor."""
