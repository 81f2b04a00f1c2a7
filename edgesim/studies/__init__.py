"""Many runs for one answer: sweeps, and what is made of them."""
