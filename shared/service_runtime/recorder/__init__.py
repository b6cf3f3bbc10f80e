"""What goes over a service's wires: noted while somebody wants to know it, told on request, kept for after a fault."""
