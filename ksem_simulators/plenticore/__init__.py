"""The simulated Plenticore: asks like the inverter, and judges every answer."""
