"""The extension beside what else is used for such a job, in one run."""
