//! Histories written by hand: each rule catches what it is for, names the two records that contradict each other, and lets
//! the history beside it pass.

mod beliefs;
mod calls;
mod clusters;
mod naive;
mod story;
