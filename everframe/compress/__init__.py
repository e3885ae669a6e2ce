"""From a trained model to a smaller or quicker one: bundles in, bundles out."""
