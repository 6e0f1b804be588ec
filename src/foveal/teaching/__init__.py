"""Small tools of the reference's arithmetic, for the blackboard: filters, pooling, a layer as its matrix, a race."""
