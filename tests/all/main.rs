//! Whole-program tests: the real binary on a free port, spoken to over real sockets.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod cable;
mod channels;
mod cli;
mod clients;
mod disk;
mod drain;
mod durability;
mod errors;
mod fuzz;
mod hostile;
mod hub;
mod limits;
mod mint;
mod nodes;
mod pages;
mod parsers;
mod pipes;
mod publish;
mod redis_server;
mod resume;
mod stand_in;
mod stats;
mod streams;
mod surface;
mod tls;
mod tokens;
mod tools;
mod witness;
