"""What live tests stand on: the real server and sandbox on loopback, a client that checks what it hears."""
from .client import Answer, Client
from .process import Process, free_port, wait_until
from .sandbox import Sandbox
from .server import Server

__all__ = ["Answer", "Client", "Process", "Sandbox", "Server", "free_port", "wait_until"]
