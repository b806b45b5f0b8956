//! the network, its devices, losses, optimizers and policies, and the stages that run them
