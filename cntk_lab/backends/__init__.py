"""Where arithmetic happens: one Backend per device, each with a tier that always works and faster ones beside it."""
