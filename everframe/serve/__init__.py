"""Live serving: sockets, sessions side by side, the page. Only this folder knows a network."""
