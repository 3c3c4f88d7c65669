"""Between protocol and sockets: a request in, an answer out. No socket and no clock; the daemons bring both."""
