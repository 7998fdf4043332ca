"""Programs beside the node: the doctor, the demonstration and the benchmark."""
