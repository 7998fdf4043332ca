"""Programs beside the node: the doctor, the demo and the benchmark."""
