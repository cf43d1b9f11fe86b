"""Many trainings as one piece of work: sweeps over λ, and paired screenings of ideas."""
