"""Public fakes, and the contract suites of the plugin kinds."""
