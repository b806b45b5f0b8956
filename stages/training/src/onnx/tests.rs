//! The structure of files, and that the checks find what is wrong.
