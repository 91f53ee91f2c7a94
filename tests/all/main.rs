//! Whole-program tests: the real binary on a free port, spoken to over real sockets.

mod channels;
mod cli;
mod drain;
mod errors;
mod hostile;
mod hub;
mod publish;
mod resume;
mod streams;
