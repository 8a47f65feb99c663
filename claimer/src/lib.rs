//! The load tool (story below)
mod clock;
pub mod duration;
pub mod history;
mod holder;
mod lines;
mod process;
mod report;
mod target;
mod verdict;
pub mod workload;
